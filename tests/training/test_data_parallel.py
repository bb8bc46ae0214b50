"""Two processes with half of a batch each, against one with all of it, in float64."""

from __future__ import annotations

import gc
import time
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed
import torch.multiprocessing
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from rayred.models.fast_net import ShiftNorm
from rayred.training import data_parallel as data_parallel_module
from rayred.training import gathering
from rayred.training.data_parallel import data_parallel
from rayred.training.sync_norm import SyncedBatchNorm2d

STEPS = 4
WAYS = ("memory", "compiled", "gradients by network", "network")


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3)]
    return (
        nn.Sequential(*layers, ShiftNorm(2), nn.Flatten(), nn.Linear(32, 5))
        .double()
        .to(memory_format=torch.channels_last)
    )


def train(model: nn.Module, batch: slice) -> None:
    torch.manual_seed(1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(STEPS):
        x, y = torch.randn(8, 3, 8, 8, dtype=torch.float64), torch.randint(0, 5, (8,))
        nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
        optimizer.step()
        optimizer.zero_grad()


def gather_often(rank: int, gather: gathering.Gather) -> None:
    """See that no turn is mixed up with another, whichever worker is late."""
    for turn in range(1000):
        if turn % 100 == 50 * rank:
            time.sleep(0.002)
        size = gathering.LARGEST // 8 if turn % 200 == 0 else 1 + turn % 6
        everyones = gather(torch.full((size,), 10.0 * turn + rank, dtype=torch.float64))
        expected = torch.tensor([[10.0 * turn], [10.0 * turn + 1]], dtype=torch.float64)
        assert torch.equal(everyones, expected.expand(2, size))


def train_half(rank: int, folder: str) -> None:
    torch.distributed.init_process_group(
        "gloo", f"file://{folder}/store", timedelta(seconds=60), world_size=2, rank=rank
    )
    for way in WAYS:
        gathering.SHARED = Path(folder) / ("nowhere" if way == "network" else "memory")
        data_parallel_module.LARGEST = 0 if way == "gradients by network" else gathering.LARGEST
        model = data_parallel(network(), torch.device("cpu"), DistributedDataParallel)
        assert sum(isinstance(module, SyncedBatchNorm2d) for module in model.modules()) == 2
        together = torch.compile(model, backend="aot_eager") if way == "compiled" else model
        train(together, slice(rank, None, 2))
        alone = model.module.eval()
        torch.save((alone.state_dict(), alone(images())), f"{folder}/{way}-{rank}.pt")
        shared = gathering.shared_gather()
        assert (shared is None) == (way == "network")
        gather_often(rank, shared or gathering.gather_over_network)
        del model, together, alone
    gc.collect()  # what holds on to the process group must go before it
    torch.distributed.destroy_process_group()


def images() -> torch.Tensor:
    return torch.linspace(-2, 2, 2 * 3 * 8 * 8, dtype=torch.float64).view(2, 3, 8, 8)


def test_workers_train_as_one_does_with_the_whole_batch(tmp_path):
    (tmp_path / "memory").mkdir()
    torch.multiprocessing.spawn(train_half, (str(tmp_path),), nprocs=2)
    assert not list((tmp_path / "memory").iterdir())
    whole = network()
    train(whole, slice(None))
    expected = whole.state_dict()
    for way in WAYS:
        for rank in (0, 1):
            state, logits = torch.load(tmp_path / f"{way}-{rank}.pt", weights_only=True)
            for name, value in expected.items():
                if "num_batches" not in name:
                    torch.testing.assert_close(state[name], value, rtol=1e-10, atol=1e-12)
            torch.testing.assert_close(logits, whole.eval()(images()), rtol=1e-9, atol=1e-12)
