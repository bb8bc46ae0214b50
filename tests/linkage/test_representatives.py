import numpy as np
import pytest
from scipy.spatial.distance import cosine

from rayred.linkage import complete_linkage, representatives


def slow_representatives(x, labels):
    chosen = []
    for label in range(labels.max() + 1):
        rows = np.flatnonzero(labels == label)
        centre = np.mean([x[row] / np.linalg.norm(x[row]) for row in rows], axis=0)
        distances = np.array([cosine(x[row], centre) for row in rows])
        chosen.append(rows[np.flatnonzero(distances <= distances.min() + 1e-6)[0]])
    return chosen


@pytest.mark.parametrize("seed", range(5))
def test_representatives_match_a_slow_reference(seed):
    x = np.random.default_rng(seed).normal(size=(120, 7))
    labels = complete_linkage(x).labels(25)
    chosen = representatives(x, labels)
    assert chosen.tolist() == slow_representatives(x, labels)
    assert chosen.dtype == np.int64


def test_two_member_group_keeps_lowest_index():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 64)).astype(np.float32)
    labels = np.tile(np.arange(500), 2)
    assert representatives(x, labels).tolist() == list(range(500))


def circle(n):
    angles = 2 * np.pi * np.arange(n) / n
    return np.column_stack([np.cos(angles), np.sin(angles)])


@pytest.mark.parametrize("x", [circle(n) for n in (2, 3, 5, 6, 7, 12, 1001)], ids=len)
@pytest.mark.parametrize("d", [2, 9])
def test_members_that_cancel_out_keep_lowest_index_in_any_order(x, d):
    """Their sum is 0 but for rounding, which must not choose."""
    rng = np.random.default_rng(len(x))
    turned = x @ np.linalg.qr(rng.normal(size=(d, d)))[0][:2]
    for _ in range(5):
        assert representatives(rng.permutation(turned), np.zeros(len(x), int)).tolist() == [0]


def test_rows_and_their_opposites_keep_lowest_index():
    x = np.random.default_rng(0).normal(size=(40, 5))
    assert representatives(np.concatenate([x, -x]), np.zeros(80, int)).tolist() == [0]


def test_members_that_nearly_cancel_out_keep_the_closest():
    x = np.array([[-1.0, 0], [1, 1e-3], [1e-3, -1], [0, 1]])
    assert representatives(x, [0, 0, 0, 0]).tolist() == slow_representatives(x, np.zeros(4, int))
    assert representatives(x, [0, 0, 0, 0]).tolist() != [0]


@pytest.mark.parametrize("labels", [[0, 1], [0, 2, 2], [-1, 0, 0], [0.0, 0.0, 0.0], [0, 1, 2**40]])
def test_labels_that_do_not_fit_are_an_error(labels):
    with pytest.raises(ValueError, match="labels"):
        representatives(np.eye(3), np.array(labels))
