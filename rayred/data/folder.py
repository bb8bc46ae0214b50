"""Image files in folders: which of them are images, of which class and of which split.

The classes are the folders one level below the split; images may lie at any depth below them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from rayred.config import Data
from rayred.data.images import FileImages
from rayred.data.listing import ONE_CLASS, LeftOut, Listing, normalised
from rayred.errors import DataError, NoSplitError

TRAIN_NAMES = ("train", "training")
TEST_NAMES = ("test", "testing", "val", "valid", "validation", "dev")
"""Folders that may hold the test split; the first that is there does."""
SYSTEM_NAMES = ("__MACOSX", "Thumbs.db", "desktop.ini", "@eaDir")
"""Files and folders that systems put beside people's files, beside those that begin with a dot."""
NO_PICTURES = (".eps", ".ps", ".mpg", ".mpeg", ".wmf", ".emf", ".h5", ".hdf", ".grib", ".bufr")
"""Endings that Pillow knows, of files that are no pictures of pixels or need another program."""
FIRST_BYTES = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*")
"""With which most image files begin: by them images with other endings are found."""


def list_folder(
    folder: Path, split: Literal["train", "test"], data: Data, *, whole: bool = False
) -> Listing:
    """List the image files of a split.

    Parameters
    ----------
    folder
        The data set: FOLDER/train/CLASS/* and FOLDER/test/CLASS/*, or FOLDER/CLASS/*.
    split
        The split to list.
    data
        How sub-folders are taken, `data.layout`.
    whole
        Whether FOLDER/CLASS/* will do, for the training split.

    Raises
    ------
    DataError
        There is no such folder, split or class, or the layout is not clear.
    """
    if not folder.is_dir():
        above = folder if whole else folder / split
        raise DataError(f"{folder}: no such folder; expected {above}/CLASS/IMAGE files")
    if data.unlabelled:
        return _list_all(folder)
    train = next((name for name in TRAIN_NAMES if (folder / name).is_dir()), None)
    if whole and not _has_splits(folder, train, data):
        return list_classes(folder)
    if split == "train":
        if train is None:
            raise DataError(
                f"{folder / split}: no such folder; expected {folder}/train/CLASS/IMAGE files, or"
                f" {folder}/CLASS/IMAGE files and a test split elsewhere (data.test)"
            )
        _has_splits(folder, train, data)
        return list_classes(folder / train)
    name = next((name for name in TEST_NAMES if (folder / name).is_dir()), None)
    if name is None or (train is None and data.layout != "splits"):
        raise NoSplitError(
            f"{folder / split}: no such folder; expected {folder}/test/CLASS/IMAGE files, or val"
        )
    notices = () if name == "test" else (f"the test split is {folder / name}",)
    return list_classes(folder / name, notices)


def list_classes(folder: Path, notices: tuple[str, ...] = ()) -> Listing:
    """List the image files below the class folders in a folder.

    Raises
    ------
    DataError
        There is no class folder, or no image in any.
    """
    walk = _Walk(folder)
    found: list[tuple[str, Path]] = []
    for entry in sorted(walk.entries(folder), key=lambda entry: entry.name):
        if entry.is_dir():
            files = sorted(walk.images(Path(entry.path)))
            name = normalised(entry.name)
            found += [(name, file) for file in files]
            if not files:
                walk.notices.append(f"class folder {entry.name!r} has no images: it is left out")
        elif _is_image(entry.name):
            walk.leave_out(Path(entry.path), "an image that is in no class folder")
    if not found:
        raise DataError(
            f"{folder}: has no class folders with images; expected {folder}/CLASS/IMAGE files"
        )
    found.sort(key=lambda one: one[0])  # stable: folders of one class keep their order
    classes = tuple(dict.fromkeys(name for name, _ in found))
    label = {name: number for number, name in enumerate(classes)}
    paths = [path for _, path in found]
    return files_listing(
        folder,
        paths,
        [label[name] for name, _ in found],
        classes,
        left_out=tuple(walk.left_out),
        notices=(*notices, *walk.notices),
    )


def _list_all(folder: Path) -> Listing:
    """List the image files of a folder at any depth, as one class."""
    walk = _Walk(folder)
    paths = sorted(walk.images(folder))
    if not paths:
        raise DataError(f"{folder}: has no images")
    return files_listing(folder, paths, [0] * len(paths), ONE_CLASS, tuple(walk.left_out))


