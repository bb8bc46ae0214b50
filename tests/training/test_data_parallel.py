"""Processes with a share of a batch each, against one with all of it, in float64."""

from __future__ import annotations

import gc
from datetime import timedelta

import pytest
import torch
import torch.distributed
import torch.multiprocessing
from torch import nn

from rayred.models.fast_net import ShiftNorm
from rayred.training.data_parallel import data_parallel
from rayred.training.sync_norm import SyncedBatchNorm2d
from rayred.training.worker import Shard

BATCH = 8
STEPS = 4
WAYS = ("plain", "compiled")
WORLDS = (2, 3)
"""Numbers of workers: by the second one, a batch cannot be divided."""


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3)]
    return (
        nn.Sequential(*layers, ShiftNorm(2), nn.Flatten(), nn.Linear(32, 5))
        .double()
        .to(memory_format=torch.channels_last)
    )


def train(model: nn.Module, shard: Shard) -> None:
    torch.manual_seed(1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(STEPS):
        x, y = torch.randn(BATCH, 3, 8, 8, dtype=torch.float64), torch.randint(0, 5, (BATCH,))
        loss = nn.functional.cross_entropy(model(x[shard.rows]), y[shard.rows])
        (shard.weight(BATCH) * loss).backward()
        optimizer.step()
        optimizer.zero_grad()


def train_share(rank: int, world: int, folder: str) -> None:
    torch.distributed.init_process_group(
        "gloo", f"file://{folder}/store", timedelta(seconds=60), world_size=world, rank=rank
    )
    for way in WAYS:
        model = data_parallel(network(), torch.device("cpu"))
        assert sum(isinstance(module, SyncedBatchNorm2d) for module in model.modules()) == 2
        together = torch.compile(model, backend="aot_eager") if way == "compiled" else model
        train(together, Shard(rank, world))
        alone = model.module.eval()
        torch.save((alone.state_dict(), alone(images())), f"{folder}/{way}-{rank}.pt")
        del model, together, alone
    gc.collect()  # references to the process group must go before it
    torch.distributed.destroy_process_group()


def images() -> torch.Tensor:
    return torch.linspace(-2, 2, 2 * 3 * 8 * 8, dtype=torch.float64).view(2, 3, 8, 8)


@pytest.fixture(scope="module", params=WORLDS)
def shares(request, tmp_path_factory):
    """A number of workers, and the folder of what each has trained."""
    folder = tmp_path_factory.mktemp("shares")
    torch.multiprocessing.spawn(train_share, (request.param, str(folder)), nprocs=request.param)
    return request.param, folder


@pytest.mark.parametrize("way", WAYS)
def test_workers_train_as_one_does_with_the_whole_batch(shares, way):
    world, folder = shares
    whole = network()
    train(whole, Shard())
    expected = whole.state_dict()
    logits = whole.eval()(images())
    for rank in range(world):
        state, made = torch.load(folder / f"{way}-{rank}.pt", weights_only=True)
        for name, value in expected.items():
            if "num_batches" not in name:
                torch.testing.assert_close(state[name], value, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(made, logits, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("world", [1, 2, 3, 5, 8])
def test_shares_of_a_batch_weigh_what_they_hold(world):
    weights = [Shard(rank, world).weight(BATCH) for rank in range(world)]
    rows = [len(range(BATCH)[Shard(rank, world).rows]) for rank in range(world)]
    assert sum(rows) == BATCH
    assert min(rows) >= 1
    assert [weight * BATCH / world for weight in weights] == pytest.approx(rows)
    assert BATCH % world or set(weights) == {1.0}  # to the bit
