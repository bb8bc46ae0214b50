"""Planted truth: digits of which 30 % are near-copies of others, and digits that are all needed.

Two training sets of 200 digits each. In the first, 140 differ as much as digits can, and 60 are
copies of some of them, moved by a part of a pixel, lighter or darker, with noise. In the second all
200 differ. The other digits are the test set. The groups at 70 % should be the planted pairs.
Without 30 % the first should not be worse, and the second should be; 40 and 50 % are asked too.

    .venv/bin/python -m benchmarks.planted
"""

from __future__ import annotations

import tempfile
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import shift
from sklearn.datasets import load_digits

import rayred
from benchmarks.record import print_table, write_results
from rayred.clustering.trees import load_trees
from rayred.config.file import parse_experiment
from rayred.data import load_train_split

CLASS_SIZE = 20
PLANTED = 6
"""Near-copies among the images of a class, where some are planted."""
FRACTION = 1 - PLANTED / CLASS_SIZE
"""Share of the images that is left without the near-copies."""
MARGIN = 1.0
TRIALS = 12
EXPERIMENT = {
    "model": "resnet8",
    "train": {
        "steps": 200,
        "batch_size": 64,
        "augment": {"crop": "pad", "pad": 1, "flip": False},
    },
    "sweep": {"fractions": [1.0, FRACTION, 0.6, 0.5], "trials": TRIALS},
    "verdict": {"margin": MARGIN},
}


def write_digits(folder: Path, copies: int) -> None:
    """Write the data set as an image folder; a copy of ``NAME.png`` is ``NAME-copy.png``."""
    rng = np.random.default_rng(0)
    digits = load_digits()
    images = digits.images * (255 / 16)
    for label in digits.target_names:
        members = images[digits.target == label]
        chosen = np.sort(unlike_each_other(members, CLASS_SIZE - copies, _most_usual(members)))
        copied = rng.permutation(chosen)[:copies]
        for row, image in enumerate(members):
            part = "train" if row in chosen else "test"
            _write(folder / part / str(label) / f"{row:03}.png", image)
            if row in copied:
                _write(folder / part / str(label) / f"{row:03}-copy.png", altered(image, rng))


def unlike_each_other(images: NDArray[Any], count: int, first: int) -> NDArray[np.int64]:
    """Return places of images: the first, then each the farthest from those before it.

    Source: Gonzalez, Clustering to minimize the maximum intercluster distance (1985).
    """
    rows = images.reshape(len(images), -1).astype(float)
    chosen = [first]
    nearest = np.full(len(rows), np.inf)
    while len(chosen) < count:
        nearest = np.minimum(nearest, np.square(rows - rows[chosen[-1]]).sum(axis=1))
        chosen.append(int(nearest.argmax()))
    return np.array(chosen)


def _most_usual(images: NDArray[np.float64]) -> int:
    """Return the place of the image closest to the mean."""
    return int(np.square(images - images.mean(axis=0)).sum(axis=(1, 2)).argmin())


def altered(image: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return an (H, W) or (H, W, C) image moved by part of a pixel, in other light, with noise."""
    by = [*rng.uniform(-0.25, 0.25, 2), *[0] * (image.ndim - 2)]
    moved = shift(image, by, order=1, mode="nearest")
    noisy: NDArray[np.float64] = moved * rng.uniform(0.9, 1.1) + rng.normal(0, 8, moved.shape)
    return noisy


def as_pixels(image: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return an image of 0 to 255."""
    pixels: NDArray[np.uint8] = np.clip(np.round(image), 0, 255).astype(np.uint8)
    return pixels


def _write(path: Path, image: NDArray[np.float64]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(as_pixels(image)).save(path)


def study(folder: Path, out: Path, **changes: Any) -> rayred.Study:
    """Run the study of an image folder; `changes` replace settings of `EXPERIMENT`."""
    settings = {"name": folder.name, "dataset": f"folder:{folder}", **EXPERIMENT, **changes}
    return rayred.run(parse_experiment(settings, "planted"), out)


def pair_scores(folder: Path, out: Path) -> tuple[float, float]:
    """Return precision and recall of the planted pairs among all pairs within a redundant group."""
    names = [Path(name) for name in load_train_split(f"folder:{folder}").names]
    groups = load_trees(out / "trees.npz").groups(FRACTION)
    found = set()
    for group in np.unique(groups):
        members = [names[row] for row in np.flatnonzero(groups == group)]
        found |= {frozenset(pair) for pair in combinations(members, 2)}
    planted = {
        frozenset((name, name.with_stem(name.stem.removesuffix("-copy"))))
        for name in names
        if name.stem.endswith("-copy")
    }
    both = len(found & planted)
    return both / len(found), both / len(planted)


def main() -> None:
    """Run both studies, print a table and write JSON."""
    figures: dict[str, Any] = {"margin": MARGIN}
    rows = []
    with tempfile.TemporaryDirectory() as place:
        for name, copies in (("planted", PLANTED), ("needed", 0)):
            folder, out = Path(place) / name, Path(place) / f"{name}-run"
            write_digits(folder, copies)
            verdict = study(folder, out).verdict
            rows += [
                [
                    name,
                    f"{cell.selector} {cell.fraction:g}",
                    str(cell.trials),
                    f"{cell.mean:.2f} ± {cell.deviation:.2f} %",
                    f"{cell.difference:+.2f}" if cell.difference is not None else "–",
                    cell.outcome or "–",
                ]
                for cell in verdict.cells
            ]
            figures[name] = {"sentence": verdict.sentence}
            if copies:
                precision, recall = pair_scores(folder, out)
                figures[name] |= {"precision": precision, "recall": recall}
    print_table(["digits", "subset", "trials", "accuracy", "difference", "outcome"], rows)
    for figure in ("planted", "needed"):
        print(f"{figure}: {figures[figure]['sentence']}")
    precision, recall = figures["planted"]["precision"], figures["planted"]["recall"]
    print(f"planted pairs within groups: precision {precision:.3f}, recall {recall:.3f}")
    print(f"written to {write_results('planted', {**figures, 'rows': rows})}")


if __name__ == "__main__":
    main()
