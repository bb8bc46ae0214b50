"""Training-time augmentation, batched: one set of tensor operations for all images of a step.

Legend: B images of a batch, H × W pixels, C channels.

The random parameters of a step are drawn for the whole batch from a generator of their own, so
that a batch split over several workers is augmented as one worker would augment it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from rayred.config import Augment

RESIZED_AREA = (0.08, 1.0)
"""Range of the share of an image's area that a random resized crop covers."""
RESIZED_ASPECT = (3 / 4, 4 / 3)
"""Range of its width over its height."""


@dataclass(frozen=True)
class Draw:
    """Random parameters of one batch."""

    offsets: NDArray[np.int64]
    """(B, 2) upper and left edge of the crop within the padded image, in pixels."""
    area: NDArray[np.float64]
    """(B, 10) shares of the image's area for random resized crops: attempts, in order."""
    aspect: NDArray[np.float64]
    """(B, 10) width over height of each attempt."""
    place: NDArray[np.float64]
    """(B, 2) vertical and horizontal position of the box, from 0 (upper, left) to below 1."""
    flip: NDArray[np.bool_]
    """(B,) which images are mirrored."""

    def __getitem__(self, rows: slice) -> Draw:
        """Return the parameters of some rows of the batch."""
        return Draw(
            self.offsets[rows],
            self.area[rows],
            self.aspect[rows],
            self.place[rows],
            self.flip[rows],
        )


def draw(augment: Augment, batch_size: int, rng: np.random.Generator) -> Draw:
    """Return random parameters for one batch.

    Parameters
    ----------
    augment
        Settings; ranges of crops that they do not use are empty.
    batch_size
        Images of the whole batch, over all workers.
    rng
        Generator of this step alone.
    """
    attempts = (batch_size, 10 if augment.crop == "resized" else 0)
    flip = rng.random(batch_size) < 0.5 if augment.flip else np.zeros(batch_size, bool)
    low, high = map(math.log, RESIZED_ASPECT)
    span = 2 * augment.pad + 1 if augment.crop == "pad" else 1
    return Draw(
        offsets=rng.integers(0, span, (batch_size, 2)),
        area=rng.uniform(*RESIZED_AREA, attempts),
        aspect=np.exp(rng.uniform(low, high, attempts)),
        place=rng.random((batch_size, 2)),
        flip=flip,
    )


def shift_and_flip(x_BHWC: Tensor, chosen: Draw, pad: int) -> Tensor:
    """Pad with zeros, cut each image out at its offset, and mirror the chosen ones.

    The same as torchvision's ``crop(pad(x), *offset, H, W)`` and ``hflip``, in one gather.

    Parameters
    ----------
    x_BHWC
        The images.
    chosen
        Offsets and flips.
    pad
        Pixels to pad on each side.

    Returns
    -------
    x_BHWC
        Images of the same size and type.
    """
    batch, height, width, _ = x_BHWC.shape
    device = x_BHWC.device
    offsets = torch.from_numpy(chosen.offsets).to(device)
    flip = torch.from_numpy(chosen.flip).to(device)
    columns = torch.arange(width, device=device)
    columns = torch.where(flip[:, None], width - 1 - columns, columns) + offsets[:, 1:]
    rows = torch.arange(height, device=device) + offsets[:, :1]
    padded = F.pad(x_BHWC, (0, 0, pad, pad, pad, pad)) if pad else x_BHWC
    image = torch.arange(batch, device=device)[:, None, None]
    return padded[image, rows[:, :, None], columns[:, None, :]]


def resized_box(chosen: Draw, row: int, width: int, height: int) -> tuple[float, ...]:
    """Return left, upper, right and lower edge of a random resized crop, in pixels.

    Parameters
    ----------
    chosen, row
        Random parameters, and the image's row among them.
    width, height
        Size of the image, in pixels.

    Source: Szegedy et al., Going Deeper with Convolutions (arXiv 1409.4842), section 6, with
    torchvision's fall-back to the largest central box of an allowed aspect.
    """
    box_width = np.round(np.sqrt(width * height * chosen.area[row] * chosen.aspect[row]))
    box_height = np.round(np.sqrt(width * height * chosen.area[row] / chosen.aspect[row]))
    fits = (box_width > 0) & (box_width <= width) & (box_height > 0) & (box_height <= height)
    if fits.any():
        first = int(np.argmax(fits))
        w, h = int(box_width[first]), int(box_height[first])
        upper = int(chosen.place[row, 0] * (height - h + 1))
        left = int(chosen.place[row, 1] * (width - w + 1))
        return left, upper, left + w, upper + h
    low, high = RESIZED_ASPECT
    w = min(width, round(height * high))
    h = min(height, round(width / low))
    left, upper = (width - w) // 2, (height - h) // 2
    return left, upper, left + w, upper + h
