"""Settings of the resources that a study uses."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from rayred.config.base import FIXED, RESULT, SPEED, AutoOrCount, Int, Settings
from rayred.keys import Numerics


class Resources(Settings):
    """Resources of trainings. Workers, threads, device and packs change results by rounding."""

    workers: Annotated[Int, Field(ge=1), RESULT] = 1
    """Workers that train one model together; the batch is split between them."""
    min_workers: Annotated[AutoOrCount, SPEED] = "auto"
    """Fewest workers that a training goes on with. auto: all; 1 on a cluster of several nodes."""
    threads: Annotated[AutoOrCount, FIXED] = "auto"
    """CPU threads of each worker of a trial. auto: the cores, shared by the trials at a time."""
    reference_threads: Annotated[AutoOrCount, FIXED] = "auto"
    """CPU threads of each worker of the reference and of the embedding pass. auto: all cores."""
    concurrent_trials: Annotated[AutoOrCount, SPEED] = "auto"
    """Trials at a time. auto: as many as the GPUs take, or one a core where there is no GPU."""
    trials_per_gpu: Annotated[Int, Field(ge=1), SPEED] = 1
    """Processes that share a GPU at a time, each with trials of one worker."""
    trials_per_pack: Annotated[AutoOrCount, RESULT] = 1
    """Trials of one subset size that a process trains as one batched network. auto: what fits."""
    device: Annotated[Literal["auto", "cpu", "cuda"], FIXED] = "auto"
    """Device of trainings. auto: GPUs if the cluster has any."""

    @model_validator(mode="after")
    def _consistent(self) -> Resources:
        if self.min_workers != "auto" and self.min_workers > self.workers:
            raise PydanticCustomError(
                "min_workers",
                "min_workers is {fewest}, but there are only {workers} workers",
                {"fewest": self.min_workers, "workers": self.workers},
            )
        return self

    def reference_numerics(self) -> Numerics:
        """Return how the reference and the embedding pass compute.

        Raises
        ------
        ValueError
            The device or the threads are still ``auto``.
        """
        device, threads = self._fixed(self.reference_threads)
        return Numerics(device, self.workers, threads, pack=1)

    def trial_numerics(self) -> Numerics:
        """Return how trials and candidates compute; raises as `reference_numerics`."""
        device, threads = self._fixed(self.threads)
        return Numerics(device, self.workers, threads, self.trials_per_pack)

    def _fixed(self, threads: int | Literal["auto"]) -> tuple[Literal["cpu", "cuda"], int]:
        if self.device == "auto" or threads == "auto":
            raise ValueError("device and threads are fixed when a study begins, and are not yet")
        return self.device, threads
