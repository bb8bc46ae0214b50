from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from rayred.config import Data, Train
from rayred.data import load_dataset
from rayred.training.batches import Shard, evaluation_batches, training_batches, training_order

CPU = torch.device("cpu")


def recipe(**changes):
    return Train.model_validate({"steps": 12, "batch_size": 8, **changes})


def test_order_has_every_image_once_an_epoch():
    indices = np.array([3, 5, 8, 13, 21])
    order = np.concatenate(list(training_order(indices, 4, 10, seed=0)))
    for epoch in range(8):
        assert sorted(order[5 * epoch : 5 * epoch + 5]) == indices.tolist()


def test_batches_have_exactly_the_chosen_images():
    digits = load_dataset("digits").train
    kept = np.array([0, 7, 9, 400])
    plain = recipe(augment={"crop": "none", "flip": False})
    seen = {
        tuple(image.flatten().tolist())
        for x, _ in training_batches(digits, kept, plain, 0, CPU, Shard())
        for image in x
    }
    assert seen == {tuple(digits.images[index].flatten().tolist()) for index in kept}


def test_shards_divide_the_batches_of_one_worker():
    digits = load_dataset("digits").train
    indices = np.arange(100)
    whole = list(training_batches(digits, indices, recipe(), 1, CPU, Shard()))
    halves = [
        list(training_batches(digits, indices, recipe(), 1, CPU, Shard(rank, 2))) for rank in (0, 1)
    ]
    for step, (x, y) in enumerate(whole):
        for rank in (0, 1):
            assert torch.equal(halves[rank][step][0], x[rank::2])
            assert torch.equal(halves[rank][step][1], y[rank::2])


def test_batches_from_a_later_step_are_the_rest_of_all_batches():
    digits = load_dataset("digits").train
    indices = np.arange(50)
    whole = list(training_batches(digits, indices, recipe(), 2, CPU, Shard()))
    rest = list(training_batches(digits, indices, recipe(), 2, CPU, Shard(), first_step=9))
    assert len(rest) == 3
    for (x, y), (x_rest, y_rest) in zip(whole[9:], rest, strict=True):
        assert torch.equal(x, x_rest)
        assert torch.equal(y, y_rest)


@pytest.mark.parametrize("crop", ["none", "pad", "resized"])
@pytest.mark.parametrize("size", [None, 5])
def test_streamed_batches_equal_those_from_memory(tmp_path, crop, size):
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in ("a", "b"):
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(6):
                image = Image.fromarray(rng.integers(0, 256, (7, 9, 3)).astype(np.uint8))
                image.save(tmp_path / split / name / f"{number}.png")
    whole = crop == "resized"
    both = [
        load_dataset(
            f"folder:{tmp_path}",
            Data(image_size=size, load=load, root=str(tmp_path / "root")),
            whole=whole,
        ).train
        for load in ("memory", "stream")
    ]
    train = recipe(augment={"crop": crop, "pad": 2 if crop == "pad" else 0, "flip": True})
    pairs = [training_batches(split, np.arange(12), train, 3, CPU, Shard()) for split in both]
    for (x, y), (x_streamed, y_streamed) in zip(*pairs, strict=True):
        assert torch.equal(x, x_streamed)
        assert torch.equal(y, y_streamed)


def test_evaluation_has_every_image_once_and_unchanged():
    digits = load_dataset("digits").test
    parts = [
        [x for x, _ in evaluation_batches(digits, CPU, Shard(rank, 3), batch_size=64)]
        for rank in range(3)
    ]
    for rank, part in enumerate(parts):
        expected = torch.from_numpy(digits.images[rank::3]).permute(0, 3, 1, 2)
        assert torch.equal(torch.cat(part), expected)


def test_alternating_flips_mirror_an_image_in_every_other_epoch():
    images = np.arange(8, dtype=np.uint8).reshape(1, 1, 8, 1).repeat(10, axis=0)
    split = replace(load_dataset("digits").train, images=images, labels=np.arange(10))
    alternating = Train.model_validate(
        {"steps": 10, "batch_size": 4, "augment": {"crop": "none", "flip": "alternating"}}
    )
    seen = {label: [] for label in range(10)}
    for x, y in training_batches(split, np.arange(10), alternating, 0, CPU, Shard()):
        for image, label in zip(x, y.tolist(), strict=True):
            seen[label].append(int(image[0, 0, 0]) == 7)
    assert all(mirrored[:4] in ([True, False] * 2, [False, True] * 2) for mirrored in seen.values())
    assert 0 < sum(mirrored[0] for mirrored in seen.values()) < 10
