"""Two processes with half of a batch each, against one with all of it, in float64."""

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

STEPS = 4
WAYS = ("plain", "compiled")


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


def train_half(rank: int, folder: str) -> None:
    torch.distributed.init_process_group(
        "gloo", f"file://{folder}/store", timedelta(seconds=60), world_size=2, rank=rank
    )
    for way in WAYS:
        model = data_parallel(network(), torch.device("cpu"))
        assert sum(isinstance(module, SyncedBatchNorm2d) for module in model.modules()) == 2
        together = torch.compile(model, backend="aot_eager") if way == "compiled" else model
        train(together, slice(rank, None, 2))
        alone = model.module.eval()
        torch.save((alone.state_dict(), alone(images())), f"{folder}/{way}-{rank}.pt")
        del model, together, alone
    gc.collect()  # references to the process group must go before it
    torch.distributed.destroy_process_group()


def images() -> torch.Tensor:
    return torch.linspace(-2, 2, 2 * 3 * 8 * 8, dtype=torch.float64).view(2, 3, 8, 8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("halves")
    torch.multiprocessing.spawn(train_half, (str(folder),), nprocs=2)
    return folder


@pytest.mark.parametrize("way", WAYS)
def test_two_workers_train_as_one_does_with_the_whole_batch(folder, way):
    whole = network()
    train(whole, slice(None))
    expected = whole.state_dict()
    logits = whole.eval()(images())
    for rank in (0, 1):
        state, made = torch.load(folder / f"{way}-{rank}.pt", weights_only=True)
        for name, value in expected.items():
            if "num_batches" not in name:
                torch.testing.assert_close(state[name], value, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(made, logits, rtol=1e-9, atol=1e-12)
