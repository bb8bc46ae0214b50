"""Two processes with half of a batch each, against one with all of it, in float64."""

from __future__ import annotations

from datetime import timedelta

import torch
import torch.distributed
import torch.multiprocessing
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from rayred.models.fast_net import ShiftNorm
from rayred.training.sync_norm import SyncedBatchNorm2d, synchronise

STEPS = 4


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3)]
    return nn.Sequential(*layers, ShiftNorm(2), nn.Flatten(), nn.Linear(32, 5)).double()


def train(model: nn.Module, batch: slice) -> None:
    torch.manual_seed(1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(STEPS):
        x, y = torch.randn(8, 3, 8, 8, dtype=torch.float64), torch.randint(0, 5, (8,))
        nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
        optimizer.step()
        optimizer.zero_grad()


def train_half(rank: int, folder: str) -> None:
    torch.distributed.init_process_group(
        "gloo", f"file://{folder}/store", timedelta(seconds=60), world_size=2, rank=rank
    )
    model = synchronise(network(), torch.device("cpu"))
    assert sum(isinstance(module, SyncedBatchNorm2d) for module in model.modules()) == 2
    together = DistributedDataParallel(model)
    train(together, slice(rank, None, 2))
    torch.save(model.state_dict(), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_workers_batch_norm_is_that_of_the_whole_batch(tmp_path):
    torch.multiprocessing.spawn(train_half, (str(tmp_path),), nprocs=2)
    whole = network()
    train(whole, slice(None))
    expected = whole.state_dict()
    for rank in (0, 1):
        state = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for name, value in expected.items():
            if "num_batches" not in name:
                torch.testing.assert_close(state[name], value, rtol=1e-10, atol=1e-12)

    whole.eval()
    synced = synchronise(network(), torch.device("cpu")).eval()
    synced.load_state_dict(expected)
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    assert torch.equal(synced(x), whole(x))
