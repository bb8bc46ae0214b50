"""Settings of the verdict."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from rayred.config.base import RESULT, Float, Settings


class Verdict(Settings):
    """When a subset counts as good as the full set."""

    margin: Annotated[Float, Field(gt=0), RESULT] = 0.25
    """Equivalence margin of mean test accuracy, in percentage points."""
