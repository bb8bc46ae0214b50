"""Perceptual hashes that differ in few bits, in any orientation, without comparing all with all.

Two hashes that differ in at most m bits agree in one of m + 1 parts of their bits (pigeonhole; the
multi-index hashing of Norouzi, Punjani and Fleet 2012, arXiv 1307.2982, with a radius of 0 a part).

Legend: N images, E pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rayred.data.appearance import HASH_BITS, INVERSE

AT_A_TIME = 2**21
"""Pairs that are compared at a time."""


def near_hashes(
    hashes: NDArray[np.uint64], most: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]]:
    """Yield pairs of images of which one, as it is, and the other, in any orientation, are close.

    Parameters
    ----------
    hashes
        (N, 8) hashes of each image in each orientation, as it is first.
    most
        Largest number of bits in which they differ, 0 to 63.

    Yields
    ------
    i, j, bits
        (E,) different images, and the number of bits; a pair may come several times.
    """
    edges = np.linspace(0, HASH_BITS, most + 2).astype(int)
    for low, high in pairwise(edges.tolist()):
        keys = (hashes >> np.uint64(low)) & np.uint64(2 ** (high - low) - 1)
        order = np.argsort(keys[:, 0], kind="stable")
        ordered = keys[order, 0]
        wanted = keys.ravel()
        begin = np.searchsorted(ordered, wanted, side="left")
        count = np.searchsorted(ordered, wanted, side="right") - begin
        total = np.cumsum(count)
        first = 0
        while first < len(wanted):
            done = total[first - 1] if first else 0
            end = max(first + 1, int(np.searchsorted(total, done + AT_A_TIME, side="right")))
            part = slice(first, end)
            turned = np.repeat(np.arange(first, end), count[part])
            before = total[part] - count[part] - done
            place = np.arange(len(turned)) - np.repeat(before, count[part])
            i, j = order[begin[turned] + place], turned // hashes.shape[1]
            bits = np.bitwise_count(hashes[i, 0] ^ hashes.ravel()[turned])
            near = (bits <= most) & (i != j)
            if near.any():
                yield i[near], j[near], bits[near].astype(np.float64)
            first = end


def closest_orientation(
    hashes: NDArray[np.uint64], i: NDArray[np.int64], j: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return in how many bits pairs of images differ, (E,), and in which orientation of j, (E,).

    The hash of a turned image is not quite that of the image, turned: so j is compared in each
    orientation with i as it is, and i in the inverse one with j as it is. The fewer bits count.
    """
    turned = np.bitwise_count(hashes[i, :1] ^ hashes[j])
    turned_back = np.bitwise_count(hashes[j, :1] ^ hashes[i])[:, INVERSE]
    bits = np.minimum(turned, turned_back).astype(np.int64)
    return bits.min(axis=1), bits.argmin(axis=1)
