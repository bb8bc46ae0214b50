import pytest

from rayred.errors import ConfigError
from rayred.machines.connect import Cluster

LAPTOP = Cluster((2,), (0,))
AWS = Cluster((8, 8, 8), (0, 1, 1))
DGX = Cluster((64,), (8,))
TWO_SMALL = Cluster((4, 4), (0, 0))


@pytest.mark.parametrize(
    ("cluster", "processes", "gpu", "threads"),
    [
        (LAPTOP, 2, False, 1),
        (LAPTOP, 1, False, 2),
        (LAPTOP, 5, False, 1),
        (AWS, 2, True, 8),
        (AWS, 1, True, 8),
        (AWS, 24, False, 1),
        (DGX, 8, True, 8),
        (DGX, 3, True, 21),
        (TWO_SMALL, 1, False, 4),
        (TWO_SMALL, 3, False, 2),
    ],
)
def test_threads_fit_on_the_nodes_that_there_are(cluster, processes, gpu, threads):
    assert cluster.threads(processes, gpu) == threads


def test_gpus_are_used_where_there_are_any():
    assert AWS.uses_gpu("auto")
    assert not AWS.uses_gpu("cpu")
    assert not LAPTOP.uses_gpu("auto")
    with pytest.raises(ConfigError, match="no GPU"):
        LAPTOP.uses_gpu("cuda")


def test_trials_that_share_a_gpu_share_the_cores_beside_it():
    assert AWS.slots(1, True, 4) == 8
    assert AWS.threads(8, True, 4) == 2
    assert DGX.threads(8, True, 4) == 8
