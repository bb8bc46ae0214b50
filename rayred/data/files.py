"""Data sets of image files: a folder with one sub-folder per class, and ImageNet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rayred.config import Data
from rayred.data.dataset import Split
from rayred.data.decode import FilePaths, decode_all, image_files, streams
from rayred.errors import DataError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".gif")


def folder_split(folder: Path, data: Data) -> Split:
    """Return the images of FOLDER/CLASS/*, at any depth below each class folder, as a split.

    Raises `DataError` if there is no folder, class or image, or an image cannot be decoded.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; expected {folder}/CLASS/IMAGE files")
    classes = tuple(sorted(entry.name for entry in folder.iterdir() if entry.is_dir()))
    if not classes:
        raise DataError(f"{folder}: has no class folders; expected {folder}/CLASS/IMAGE files")
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        files = sorted(p for p in (folder / name).rglob("*") if p.suffix.lower() in EXTENSIONS)
        if not files:
            raise DataError(f"{folder}: class {name!r} has no images; expected at least one")
        paths += files
        labels += [label] * len(files)
    return files_split(folder, paths, labels, classes, data)


def imagenet_split(root: Path, split: str, data: Data) -> Split:
    """Return ImageNet (ILSVRC 2012), ``train`` or ``test`` (the validation images), as a split.

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
    return files_split(Path(source.split_folder), paths, labels, unique, data)


def files_split(
    folder: Path,
    paths: Sequence[Path],
    labels: Sequence[int],
    classes: tuple[str, ...],
    data: Data,
) -> Split:
    """Return image files as a split: decoded into memory, or streamed (see `streams`).

    `labels` are indices into `classes`, one for each of `paths`. Raises `DataError` if an image
    cannot be decoded.
    """
    label_array = np.asarray(labels, dtype=np.int64)
    names = [str(path.relative_to(folder)) for path in paths]
    if streams(len(paths), data):
        files, broken = image_files(FilePaths(tuple(str(path.resolve()) for path in paths)), data)
        intact = [position for position in range(len(paths)) if position not in broken]
        intact_names = [names[position] for position in intact]
        return Split(
            files, label_array[intact], intact_names, classes, folder, tuple(broken.values())
        )
    images, kept, skipped = decode_all(
        paths,
        [str(path) for path in paths],
        image_size=data.image_size,
        center_crop=data.center_crop,
        undecodable=data.undecodable,
    )
    return Split(images, label_array[kept], [names[i] for i in kept], classes, folder, skipped)