def imagenet_listing(root: Path, split: str) -> Listing:
    """List ImageNet (ILSVRC 2012), ``train`` or ``test`` (the validation images).

    torchvision unpacks the archives once. Raises `DataError` if they are not in `root`.
    """
    from torchvision.datasets import ImageNet

    try:
        source = ImageNet(str(root), split="val" if split == "test" else "train")
    except (RuntimeError, OSError) as error:
        raise DataError(
            f"imagenet: {error}; put the ILSVRC2012 archives into {root} or set data.root"
        ) from error
    classes = tuple(", ".join(synonyms) for synonyms in source.classes)
    # Two ImageNet classes are both called "crane" and two "maillot"; their WordNet ids
    # are added.
    unique = tuple(
        f"{name} ({wnid})" if classes.count(name) > 1 else name
        for name, wnid in zip(classes, source.wnids, strict=True)
    )
    paths = [Path(path) for path, _ in source.samples]
    labels = [label for _, label in source.samples]
    return files_listing(Path(source.split_folder), paths, labels, unique)


def files_listing(
    folder: Path,
    paths: Sequence[Path],
    labels: Sequence[int],
    classes: tuple[str, ...],
    left_out: tuple[LeftOut, ...] = (),
    notices: tuple[str, ...] = (),
) -> Listing:
    """Return image files as a listing; `labels` are indices into `classes`, one a path."""
    names = [str(path.relative_to(folder)) for path in paths]
    usable = [place for place, name in enumerate(names) if _is_utf8(name)]
    odd = [name for name in names if not _is_utf8(name)]
    problems = []
    if odd:
        problems = [f"{len(odd):,} file names are not UTF-8 (first: {os.fsencode(odd[0])!r})"]
    files = tuple(os.path.abspath(paths[place]) for place in usable)  # noqa: PTH100 - links stay
    return Listing(
        FileImages(files),
        np.asarray(labels, np.int64)[usable],
        classes,
        [names[place] for place in usable],
        folder,
        (*left_out, *(LeftOut(name, "file whose name is not UTF-8") for name in odd)),
        notices,
        tuple(problems),
    )


class _Walk:
    """Looks through folders, and notes what is left out."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.left_out: list[LeftOut] = []
        self.notices: list[str] = []

    def leave_out(self, path: Path, reason: str) -> None:
        self.left_out.append(LeftOut(str(path.relative_to(self.top)), reason))

    def entries(self, folder: Path) -> Iterator[os.DirEntry[str]]:
        """Yield files and folders but for those that systems put there, and dangling links."""
        try:
            entries = list(os.scandir(folder))
        except OSError as error:
            self.leave_out(folder, f"folder that cannot be read: {error.strerror}")
            return
        for entry in entries:
            if entry.name.startswith(".") or entry.name in SYSTEM_NAMES:
                self.leave_out(Path(entry.path), "hidden file or folder")
            elif entry.is_symlink() and not Path(entry.path).exists():
                self.leave_out(Path(entry.path), "link that leads nowhere")
            else:
                yield entry

    def images(self, folder: Path, above: frozenset[str] = frozenset()) -> Iterator[Path]:
        """Yield the image files at any depth; links to folders are followed, but not in circles."""
        real = os.path.realpath(folder)
        if real in above:
            self.leave_out(folder, "link to a folder that it is in")
            return
        for entry in self.entries(folder):
            path = Path(entry.path)
            if entry.is_dir():
                yield from self.images(path, above | {real, os.path.realpath(self.top)})
            elif not entry.is_file():
                self.leave_out(path, "no regular file")
            elif _is_image(entry.name):
                yield path
            elif _begins_as_image(path):
                self.leave_out(path, "image whose name has another ending")


def _has_splits(folder: Path, train: str | None, data: Data) -> bool:
    """Return whether the sub-folders of a data set are splits rather than classes."""
    if data.layout != "auto":
        return data.layout == "splits"
    if train is None:
        return False
    walk = _Walk(folder)
    splits = {*TRAIN_NAMES, *TEST_NAMES}
    others = [
        entry.name
        for entry in walk.entries(folder)
        if entry.is_dir() and entry.name not in splits and _holds_images(Path(entry.path))
    ]
    inner = [entry for entry in walk.entries(folder / train) if entry.is_dir()]
    has_classes = any(_holds_images(Path(entry.path)) for entry in inner)
    if has_classes and others:
        raise DataError(
            f"{folder}: is {train!r} a split or a class? It has folders with images, and so has"
            f" {sorted(others)[0]!r} beside it; set data.layout: splits or data.layout: classes"
        )
    return has_classes or not others


def _holds_images(folder: Path) -> bool:
    return next(_Walk(folder).images(folder), None) is not None


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in _endings()  # noqa: PTH122 - called for every file


@cache
def _endings() -> frozenset[str]:
    """Return the endings of the image files that Pillow can open here."""
    known = Image.registered_extensions()
    return frozenset(end for end, kind in known.items() if kind in Image.OPEN) - {*NO_PICTURES}


def _begins_as_image(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(8).startswith(FIRST_BYTES)
    except OSError:
        return False


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
