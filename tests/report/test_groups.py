import numpy as np
import pytest

from rayred.clustering.groups import RedundantGroups, redundant_groups
from rayred.data.dataset import Split
from rayred.report.figures import draw_accuracy, draw_group_sizes, draw_groups
from rayred.report.groups import group_sizes, largest_groups
from rayred.verdict import Cell, Verdict


@pytest.fixture
def groups_and_embeddings() -> tuple[RedundantGroups, np.ndarray]:
    """Class 0 has a group of four, class 1 none."""
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(16, 5)).astype(np.float32)
    embeddings[[2, 4, 6, 8]] = embeddings[2] + 0.05 * rng.normal(size=(4, 5))
    labels = np.repeat([0, 1], [10, 6])
    return redundant_groups(embeddings, labels, [0.7]), embeddings


def test_the_largest_group_of_each_class_has_the_kept_image_first(groups_and_embeddings):
    found, embeddings = groups_and_embeddings
    (group,) = [g for g in largest_groups(found.trees, found.kept[0.7], 0.7, 5) if g.label == 0]
    assert sorted(group.images.tolist()) == [2, 4, 6, 8]
    unit = embeddings[group.images]
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    assert np.argmax(unit @ unit.mean(0)) == 0


def test_sizes_add_up_to_the_class(groups_and_embeddings):
    found, _ = groups_and_embeddings
    sizes = group_sizes(found.trees, 0.7)
    assert [s.sum() for s in sizes] == [10, 6]
    assert [len(s) for s in sizes] == [7, 4]


@pytest.mark.parametrize("channels", [1, 3])
def test_figures_can_be_drawn_of_one_class_and_of_no_group(tmp_path, channels):
    images = np.zeros((4, 8, 8, channels), np.uint8)
    split = Split(images, np.zeros(4, np.int64), list("abcd"), ("a class with a very long name",))
    draw_groups(tmp_path / "groups.png", split, [], 1.0)
    draw_group_sizes(tmp_path / "sizes.png", split.classes, [np.ones(4, np.int64)], 1.0)
    cells = (Cell("full", 1.0, 4, 1, 0, mean=90.0), Cell("semantic", 0.5, 2, 0, 1))
    draw_accuracy(tmp_path / "accuracy.png", "x", Verdict(0.25, "none", None, cells))
    assert all(
        (tmp_path / f"{name}.png").stat().st_size > 0 for name in ("groups", "sizes", "accuracy")
    )


def test_of_a_subset_chosen_otherwise_any_number_of_a_group_is_kept(groups_and_embeddings):
    found, _ = groups_and_embeddings
    for kept, first in (([1, 4, 8], [4, 8]), ([0, 1], []), ([2, 3], [2])):
        chosen = [g for g in largest_groups(found.trees, np.array(kept), 0.7, 5) if g.label == 0]
        assert chosen[0].kept == len(first)
        assert chosen[0].images[: len(first)].tolist() == first
