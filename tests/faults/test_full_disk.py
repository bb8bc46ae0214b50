"""Files that do not fit on the disk: the error says so by its number, and no process dies of it."""

from __future__ import annotations

import errno
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from rayred.files import write_array
from rayred.models import build_model
from rayred.selection import save_subsets
from rayred.training import Trained, save_trained
from rayred.training.embedding_parts import EmbeddingParts, save_embeddings
from tests.training.examples import task

LIMIT = 20_000
"""Bytes."""
ROWS, WIDTH = 600, 64


def parts(folder: Path) -> EmbeddingParts:
    """Return parts of an embedding pass of 150 kB."""
    made = EmbeddingParts(folder / "parts", ROWS)
    for first, end in made.ranges():
        made.keep((first, end), np.ones((end - first, WIDTH), np.float32))
    return made


def trained() -> Trained:
    model = build_model(task().spec)
    return Trained(0.5, 1.0, (), task().spec, model.state_dict(), np.ones(500, np.bool_))


@contextmanager
def files_limited() -> Iterator[None]:
    """Let no file grow beyond `LIMIT`: as where the disk is full, with another number."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


WRITERS: dict[str, Callable[[Path], object]] = {
    "trained": lambda folder: save_trained(folder / "reference.pt", trained()),
    "array": lambda folder: write_array(folder / "kept.npy", np.arange(ROWS * WIDTH)),
    "subsets": lambda folder: save_subsets(folder / "subsets", {"full-1.0": np.arange(ROWS**2)}),
    "part": parts,
}


@pytest.mark.parametrize("writer", WRITERS)
def test_file_that_does_not_fit_is_an_error_with_its_number(writer, tmp_path):
    with files_limited(), pytest.raises(OSError, match="File too large") as raised:
        WRITERS[writer](tmp_path)
    assert raised.value.errno == errno.EFBIG


def test_embeddings_grow_with_their_parts(tmp_path, monkeypatch):
    """A file that has its whole size before its content is not one that the disk has room for."""
    monkeypatch.setattr("rayred.training.embedding_parts.PART_IMAGES", 100)
    made = parts(tmp_path)
    (tmp_path / "parts" / "part-000000300.npy").unlink()
    with pytest.raises(FileNotFoundError):
        save_embeddings(tmp_path / "embeddings.npy", made)
    assert (tmp_path / "embeddings.npy").stat().st_size == 128 + 300 * WIDTH * 4


@pytest.mark.parametrize("shape", [(7,), (0,), (5, 3), (300, 1000)])
def test_array_has_the_bytes_that_numpy_writes(shape, tmp_path):
    array = np.random.default_rng(0).standard_normal(shape, np.float32)
    np.save(tmp_path / "theirs.npy", array)
    write_array(tmp_path / "ours.npy", array)
    assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "theirs.npy").read_bytes()


def test_joined_embeddings_have_the_bytes_of_a_memory_map(tmp_path, monkeypatch):
    monkeypatch.setattr("rayred.training.embedding_parts.PART_IMAGES", 100)
    save_embeddings(tmp_path / "ours.npy", parts(tmp_path))
    whole = np.lib.format.open_memmap(tmp_path / "theirs.npy", "w+", np.float32, (ROWS, WIDTH))
    whole[:] = 1
    whole.flush()
    assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "theirs.npy").read_bytes()


JOIN = """
import sys
from pathlib import Path
from rayred.training.embedding_parts import EmbeddingParts, save_embeddings
try:
    save_embeddings(Path(sys.argv[1]) / "embeddings.npy", EmbeddingParts(Path(sys.argv[2]), 600))
except OSError as error:
    print(error)
"""


def test_embeddings_on_a_disk_that_is_full_are_an_error_and_no_signal(tmp_path):
    parts(tmp_path)
    (tmp_path / "small").mkdir()
    inside = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec"]
    mount = 'mount -t tmpfs -o size=64k none "$0"'
    if subprocess.run([*inside, mount, tmp_path / "small"], check=False).returncode:
        pytest.skip("no small disk can be mounted here")
    command = [*inside, f'{mount}; exec "$@"', tmp_path / "small", sys.executable, "-c", JOIN]
    done = subprocess.run(
        [*command, tmp_path / "small", tmp_path / "parts"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "[Errno 28] No space left on device\n"
