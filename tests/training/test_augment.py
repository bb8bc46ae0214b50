import numpy as np
import pytest
import torch
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms import functional as T

from rayred.config import Augment
from rayred.training.augment import draw, resized_box, shift_and_flip


def images(count: int, height: int = 9, width: int = 7) -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8))


def test_shift_and_flip_equals_torchvisions_pad_crop_and_flip():
    x = images(64)
    chosen = draw(Augment(pad=3), 64, np.random.default_rng(1))
    ours = shift_and_flip(x, chosen, 3).permute(0, 3, 1, 2)
    for row in range(64):
        upper, left = chosen.offsets[row]
        expected = T.crop(T.pad(x[row].permute(2, 0, 1), [3]), int(upper), int(left), 9, 7)
        if chosen.flip[row]:
            expected = T.hflip(expected)
        assert torch.equal(ours[row], expected)
    assert 16 < chosen.flip.sum() < 48
    assert chosen.offsets.min() == 0
    assert chosen.offsets.max() == 6


def test_without_augmentation_nothing_changes():
    x = images(4)
    chosen = draw(Augment(crop="none", flip=False), 4, np.random.default_rng(1))
    assert torch.equal(shift_and_flip(x, chosen, 0), x)


def test_resized_boxes_are_distributed_as_torchvisions():
    rng = np.random.default_rng(3)
    chosen = draw(Augment(crop="resized"), 4000, rng)
    ours = np.array([resized_box(chosen, row, 64, 48) for row in range(4000)])
    torch.manual_seed(0)
    image = torch.zeros(3, 48, 64)
    theirs = np.array(
        [RandomResizedCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(4000)]
    )
    our_area = (ours[:, 2] - ours[:, 0]) * (ours[:, 3] - ours[:, 1])
    their_area = theirs[:, 2] * theirs[:, 3]
    assert our_area.mean() == pytest.approx(their_area.mean(), rel=0.05)
    assert ours[:, 0].mean() == pytest.approx(theirs[:, 1].mean(), rel=0.1)


def test_slice_of_a_draw_has_the_parameters_of_its_rows():
    chosen = draw(Augment(), 10, np.random.default_rng(4))
    assert np.array_equal(chosen[slice(1, None, 2)].offsets, chosen.offsets[1::2])
