"""How each image is learned, against the definitions of the papers written out."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
import torch
import torch.distributed
import torch.multiprocessing

from rayred.data import load_dataset
from rayred.models import build_model
from rayred.training import train_model
from rayred.training.batches import training_order
from rayred.training.learning import Learning, el2n_scores
from rayred.training.trained import Trained, load_trained, save_trained
from rayred.training.worker import Shard, Worker
from tests.training.examples import task, weights

N = 30
TRAINED_ON = np.arange(2, 22)
CLASSES = 3


def batches(batch_size: int) -> list[tuple[np.ndarray, torch.Tensor, torch.Tensor]]:
    """Images, logits and labels of some steps; a large batch holds images several times."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(CLASSES, (N,), generator=generator)
    order = training_order(TRAINED_ON, batch_size, 12, seed=0)
    return [
        (images, torch.randn(len(images), CLASSES, generator=generator), labels[images])
        for images in order
    ]


def followed(batch_size: int, worker: Worker, steps: range = range(12)) -> Learning:
    learning = Learning(
        task(steps=12, batch_size=batch_size, warmup_steps=0), TRAINED_ON, N, worker
    )
    learning.begin(steps.start)
    for _, logits, labels in batches(batch_size)[steps.start : steps.stop]:
        learning.see(logits[worker.shard.rows], labels[worker.shard.rows])
    return learning


@pytest.mark.parametrize("batch_size", [8, 20, 50])
def test_forgetting_counts_as_the_paper_says(batch_size):
    before = np.zeros(N, np.bool_)
    events, learned = np.zeros(N), np.zeros(N, np.bool_)
    for images, logits, labels in batches(batch_size):
        for image, right in zip(images, (logits.argmax(1) == labels).numpy(), strict=True):
            events[image] += before[image] and not right
            learned[image] |= right
            before[image] = right
    events[~learned] = np.inf
    assert followed(batch_size, Worker()).scores()["forgetting"].tolist() == events.tolist()
    assert np.isinf(events[[0, 1, 22]]).all()  # which were not trained on
    assert (events[TRAINED_ON] > 0).any()


def test_it_goes_on_from_a_state():
    whole = followed(8, Worker())
    first = followed(8, Worker(), range(5))
    rest = Learning(task(steps=12, batch_size=8, warmup_steps=0), TRAINED_ON, N, Worker())
    rest.load_state(first.state(), 5)
    for _, logits, labels in batches(8)[5:]:
        rest.see(logits, labels)
    assert rest.scores()["forgetting"].tolist() == whole.scores()["forgetting"].tolist()


def half(rank: int, folder: str) -> None:
    torch.distributed.init_process_group(
        "gloo", f"file://{folder}/store", timedelta(seconds=60), world_size=2, rank=rank
    )
    worker = Worker(shard=Shard(rank, 2))
    scores = followed(8, worker).scores()["forgetting"]
    torch.save((scores, el2n_scores(network(), small_digits(), worker)), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def network():
    torch.manual_seed(0)
    return build_model(task().spec).eval()


def small_digits():
    return load_dataset("digits").train.part(0, 151)


def test_two_workers_see_what_one_does(tmp_path):
    torch.multiprocessing.spawn(half, (str(tmp_path),), nprocs=2)
    alone = followed(8, Worker()).scores()["forgetting"]
    for rank in range(2):
        scores, el2n = torch.load(tmp_path / f"{rank}.pt", weights_only=False)
        assert scores.tolist() == alone.tolist()
        torch.testing.assert_close(el2n, el2n_scores(network(), small_digits()))


def test_el2n_is_the_length_of_the_error():
    model, split = network().train(), small_digits()
    scores = el2n_scores(model, split)
    assert model.training
    x = torch.from_numpy(split.images).permute(0, 3, 1, 2)
    with torch.inference_mode():
        shares = model.eval()(x).double().softmax(1).numpy()
    wanted = np.linalg.norm(shares - np.eye(10)[split.labels], axis=1)
    assert scores.numpy() == pytest.approx(wanted, abs=1e-4)


def test_following_changes_no_bit_of_a_training_and_outlives_a_checkpoint(tmp_path):
    digits, rows = load_dataset("digits"), np.arange(300)
    plain = task(steps=20, checkpoint_steps=7)
    follow, states = replace(plain, follow=True), []
    whole = train_model(follow, digits, rows, save=lambda state: states.append(deepcopy(state)))
    assert torch.equal(weights(whole.model), weights(train_model(plain, digits, rows).model))
    assert set(whole.scores) == {"forgetting", "el2n"}
    assert np.isfinite(whole.scores["el2n"]).all()
    assert np.isinf(whole.scores["forgetting"][300:]).all()
    assert states
    resumed = train_model(follow, digits, rows, resume=states[0])
    for name, values in whole.scores.items():
        assert np.array_equal(resumed.scores[name], values)
    save_trained(tmp_path / "reference.pt", Trained.of(follow, whole))
    loaded = load_trained(tmp_path / "reference.pt").scores
    assert all(np.array_equal(loaded[name], values) for name, values in whole.scores.items())
