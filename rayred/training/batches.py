"""Batches of uint8 images for training and evaluation, from memory or from files.

Legend: N images of the split, n of them chosen, B a batch, H × W pixels, C channels.

The order of a training is a function of its seed alone: one random permutation of the chosen
images after another, cut into batches. Every image comes once an epoch; a batch may span two.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rayred.config import Train
from rayred.data.dataset import Split
from rayred.data.images import EncodedImages
from rayred.training.augment import Draw, draw, resized_box, shift_and_flip
from rayred.training.worker import Shard

EVALUATION_BATCH = 128
"""Images of a batch in evaluation: by default those of a training batch, whose memory is reused."""
STREAM_AHEAD = 4
"""Batches that are decoded while a training step runs."""

RESIDENT_SHARE = 0.25
"""Most of a GPU's free memory that images take up; other processes may load theirs as well."""

Batch = tuple[Tensor, Tensor]
"""Pixels (B, C, H, W) uint8 and labels (B,) int64, on the training device."""


def training_order(
    indices: NDArray[np.int64], batch_size: int, steps: int, seed: int
) -> Iterator[NDArray[np.int64]]:
    """Yield the images of every step, (B,) of the (n,) indices, for all workers together."""
    epoch = 0
    waiting = np.empty(0, dtype=np.int64)
    for _ in range(steps):
        while len(waiting) < batch_size:
            shuffled = indices[np.random.default_rng([seed, epoch]).permutation(len(indices))]
            waiting = np.concatenate([waiting, shuffled])
            epoch += 1
        yield waiting[:batch_size]
        waiting = waiting[batch_size:]


def training_batches(
    split: Split,
    indices: NDArray[np.int64],
    recipe: Train,
    seed: int,
    device: torch.device,
    shard: Shard,
    first_step: int = 0,
    pixels: Tensor | None = None,
) -> Iterator[Batch]:
    """Yield this worker's share of one augmented batch for every step, from `first_step` on.

    Parameters
    ----------
    split
        The images and labels.
    indices
        (n,) int64, the images to train on.
    recipe
        Steps, batch size and augmentation.
    seed
        Decides order and augmentation.
    device
        Device of the batches.
    shard
        This worker's part of every batch.
    first_step
        Steps that an interrupted training has already taken.
    pixels
        `resident_pixels` of the split, if several trainings share it; by default made here.
    """
    order = enumerate(training_order(indices, recipe.batch_size, recipe.steps, seed))
    mirrored_first = np.random.default_rng([seed, 0, 2]).random(len(split)) < 0.5

    def drawn(step: int, batch: NDArray[np.int64]) -> Draw:
        parameters = draw(recipe.augment, len(batch), np.random.default_rng([seed, step, 1]))
        if recipe.augment.flip != "alternating":
            return parameters
        epochs = (step * recipe.batch_size + np.arange(len(batch))) // len(indices)
        return replace(parameters, flip=mirrored_first[batch] ^ (epochs % 2 == 1))

    chosen = (
        (batch, drawn(step, batch)) for step, batch in itertools.islice(order, first_step, None)
    )
    mine = ((batch[shard.rows], parameters[shard.rows]) for batch, parameters in chosen)
    images = split.images
    if recipe.augment.crop == "resized" and not isinstance(images, EncodedImages):
        images = EncodedImages.of_pixels(images, split.names)
    if isinstance(images, EncodedImages):
        yield from _streamed(images, split.labels, mine, recipe, device)
    else:
        if pixels is None:
            pixels = resident_pixels(images, device)
        yield from _resident(pixels, split.labels, mine, recipe, device)


def evaluation_batches(
    split: Split, device: torch.device, shard: Shard, batch_size: int = EVALUATION_BATCH
) -> Iterator[Batch]:
    """Yield this worker's share of the images of a split, in order and not augmented."""
    indices = np.arange(len(split), dtype=np.int64)[shard.rows]
    pixels = resident_pixels(split.images, device)
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        for start in range(0, len(indices), batch_size):
            batch = indices[start : start + batch_size]
            if isinstance(split.images, EncodedImages):
                decoded = split.images.crop(batch, None, threads)
                x_BHWC = _copied(torch.from_numpy(decoded), device)
            else:
                x_BHWC = _copied(pixels[batch], device)
            yield x_BHWC.permute(0, 3, 1, 2), torch.from_numpy(split.labels[batch]).to(device)


def resident_pixels(images: NDArray[np.uint8] | EncodedImages, device: torch.device) -> Tensor:
    """Return all images as one (N, H, W, C) uint8 tensor: on the device, if they fit there.

    On a CPU it shares their memory, and so it does for a GPU of which they would take more than
    `RESIDENT_SHARE` of the free memory: then batches are copied. Of images that are decoded when
    they are needed, it is empty.
    """
    if isinstance(images, EncodedImages):
        return torch.empty(0, dtype=torch.uint8)
    with warnings.catch_warnings():
        # Arrays in Ray's object store are read-only on purpose; nothing here writes to them.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        pixels = torch.from_numpy(images)
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if images.nbytes > RESIDENT_SHARE * free:
            return pixels
    return pixels.to(device)


def _copied(pixels: Tensor, device: torch.device) -> Tensor:
    """Return images on a device; copying to a GPU overlaps with its computations."""
    if device.type == "cuda" and pixels.device.type == "cpu":
        pixels = pixels.pin_memory()
    return pixels.to(device, non_blocking=True)


def _resident(
    pixels_NHWC: Tensor,
    labels: NDArray[np.int64],
    chosen: Iterator[tuple[NDArray[np.int64], Draw]],
    recipe: Train,
    device: torch.device,
) -> Iterator[Batch]:
    pad = recipe.augment.pad if recipe.augment.crop == "pad" else 0
    for batch, parameters in chosen:
        rows = torch.from_numpy(batch).to(pixels_NHWC.device)
        x_BHWC = _copied(pixels_NHWC[rows], device)
        if pad or recipe.augment.flip:
            x_BHWC = shift_and_flip(x_BHWC, parameters, pad)
        yield x_BHWC.permute(0, 3, 1, 2), torch.from_numpy(labels[batch]).to(device)


def _streamed(
    images: EncodedImages,
    labels: NDArray[np.int64],
    chosen: Iterator[tuple[NDArray[np.int64], Draw]],
    recipe: Train,
    device: torch.device,
) -> Iterator[Batch]:
    augment = recipe.augment
    pad = augment.pad if augment.crop == "pad" else 0

    def load(batch: NDArray[np.int64], parameters: Draw) -> Batch:
        def box(row: int, width: int, height: int) -> tuple[float, float, float, float]:
            left, upper, right, lower = resized_box(parameters, row, width, height)
            return left, upper, right, lower

        boxes = box if augment.crop == "resized" else None
        x_BHWC = _copied(torch.from_numpy(images.crop(batch, boxes, decoders)), device)
        x_BHWC = shift_and_flip(x_BHWC, parameters, pad)
        return x_BHWC.permute(0, 3, 1, 2), torch.from_numpy(labels[batch]).to(device)

    with (
        ThreadPoolExecutor(torch.get_num_threads()) as decoders,
        ThreadPoolExecutor(STREAM_AHEAD) as ahead,
    ):
        waiting: list[Future[Batch]] = []
        for batch, parameters in chosen:
            waiting.append(ahead.submit(load, batch, parameters))
            if len(waiting) > STREAM_AHEAD:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()
