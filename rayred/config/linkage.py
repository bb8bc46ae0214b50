"""Settings of the clustering."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from rayred.config.base import RESULT, SPEED, Settings


class Linkage(Settings):
    """How each class is clustered (cosine distance)."""

    method: Annotated[Literal["complete", "average", "single"], RESULT] = "complete"
    """Distance of two clusters: largest (complete, the paper's), mean or smallest of members."""
    backend: Annotated[Literal["auto", "torch", "cuml", "scipy"], RESULT] = "auto"
    """torch: own engine, complete only; cuml: single only; scipy: any. auto: torch, else scipy."""
    precision: Annotated[Literal["auto", "bfloat16", "float32"], SPEED] = "auto"
    """Products that look for close images; the trees are the same. auto: the faster one here."""

    @model_validator(mode="after")
    def _possible(self) -> Linkage:
        only = {"torch": "complete", "cuml": "single"}.get(self.backend, self.method)
        if only != self.method:
            raise PydanticCustomError(
                "backend",
                "backend {backend} has {only} linkage only, not {method}; choose auto or {other}",
                {
                    "backend": self.backend,
                    "only": only,
                    "method": self.method,
                    "other": "torch" if self.method == "complete" else "scipy",
                },
            )
        return self
