"""The ResNets of torchvision by name, with a stem for small images where needed.

Legend: B images, C channels, H × W pixels, D embedding dimensions.

>>> import torch
>>> network = TorchvisionResNet("resnet18", channels=1, classes=10, image_side=8)
>>> x_BCHW = torch.zeros(2, 1, 8, 8)
>>> network(x_BCHW).shape, network.embed(x_BCHW).shape
(torch.Size([2, 10]), torch.Size([2, 512]))
"""

from __future__ import annotations

import torchvision.models
from torch import Tensor, nn

SMALL_IMAGE = 64
"""Largest side, in pixels, of images that get the stem of the CIFAR ResNets.

That is a 3 × 3 convolution of stride 1 without max pooling, in place of 7 × 7 with stride 2.
"""


class GlobalMean(nn.Module):
    """Average pooling over all pixels, written so that `torch.vmap` can batch it."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, D, H, W) to (B, D, 1, 1)."""
        return x.mean(dim=(2, 3), keepdim=True)


class TorchvisionResNet(nn.Module):
    """A ResNet, Wide ResNet or ResNeXt of torchvision with random weights.

    Parameters
    ----------
    name
        Name in ``torchvision.models``, such as ``resnet101``.
    channels
        Number of colour channels of the images.
    classes
        Number of classes.
    image_side
        Longer side of the images, in pixels; it decides the stem, see `SMALL_IMAGE`.
    """

    def __init__(self, name: str, channels: int, classes: int, image_side: int) -> None:
        super().__init__()
        network = torchvision.models.get_model(name, weights=None, num_classes=classes)
        width = network.conv1.out_channels
        if image_side <= SMALL_IMAGE:
            network.conv1 = nn.Conv2d(channels, width, 3, padding=1, bias=False)
            network.maxpool = nn.Identity()
        elif channels != network.conv1.in_channels:
            network.conv1 = nn.Conv2d(channels, width, 7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
        network.avgpool = GlobalMean()
        self.classify = network.fc
        network.fc = nn.Identity()
        self.features = network

    def embed(self, x: Tensor) -> Tensor:
        """Return the output of the last average pooling, (B, D) with D = 512 or 2,048."""
        embedding: Tensor = self.features(x)
        return embedding

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, (B, classes)."""
        logits: Tensor = self.classify(self.embed(x))
        return logits
