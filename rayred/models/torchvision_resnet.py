"""torchvision's ResNets by name, with the CIFAR stem where images are small."""

from __future__ import annotations

import torchvision.models
from torch import Tensor, nn

SMALL_IMAGE = 64
"""Images up to this side, in pixels, get a 3 × 3 stem of stride 1 without max pooling."""


class GlobalMean(nn.Module):
    """Average pooling over all pixels, which torch can batch over networks."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, D, H, W) to (B, D, 1, 1)."""
        return x.mean(dim=(2, 3), keepdim=True)


class TorchvisionResNet(nn.Module):
    """A ResNet, Wide ResNet or ResNeXt of torchvision, trained from scratch.

    Parameters
    ----------
    name
        Name in ``torchvision.models``, such as ``resnet101``.
    channels
        Colour channels of the images.
    classes
        Number of classes.
    image_side
        Longer side of the images, in pixels: decides the stem.
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
        """Return the output of the last average pooling, (B, D); D is 512 or 2,048."""
        embedding: Tensor = self.features(x)
        return embedding

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, (B, classes)."""
        logits: Tensor = self.classify(self.embed(x))
        return logits
