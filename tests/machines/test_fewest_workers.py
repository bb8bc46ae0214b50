"""How many workers a training needs on a cluster whose machines may come and go."""

from pathlib import Path

import pytest

from rayred.config import Resources
from rayred.errors import ConfigError
from rayred.machines.connect import Cluster
from rayred.machines.layout import Layout, Scaling, fixed_resources

BIG = Cluster((8,), (4,))
SPOT = Cluster((8, 8, 8), (0, 1, 1))
LEFT = Cluster((8, 8), (0, 1))
"""What is left of it after a machine was lost."""


def plan(cluster: Cluster, **resources: object) -> Layout:
    given = Resources.model_validate({"threads": 2, "reference_threads": 2, **resources})
    return Layout.plan(given, "s3://bucket/rayred", cluster, Path("run"))


@pytest.mark.parametrize(
    ("cluster", "resources", "fewest"),
    [
        (BIG, {"workers": 4}, 4),
        (BIG, {"workers": 4, "min_workers": 3}, 3),
        (SPOT, {"workers": 2}, 1),
        (SPOT, {"workers": 2, "min_workers": 2}, 2),
        (LEFT, {"workers": 2}, 1),
    ],
)
def test_a_training_waits_for_all_workers_on_one_machine_and_for_one_on_several(
    cluster, resources, fewest
):
    layout = plan(cluster, **resources)
    for scaling in (layout.reference, layout.trials):
        assert scaling.workers == resources["workers"]
        assert scaling.fewest == fewest
    assert Scaling(workers=3).fewest == 3


@pytest.mark.parametrize(
    ("cluster", "resources", "message"),
    [
        (BIG, {"workers": 5}, "resources.workers: 5: the cluster has 4 GPUs"),
        (LEFT, {"workers": 3, "min_workers": 2}, "resources.min_workers: 2: the cluster has 1 GPU"),
    ],
)
def test_a_cluster_without_the_fewest_workers_is_refused(cluster, resources, message):
    with pytest.raises(ConfigError, match=message):
        plan(cluster, **resources)


def test_threads_are_those_of_the_workers_that_there_are():
    fixed = fixed_resources(Resources(workers=2), LEFT)
    assert fixed == {"device": "cuda", "threads": 8, "reference_threads": 8}
