"""The kept image files: copies by default, links by choice."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from rayred.data import load_train_split
from rayred.errors import ConfigError, DataError
from rayred.files import LINKS, check_link, put_file
from rayred.pruning.images import keep_images
from rayred.pruning.jobs import prune
from rayred.store import open_store
from tests.conftest import rayred_here
from tests.data.examples import write_images
from tests.faults.snapshots import snapshot

ALL = np.arange(8)


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """A data set of two classes of four images, one of which is a link and one read-only."""
    for name in ("cat", "dog"):
        write_images(tmp_path / "pets" / name, 4, size=(8, 8))
    first = tmp_path / "pets" / "cat" / "0.png"
    first.rename(tmp_path / "original.png")
    first.symlink_to("../../original.png")
    (tmp_path / "pets" / "dog" / "0.png").chmod(0o444)
    return tmp_path / "pets"


def written(pets: Path, link: str, kept: np.ndarray = ALL) -> Path:
    """The folder with the images, written by hand: no clustering is needed for it."""
    split = load_train_split(f"folder:{pets}")
    with open_store(pets.parent / "small", make=True) as store:
        keep_images(store, split, kept, str(kept), link)  # type: ignore[arg-type]
    return pets.parent / "small" / "images"


def contents(folder: Path) -> dict[str, bytes]:
    paths = folder.rglob("*.png")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.mark.parametrize("link", LINKS)
def test_the_images_are_those_of_the_data_set(pets, link):
    before = contents(pets)
    images = written(pets, link)
    assert contents(images) == before
    for path in images.rglob("*.png"):
        original = pets / path.relative_to(images)
        assert path.is_symlink() == (link == "symlink")
        assert path.samefile(original) == (link != "copy")
        assert path.stat().st_mtime_ns == original.stat().st_mtime_ns
        assert path.stat().st_mode == original.stat().st_mode
        if link == "symlink":
            assert path.readlink().is_absolute()


def test_editing_a_copy_leaves_the_original_as_it_was(pets):
    before = snapshot(pets.parent / "pets")
    for path in written(pets, "copy").rglob("*.png"):
        path.chmod(0o644)
        with path.open("r+b") as file:
            file.write(b"another image")
    assert snapshot(pets.parent / "pets") == before


@pytest.mark.parametrize("link", LINKS)
def test_a_file_that_has_gone_is_named(pets, tmp_path, link):
    gone = pets / "cat" / "9.png"
    with pytest.raises(DataError) as caught:
        put_file(gone, tmp_path / "new" / "9.png", link)
    said = f"{gone}: cannot be copied or linked (--link {link}): No such file or directory"
    assert str(caught.value) == said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_cannot_be_read_is_named(pets, tmp_path):
    secret = pets / "dog" / "1.png"
    secret.chmod(0)
    with pytest.raises(DataError, match=r"dog/1.png: cannot be copied .* Permission denied"):
        put_file(secret, tmp_path / "new" / "1.png", "copy")


def another_file_system(than: Path) -> Path:
    there = Path("/dev/shm")
    if not os.access(there, os.W_OK) or there.stat().st_dev == than.stat().st_dev:
        pytest.skip("there is one file system only")
    return there


def test_hard_links_to_another_file_system_are_refused_before_the_work(pets):
    out = another_file_system(pets) / "rayred-test" / "small"
    with pytest.raises(ConfigError, match="on different file systems; use --link copy or --link s"):
        prune(f"folder:{pets}", 0.5, out, link="hard")
    assert not out.parent.exists()
    check_link("copy", pets, out)
    check_link("symlink", pets, out)
    check_link("hard", None, out)


def test_a_hard_link_that_cannot_be_made_is_said(pets, tmp_path):
    with pytest.raises(DataError, match=r"pets: .* \(--link hard\): "):
        put_file(pets, tmp_path / "0.png", "hard")  # no file system links folders


@pytest.mark.parametrize("link", ["hardd", ""])
def test_an_unknown_way_is_refused(pets, link):
    with pytest.raises(ConfigError, match=f"--link {link}: unknown"):
        prune(f"folder:{pets}", 0.5, pets.parent / "small", link=link)
    done = rayred_here("prune", f"folder:{pets}", "--keep", "1", "--out", "x", "--link", link)
    assert done.returncode == 2
    assert "invalid choice" in done.stderr


def test_images_are_put_there_again_in_another_way(pets):
    for link in ("symlink", "copy", "hard", "copy"):
        images = written(pets, link)
    assert not any(path.samefile(pets / path.relative_to(images)) for path in images.rglob("*.png"))


def test_other_images_take_their_place_and_what_is_ones_own_stays(pets, caplog):
    images = written(pets, "copy")
    (images / "cat" / "mine.png").write_bytes(b"mine")
    (images / "cat" / "1.png").write_bytes(b"edited")
    (images / "dog" / "3.png").write_bytes(b"edited")
    times = {path: path.stat().st_ctime_ns for path in images.rglob("2.png")}
    written(pets, "copy", np.array([2, 6, 7]))
    assert set(contents(images)) == {
        "cat/mine.png",
        "cat/1.png",
        "cat/2.png",
        "dog/2.png",
        "dog/3.png",
    }
    assert contents(images)["dog/3.png"] == b"edited"
    assert {path: path.stat().st_ctime_ns for path in times} == times
    assert "2 files are not as rayred has put them, and stay" in caplog.text
    with Path(pets / "cat" / "2.png").open("ab") as file:
        file.write(b"more")  # after the image: the source has changed
    written(pets, "copy", np.array([2]))
    assert contents(images)["cat/2.png"] == contents(pets)["cat/2.png"]
    assert not (images / "dog" / "2.png").exists()


def test_an_unfinished_file_of_a_run_that_was_killed_is_removed(pets):
    images = written(pets, "copy", np.array([1]))
    half = images / "cat" / f".1.png.rayred-{'0' * 32}.png"
    half.write_bytes(b"half")
    written(pets, "copy", np.array([1]))
    assert [path.name for path in (images / "cat").iterdir()] == ["1.png"]
