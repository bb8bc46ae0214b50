"""Partners and groups, against what all pairs say."""

import numpy as np
import pytest

from rayred.checking.partners import Groups, Partners, Relation, equal_pairs, firsts_of

N = 60


@pytest.fixture
def images():
    """Split, class and content of images, and the distances of some of their pairs."""
    rng = np.random.default_rng(0)
    split, label = np.repeat([0, 1], [40, 20]), rng.integers(3, size=N)
    i, j = np.triu_indices(N, 1)
    chosen = rng.permutation(len(i))[:400]
    distance = rng.integers(1, 5, size=400) / 8  # with many ties
    return split, label, i[chosen], j[chosen], distance


def relation(split, label, i, j):
    if split[i] != split[j]:
        return Relation.OTHER_SPLIT
    return Relation.SAME_CLASS if label[i] == label[j] else Relation.OTHER_CLASS


@pytest.mark.parametrize("parts", [1, 7])
def test_each_image_has_its_closest_partner_of_each_relation(images, parts):
    split, label, i, j, distance = images
    partners = Partners(split, label)
    for part in np.array_split(np.random.default_rng(1).permutation(len(i)), parts):
        partners.offer(i[part], j[part], distance[part])
        partners.offer(j[part], i[part], distance[part])  # again, the other way round
    best = {}
    for a, b, d in zip(i.tolist(), j.tolist(), distance.tolist(), strict=True):
        for one, other in ((a, b), (b, a)):
            key = relation(split, label, one, other), one
            best[key] = min(best.get(key, (9.0, 0)), (d, other))
    for kind in Relation:
        for one in range(N):
            expected = best.get((kind, one), (np.inf, -1))
            assert (partners.distance[kind, one], partners.partner[kind, one]) == expected


def test_groups_are_what_pairs_connect():
    groups = Groups(7)
    groups.connect(np.array([0, 4]), np.array([1, 5]))
    groups.connect(np.array([], np.int64), np.array([], np.int64))
    groups.connect(np.array([5]), np.array([1]))
    alike = groups.group[:, None] == groups.group[None]
    assert np.array_equal(alike.sum(1), [4, 4, 1, 1, 4, 4, 1])
    assert alike[0, 4]


def test_equal_images_are_connected_and_have_a_partner_of_every_kind():
    rng = np.random.default_rng(0)
    content, kind = rng.integers(12, size=N), rng.integers(4, size=N)
    i, j = equal_pairs(content, kind)
    assert (content[i] == content[j]).all()
    assert (i != j).all()
    found = {(one, kind[other]) for one, other in zip(i, j, strict=True)}
    found |= {(other, kind[one]) for one, other in zip(i, j, strict=True)}
    wanted = {
        (one, kind[other])
        for one in range(N)
        for other in range(N)
        if one != other and content[one] == content[other]
    }
    assert found == wanted
    groups = Groups(N)
    groups.connect(i, j)
    assert len(np.unique(groups.group)) == len(np.unique(content))


def test_a_thousand_equal_images_make_a_thousand_pairs():
    i, _ = equal_pairs(np.zeros(1000, np.int64), np.zeros(1000, np.int64))
    assert len(i) == 999


def test_the_first_of_the_same_content_and_kind_stands_for_an_image():
    content, kind = np.array([3, 3, 1, 3, 1]), np.array([0, 1, 0, 0, 0])
    assert firsts_of(content, kind).tolist() == [0, 1, 2, 0, 2]
