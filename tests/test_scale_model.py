"""The formulas of `benchmarks/scale_model.py`: units, counts and limits that hold everywhere."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.record import RESULTS
from benchmarks.scale_inputs import RESNET101, WORKLOADS, Constants, Network, Workload
from benchmarks.scale_model import (
    GPUS,
    NAME,
    Site,
    choose,
    cluster,
    dealt,
    embed,
    embedding_bytes,
    factor_bytes,
    limits,
    load,
    makespan,
    near_pairs,
    pair_bytes,
    pairs_of,
    product_flops,
    reference,
    state_bytes,
    study,
    sweep,
    tree_bytes,
)
from benchmarks.scale_tables import tables
from rayred.clustering.trees import ClassTrees, save_trees
from rayred.config import Sweep, Train
from rayred.linkage import complete_linkage
from rayred.linkage.pairs import cluster_factors
from rayred.models import ModelSpec, build_model
from rayred.sweep.plan import plan_trials
from rayred.training.embedding_parts import EmbeddingParts
from rayred.training.recipe import RecipeOptimizer

PAGE = Path(__file__).parents[1] / "docs" / "scaling.md"
IMAGENET = WORKLOADS[0]
SPARE = Constants.unmeasured()


@pytest.fixture(scope="module")
def constants() -> Constants:
    return load(RESULTS / f"{NAME}.json")[0]


def test_four_rows_have_six_pairs():
    rows = "abcd"
    counted = [(a, b) for place, a in enumerate(rows) for b in rows[place + 1 :]]
    assert pairs_of(4) == len(counted) == 6
    assert pairs_of(1) == 0


def test_a_pair_takes_a_multiplication_and_an_addition_a_column():
    left, right, _ = factors(3, 5)
    assert product_flops(3, 5) == 3 * 2 * left.shape[1] == 3 * 2 * right.shape[1]


def factors(n: int, d: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    unit = torch.nn.functional.normalize(torch.randn(n, d, dtype=torch.float64))
    rows = torch.arange(n)
    return cluster_factors(unit, rows, rows)


def test_bytes_are_those_of_the_arrays(tmp_path):
    n, d = 7, 5
    left, right, _ = factors(n, d)
    assert factor_bytes(n, d) == left.numpy().nbytes + right.numpy().nbytes
    assert embedding_bytes(n, d) == np.zeros((n, d), np.float32).nbytes
    assert pair_bytes(3) == 2 * np.arange(3).nbytes
    tree = complete_linkage(np.random.default_rng(0).random((n, d)), 3)
    save_trees(tmp_path / "trees.npz", ClassTrees((np.arange(n),), (tree,)))
    with np.load(tmp_path / "trees.npz") as file:
        arrays = [file[name].nbytes for name in ("images", "children", "heights")]
    assert tree_bytes(n, len(tree.heights)) == sum(arrays)


def test_a_checkpoint_has_weights_momentum_and_statistics():
    model = build_model(ModelSpec("resnet8", (8, 8, 1), 3, (0.5,), (0.5,)))
    optimizer = RecipeOptimizer(Train.model_validate({"steps": 1}), model)
    model(torch.zeros(2, 1, 8, 8, dtype=torch.uint8)).sum().backward()
    optimizer.step(0.1)
    weights = [weight.numel() for weight in model.parameters()]
    statistics = [b.numel() for b in model.buffers() if b.is_floating_point()]
    held = [t for t in tensors(optimizer.state_dict()) if t.numel() > 1]
    network = Network("resnet8", sum(weights), sum(statistics), 0.0)
    assert sum(t.numel() for t in held) == sum(weights)
    assert state_bytes(network) == 4 * (2 * sum(weights) + sum(statistics))


def tensors(value: object) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [t for one in value for t in tensors(one)] if isinstance(value, list | tuple) else []


def test_processes_take_tasks_from_each_other():
    assert makespan([], 2, 2) == 0
    assert makespan([3, 3, 3], 2, 2) == 6
    assert makespan([4, 1, 1, 1, 1], 2, 2) == 4


def test_more_processes_than_cores_share_them():
    assert makespan([1] * 4, 4, 2) == 2
    assert makespan([1] * 4, 2, 2) == 2
    assert makespan([1, 3], 2, 1) == 4


def test_one_process_hands_out_all_tasks():
    assert makespan([1] * 3, 3, 3, feed=2) == 7  # 2, 4 and 6 until each begins
    assert makespan([5] * 2, 1, 1, feed=1) == 12


@pytest.mark.parametrize("stage", [reference, embed, cluster, choose, sweep])
def test_twice_the_gpus_are_never_slower_where_a_stage_scales(stage, constants):
    for work in WORKLOADS[:2]:
        counts = [2**power for power in range(10)]
        times = [stage(work, Site.of_gpus(n, work, constants), constants).seconds for n in counts]
        assert all(b <= 1.001 * a for a, b in pairwise(times)), times


def test_gpus_are_never_busy_for_longer_than_they_are_paid_for(constants):
    for work in WORKLOADS:
        for gpus in GPUS:
            costs = study(work, Site.of_gpus(gpus, work, constants), constants)
            assert all(cost.busy <= 1.001 * gpus * cost.seconds for cost in costs)
            assert all(
                min(vars(cost)[key] for key in ("read", "sent", "written")) >= 0 for cost in costs
            )


def test_work_is_cut_as_the_code_cuts_it():
    sweep = Sweep(fractions=list(IMAGENET.fractions), selectors=["semantic", "random"], trials=5)
    assert IMAGENET.trainings() == len(plan_trials(sweep, 0)) == 65
    parts = EmbeddingParts(Path(), IMAGENET.images).ranges()
    site = Site.of_gpus(1, IMAGENET, SPARE)
    one_second = Constants.unmeasured(task=1.0)
    free = Site(1, 1, 1, 1, 0.0, 0.0, site.rates)
    joined = 2 * IMAGENET.embedding_bytes / one_second.disk
    assert embed(IMAGENET, free, one_second).seconds == pytest.approx(len(parts) + joined)
    sizes = np.array([3, 1, 2, 5, 4])
    tasks = dealt(sizes, Workload("", sizes, 2, 0, 0, RESNET101, (0.9,)), free)
    assert sorted(n for task in tasks for n in task) == [1, 2, 3, 4, 5]


def test_uneven_classes_have_as_many_images_in_all_as_the_data_set():
    sizes = WORKLOADS[1].sizes
    assert (len(sizes), sizes.max()) == (21_841, 3_047)
    assert sizes.min() >= 1
    assert sizes.sum() == pytest.approx(14_197_122, rel=1e-3)


def test_a_class_never_has_more_near_pairs_than_pairs():
    for n in (1, 2, 10, 1_000):
        assert near_pairs(n, 0.1, SPARE)[0] <= pairs_of(n)


def test_a_stage_of_a_huge_class_holds_no_more_pairs_than_the_engine_looks_for():
    found, stages = near_pairs(10**8, 0.9, Constants.unmeasured(near_wanted=1.0))
    assert stages == 6  # 5 · 10⁷ pairs, 2²³ at a time
    assert found <= stages * 2**23


def test_one_class_of_100_million_fits_nowhere_and_imagenet_does(constants):
    one = WORKLOADS[2]
    lacking = {
        x.what for x in limits(one, Site.of_gpus(512, one, constants), constants) if x.share > 1
    }
    assert {"a GPU: the largest class", "memory of the head: the largest class"} <= lacking
    site = Site.of_gpus(8, IMAGENET, constants)
    assert all(one.share <= 1 for one in limits(IMAGENET, site, constants))


def test_the_page_has_every_table():
    constants, checks = load(RESULTS / f"{NAME}.json")
    page = PAGE.read_text().splitlines()
    for table in tables(constants, 2.0, checks):
        assert [
            line for line in table.splitlines() if line.startswith("|") and line not in page
        ] == []
