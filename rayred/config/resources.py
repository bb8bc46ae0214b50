"""Settings of the machines' use."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from rayred.config.base import Int, Settings, _auto_or_count


class Resources(Settings):
    """What trainings run on. `workers`, `device` and packs change the outcome, by rounding."""

    workers: Annotated[Int, Field(ge=1)] = 1
    """Workers that train one model together; the batch is split between them."""
    concurrent_trials: Annotated[int | Literal["auto"], BeforeValidator(_auto_or_count)] = "auto"
    """Trials at a time. auto: as many as the GPUs take, or one a core where there is no GPU."""
    trials_per_gpu: Annotated[Int, Field(ge=1)] = 1
    """Processes that share a GPU at a time, each with trials of one worker."""
    trials_per_pack: Annotated[int | Literal["auto"], BeforeValidator(_auto_or_count)] = 1
    """Trials of one subset size that a process trains as one batched network. auto: what fits."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: GPUs if the cluster has any."""
