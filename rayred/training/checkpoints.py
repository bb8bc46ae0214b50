"""The checkpoint of a training, in a folder or at a URL that all nodes share."""

from __future__ import annotations

import io

import torch
from pyarrow import fs

from rayred.training.loop import State


class Checkpoints:
    """Keeps the last snapshot of one training."""

    def __init__(self, storage: str, name: str) -> None:
        """Say where: an absolute folder or a URL, and the training's name in it."""
        self.files, root = fs.FileSystem.from_uri(storage)
        self.folder = f"{root}/{name}"
        self.path = f"{self.folder}/training.pt"

    def save(self, state: State) -> None:
        """Write a snapshot in place of the last one, never half of it."""
        content = io.BytesIO()
        torch.save(state, content)
        self.files.create_dir(self.folder, recursive=True)
        with self.files.open_output_stream(f"{self.path}.new") as stream:
            stream.write(content.getvalue())
        self.files.move(f"{self.path}.new", self.path)

    def load(self) -> State | None:
        """Return the last snapshot; none if there is none."""
        if self.files.get_file_info(self.path).type == fs.FileType.NotFound:
            return None
        with self.files.open_input_file(self.path) as stream:
            content = io.BytesIO(stream.read())
        state: State = torch.load(content, map_location="cpu", weights_only=True)
        return state

    def remove(self) -> None:
        """Forget the training."""
        if self.files.get_file_info(self.folder).type != fs.FileType.NotFound:
            self.files.delete_dir(self.folder)
