"""Settings of what subsets are chosen by."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from rayred.config.base import RESULT, Int, Settings


class Selection(Settings):
    """Reference models, in whose spaces images are compared."""

    references: Annotated[Int, Field(ge=1, le=10), RESULT] = 1
    """Reference models, each with its own seed; from 2 on it is measured how alike they choose."""
    average: Annotated[bool, RESULT] = False
    """Choose by the mean of the cosine distances, and of the scores, of all references."""
