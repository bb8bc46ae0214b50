"""Checkpoints: a training's state in a folder or at a URL that all nodes share, and their clock."""

from __future__ import annotations

import io
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypedDict

import torch
from pyarrow import fs

from rayred.config import Train
from rayred.training.worker import Worker

AGREE_STEPS = 10
"""Steps between two agreements of several workers on whether a checkpoint is due by the clock."""
ANNOUNCED_SECONDS = 5.0
"""Seconds between two looks at whether a machine will be taken away; Ray looks as often."""


class State(TypedDict):
    """The state of a training between two steps: all that it needs to go on."""

    step: int
    """Steps taken."""
    seconds: float
    """Seconds spent on them."""
    summed: int
    """Steps since the last point of the curve, whose losses are summed up."""
    pack: list[dict[str, Any]]
    """State of every network: `rayred.training.member.Member.state`."""


def part_of_state(state: State, part: slice) -> State:
    """Return the state of some of the networks of a pack, with their share of the seconds."""
    pack = state["pack"][part]
    seconds = state["seconds"] * len(pack) / len(state["pack"])
    return {**state, "seconds": seconds, "pack": pack}


class Checkpoints:
    """The last checkpoint of one training, which goes on while it is written.

    Ray Train could upload in the background as well, as an option of `ray.train.report`. But trials
    of one worker do not run in Ray Train, and a checkpoint has one form, wherever it was written.
    """

    def __init__(self, storage: str, name: str) -> None:
        """Name the checkpoint's place; nothing is written yet.

        Parameters
        ----------
        storage
            Absolute folder, or URL such as ``s3://BUCKET/FOLDER``.
        name
            Name of the training in it.
        """
        self.files, root = fs.FileSystem.from_uri(storage)
        self.folder = f"{root}/{name}"
        self.path = f"{self.folder}/training.pt"
        self._writer = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None

    def save(self, state: State) -> None:
        """Begin to replace the checkpoint; a process killed in between leaves the previous one.

        The state may change afterwards. Waits for the one that was saved before.

        Raises
        ------
        OSError
            That one could not be written.
        """
        self.finish()
        content = io.BytesIO()
        torch.save(state, content)
        self._writing = self._writer.submit(self._write, content.getbuffer())

    def finish(self) -> None:
        """Wait until the state last saved is written.

        Raises
        ------
        OSError
            It could not be.
        """
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def _write(self, content: memoryview) -> None:
        try:
            self.files.create_dir(self.folder, recursive=True)
            with self.files.open_output_stream(f"{self.path}.new") as stream:
                stream.write(content)
            self.files.move(f"{self.path}.new", self.path)
        except OSError as error:
            reason = str(error).partition("\n")[0]
            raise OSError(f"{self.path}: the checkpoint cannot be written: {reason}") from error

    def load(self) -> State | None:
        """Return the state last saved, its tensors on the CPU; None if there is none.

        Raises
        ------
        OSError
            It could not be written, or cannot be read.
        """
        self.finish()
        if self.files.get_file_info(self.path).type == fs.FileType.NotFound:
            return None
        with self.files.open_input_file(self.path) as stream:
            content = io.BytesIO(stream.read())
        state: State = torch.load(content, map_location="cpu", weights_only=True)
        return state

    def remove(self) -> None:
        """Remove the training's folder, if there is one; raises as `finish`."""
        self.finish()
        if self.files.get_file_info(self.folder).type != fs.FileType.NotFound:
            self.files.delete_dir(self.folder)


class CheckpointClock:
    """Decides when a checkpoint is due: for all workers of a training after the same step.

    That is after some minutes, after some steps, and when a machine is announced to be taken away.
    """

    def __init__(self, recipe: Train, worker: Worker) -> None:
        """Start the clock.

        Parameters
        ----------
        recipe
            Minutes, and steps, between two checkpoints.
        worker
            This worker.
        """
        self.recipe = recipe
        self.worker = worker
        self.last = self.looked = time.monotonic()
        self.announced: object = None

    def due(self, step: int) -> bool:
        """Return whether a checkpoint is due after a step; if so, the clock starts again."""
        every = self.recipe.checkpoint_steps
        if not self._due_by_clock(step) and (every is None or step % every):
            return False
        self.last = time.monotonic()
        return True

    def _due_by_clock(self, step: int) -> bool:
        if self.worker.shard.world > 1 and step % AGREE_STEPS:
            return False
        now = time.monotonic()
        is_due = now - self.last >= 60 * self.recipe.checkpoint_minutes
        looks = now - self.looked >= ANNOUNCED_SECONDS
        if self.worker.shard.world > 1:
            # Clocks differ: it is time for all workers if it is for one of them.
            mine = torch.tensor([is_due, looks], dtype=torch.float32, device=self.worker.device)
            is_due, looks = (self.worker.joined(mine) > 0).tolist()
        if looks:
            self.looked, before, self.announced = now, self.announced, self.worker.announced()
            is_due |= self.announced is not None and self.announced != before
        return is_due
