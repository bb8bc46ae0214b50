"""Where the trees of all classes are cut, against a slow count of clusters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayred.clustering.cuts import Cut
from rayred.clustering.groups import grow_trees
from rayred.clustering.trees import kept_images
from rayred.config import Linkage
from rayred.linkage import complete_linkage


def classes(sizes: list[int], seed: int, widths: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Rows of classes of different widths; some rows are equal, some distances tie."""
    rng = np.random.default_rng(seed)
    parts = [
        rng.normal(size=3) + width * rng.integers(-3, 4, (size, 3))
        for size, width in zip(sizes, widths, strict=True)
    ]
    return np.concatenate(parts), np.repeat(np.arange(len(sizes)), sizes)


def made(cut: Cut, x, labels):
    """Return the counts, and all heights of every class by a whole tree."""
    grown = []

    def grow(fraction, max_distance):
        grown.append((fraction, max_distance))
        return grow_trees(x, labels, fraction, Linkage(), max_distance=max_distance)

    sizes = np.bincount(labels).tolist()
    counts = cut.counts(cut.trees(grow, sizes))
    heights = [complete_linkage(x[labels == label]).heights for label in range(len(sizes))]
    return counts, heights, sizes, grown


DATA = {
    "sizes": st.lists(st.integers(1, 30), min_size=1, max_size=5),
    "seed": st.integers(0, 999),
    "widths": st.lists(st.sampled_from([1e-3, 0.05, 0.5]), min_size=5, max_size=5),
    "floor": st.sampled_from([1, 4, 100]),
}


@given(**DATA, keep=st.floats(0.01, 1))
@settings(max_examples=100, deadline=None)
def test_a_share_of_every_class(sizes, seed, widths, floor, keep):
    x, labels = classes(sizes, seed, widths[: len(sizes)])
    counts, _, _, _ = made(Cut(keep=keep, floor=floor), x, labels)
    assert counts == [max(kept_images(size, keep), min(floor, size)) for size in sizes]


@given(**DATA, distance=st.floats(0, 0.3))
@settings(max_examples=100, deadline=None)
def test_one_distance_for_all_classes(sizes, seed, widths, floor, distance):
    x, labels = classes(sizes, seed, widths[: len(sizes)])
    counts, heights, _, _ = made(Cut(max_distance=distance, floor=floor), x, labels)
    expected = [
        max(size - int((of_class <= distance).sum()), min(floor, size))
        for size, of_class in zip(sizes, heights, strict=True)
    ]
    assert counts == expected


@given(**DATA, keep=st.floats(0.01, 1))
@settings(max_examples=150, deadline=None)
def test_a_share_of_all_images_by_one_height(sizes, seed, widths, floor, keep):
    x, labels = classes(sizes, seed, widths[: len(sizes)])
    counts, heights, _, _ = made(Cut(keep=keep, common=True, floor=floor), x, labels)
    least = sum(min(floor, size) for size in sizes)
    assert sum(counts) == max(kept_images(sum(sizes), keep), least)
    merges = [size - count for size, count in zip(sizes, counts, strict=True)]
    assert all(count >= min(floor, size) for count, size in zip(counts, sizes, strict=True))
    # The highest merge made is no higher than the lowest that its floor allowed and is not made.
    made_up_to = max((h[m - 1] for h, m in zip(heights, merges, strict=True) if m), default=0)
    for h, m, size in zip(heights, merges, sizes, strict=True):
        if m < size - min(floor, size):
            assert h[m] >= made_up_to


def test_a_common_height_does_not_cluster_all_of_a_class():
    x, labels = classes([300, 300], 0, [1e-3, 0.5])
    _, _, _, grown = made(Cut(keep=0.9, common=True), x, labels)
    assert len(grown) == 2
    assert grown[1][1] < 0.01


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "either the share to keep or the largest distance"),
        ({"keep": 0.5, "max_distance": 0.1}, "either the share to keep or the largest distance"),
        ({"keep": 0.0}, "keep is 0.0"),
        ({"keep": 1.1}, "keep is 1.1"),
        ({"keep": np.nan}, "keep is nan"),
        ({"max_distance": -0.1}, "max_distance is -0.1; expected a cosine distance, 0 to 2"),
        ({"max_distance": 2.1}, "max_distance is 2.1"),
        ({"max_distance": np.nan}, "max_distance is nan"),
        ({"max_distance": 0.1, "common": True}, "a common share goes with keep"),
        ({"keep": 0.5, "floor": 0}, "floor is 0"),
        ({"keep": 0.5, "floor": 1.5}, "floor is 1.5"),
    ],
)
def test_cuts_that_cannot_be_made_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Cut(**values)
