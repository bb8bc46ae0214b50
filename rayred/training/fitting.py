"""Packs and the memory: how many trainings fit, and what is done with a pack that does not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from rayred.data.dataset import Dataset
from rayred.errors import TrainingError
from rayred.training.batches import resident_pixels
from rayred.training.checkpoints import Checkpoints, State, part_of_state
from rayred.training.loop import train_pack
from rayred.training.task import Outcome, Task
from rayred.training.worker import Worker

PACKED_MEMORY = 0.8
"""Share of a GPU's memory that a pack may fill."""


def fitting_pack(task: Task, dataset: Dataset, share: float) -> int:
    """Return how many trainings fit into the free memory of a process's share of this GPU.

    Judged by one step of a pack of two.
    """
    one_step = task.recipe.model_copy(update={"steps": 1, "warmup_steps": 0})
    probe = Task(task.spec, one_step, task.seed)
    rows = np.arange(len(dataset.train))
    free, total = torch.cuda.mem_get_info()
    pixels = resident_pixels(dataset.train.images, torch.device("cuda"))
    resident = pixels.nbytes if pixels.is_cuda else 0
    del pixels
    try:
        train_pack([probe] * 2, dataset, [rows] * 2, worker=Worker(torch.device("cuda")))
    except torch.OutOfMemoryError:
        return 1
    each = (torch.cuda.max_memory_allocated() - resident) / 2
    return max(1, int((PACKED_MEMORY * min(free, share * total) - resident) / each))


def train_what_fits(
    tasks: Sequence[Task],
    dataset: Dataset,
    indices: Sequence[NDArray[np.int64]],
    worker: Worker,
    storage: str,
    name: str,
    resume: State | None = None,
) -> list[Outcome | TrainingError]:
    """Train a pack, as two halves one after the other where it does not fit into the memory.

    Parameters
    ----------
    tasks, dataset, indices, worker, resume
        The same as for `train_pack`.
    storage, name
        Folder or URL, and the name in it, of the pack's checkpoint.

    Raises
    ------
    torch.OutOfMemoryError
        A single training does not fit.
    """
    checkpoints = Checkpoints(storage, name)
    outcomes = _train_if_it_fits(tasks, dataset, indices, worker, checkpoints, resume)
    if outcomes is None:
        torch.cuda.empty_cache()
        reached = checkpoints.load() or resume
        half = len(tasks) // 2
        outcomes = []
        for number, part in enumerate((slice(None, half), slice(half, None))):
            state = part_of_state(reached, part) if reached else None
            outcomes += train_what_fits(
                tasks[part], dataset, indices[part], worker, storage, f"{name}-{number}", state
            )
    checkpoints.remove()
    return outcomes


def _train_if_it_fits(
    tasks: Sequence[Task],
    dataset: Dataset,
    indices: Sequence[NDArray[np.int64]],
    worker: Worker,
    checkpoints: Checkpoints,
    resume: State | None,
) -> list[Outcome | TrainingError] | None:
    """Return the outcomes of a pack, or `None` if it does not fit.

    A function of its own: an exception that is being handled would hold on to the memory.
    """
    reached = checkpoints.load() or resume
    try:
        return train_pack(
            tasks, dataset, indices, save=checkpoints.save, worker=worker, resume=reached
        )
    except torch.OutOfMemoryError:
        if len(tasks) == 1:
            raise
        return None
