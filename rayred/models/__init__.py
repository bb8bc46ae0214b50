"""Networks for image classification, by name: each returns logits and pooled embeddings.

A network has `embed(x)`, the output of its last pooling, beside `forward(x)`, the logits.

Legend: B images, C channels, H × W pixels, D embedding dimensions.

>>> import torch
>>> from rayred.models import ModelSpec, build_model
>>> spec = ModelSpec("resnet8", image_shape=(8, 8, 1), classes=10, mean=(0.5,), deviation=(0.25,))
>>> model = build_model(spec)
>>> x_BCHW = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
>>> model(x_BCHW).shape, model.embed(x_BCHW).shape
(torch.Size([2, 10]), torch.Size([2, 64]))
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from rayred.errors import ConfigError
from rayred.models.cifar_resnet import CifarResNet
from rayred.models.fast_net import SMALLEST_IMAGE, FastNet, patch_whitening
from rayred.models.fast_net import WIDTHS as FAST_WIDTHS

if TYPE_CHECKING:
    from rayred.data.dataset import Dataset

WHITENING_IMAGES = 5_000
"""Largest number of training images from whose patches a whitening layer is computed."""
CIFAR_DEPTHS = {f"resnet{depth}": depth for depth in (8, 20, 32, 44, 56, 110)}
"""Number of layers of each network of the CIFAR ResNet family."""


@dataclass(frozen=True)
class ModelSpec:
    """Everything that is needed to build a network, except its weights."""

    name: str
    """One of `rayred.config.MODELS`."""
    image_shape: tuple[int, int, int]
    """Height and width in pixels, and number of channels."""
    classes: int
    """Number of classes."""
    mean: tuple[float, ...]
    """Mean of the training pixels per channel, in [0, 1]."""
    deviation: tuple[float, ...]
    """Standard deviation of the training pixels per channel, in [0, 1]."""
    whitening: tuple[tuple[float, ...], ...] = ()
    """(4 C, 4 C) filters of a whitening first layer; empty for networks without one."""

    @classmethod
    def for_dataset(cls, name: str, dataset: Dataset) -> ModelSpec:
        """Return the spec of a network for the images and classes of a data set.

        Parameters
        ----------
        name
            One of `rayred.config.MODELS`.
        dataset
            Its training images give the normalisation and, if needed, the whitening filters.

        Raises
        ------
        ConfigError
            The images are too small for the network.
        """
        mean, deviation = dataset.channel_statistics()
        shape = dataset.train.image_shape
        spec = cls(name, shape, len(dataset.classes), mean, deviation)
        if name not in FAST_WIDTHS:
            return spec
        if min(shape[:2]) < SMALLEST_IMAGE:
            raise ConfigError(
                f"model: {name!r}: the images of {dataset.name} are {shape[0]} × {shape[1]} pixels;"
                f" it needs {SMALLEST_IMAGE} at least, so choose another, such as resnet8"
            )
        chosen = np.linspace(0, len(dataset.train) - 1, min(len(dataset.train), WHITENING_IMAGES))
        pixels = torch.from_numpy(dataset.train.images[chosen.astype(np.int64)])
        x_BCHW = _normalised(pixels.permute(0, 3, 1, 2), *_channel_tensors(spec))
        return replace(spec, whitening=tuple(map(tuple, patch_whitening(x_BCHW).tolist())))


class _Network(Protocol):
    def __call__(self, x: Tensor) -> Tensor: ...
    def embed(self, x: Tensor) -> Tensor: ...


class Classifier(nn.Module):
    """A network with its normalisation: takes raw pixels, (B, C, H, W) of 0 to 255.

    Parameters
    ----------
    spec
        The network, the shape of its images and the statistics of their pixels.
    """

    mean: Tensor
    """(1, C, 1, 1) mean of the training pixels, 0 to 255."""
    deviation: Tensor
    """(1, C, 1, 1) standard deviation of the training pixels, 0 to 255."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        height, width, channels = spec.image_shape
        if spec.name in CIFAR_DEPTHS:
            network: nn.Module = CifarResNet(CIFAR_DEPTHS[spec.name], channels, spec.classes)
        elif spec.name in FAST_WIDTHS:
            network = FastNet(spec.name, torch.tensor(spec.whitening), spec.classes)
        else:
            # Imported here: torchvision loads torch's compiler, 145 MB in every trial.
            from rayred.models.torchvision_resnet import TorchvisionResNet

            network = TorchvisionResNet(spec.name, channels, spec.classes, max(height, width))
        self.network = network
        mean, deviation = _channel_tensors(spec)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("deviation", deviation, persistent=False)

    def normalise(self, x: Tensor) -> Tensor:
        """Return raw pixels minus `mean` over `deviation`: the network's input, (B, C, H, W)."""
        normalised = _normalised(x, self.mean, self.deviation)
        return normalised.contiguous(memory_format=torch.channels_last)

    def embed(self, x: Tensor) -> Tensor:
        """Return the pooled embedding of raw pixels, (B, D)."""
        return cast(_Network, self.network).embed(self.normalise(x))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of raw pixels, (B, classes)."""
        logits: Tensor = self.network(self.normalise(x))
        return logits


def _channel_tensors(spec: ModelSpec) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each channel, (1, C, 1, 1), for pixels of 0 to 255."""
    shape = (1, spec.image_shape[2], 1, 1)
    return 255 * torch.tensor(spec.mean).view(shape), 255 * torch.tensor(spec.deviation).view(shape)


def _normalised(x_BCHW: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    return (x_BCHW.to(mean.dtype) - mean) / deviation


def build_model(spec: ModelSpec) -> Classifier:
    """Return a network with new weights, drawn from torch's global random state."""
    return Classifier(spec).to(memory_format=torch.channels_last)
