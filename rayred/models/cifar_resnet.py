"""The CIFAR ResNet family with pre-activation: 6n + 2 layers of 16, 32 and 64 channels.

Source: He et al., Identity Mappings in Deep Residual Networks (arXiv 1603.05027), with a
1 × 1 projection of the pre-activated input wherever the shape changes.

Legend: B images, C channels, H × W pixels.

>>> import torch
>>> network = CifarResNet(depth=8, channels=1, classes=10)
>>> x_BCHW = torch.zeros(2, 1, 8, 8)
>>> network(x_BCHW).shape, network.embed(x_BCHW).shape
(torch.Size([2, 10]), torch.Size([2, 64]))
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = (16, 32, 64)
"""Channels of the three stages."""


class PreActivationBlock(nn.Module):
    """Two 3 × 3 convolutions, each after batch norm and ReLU, beside an identity shortcut.

    Parameters
    ----------
    channels_in, channels_out
        Channels of the input and of the output.
    stride
        Stride of the first convolution, in pixels.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.projection = (
            nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)
            if stride != 1 or channels_in != channels_out
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels_in, H, W) to (B, channels_out, H / stride, W / stride)."""
        active = F.relu(self.norm1(x))
        shortcut = x if self.projection is None else self.projection(active)
        hidden: Tensor = self.conv1(active)
        hidden = self.conv2(F.relu(self.norm2(hidden)))
        return hidden + shortcut


class CifarResNet(nn.Module):
    """Pre-activation ResNet for small images; its pooled embedding has 64 dimensions.

    Parameters
    ----------
    depth
        Number of layers with weights, 6n + 2.
    channels
        Number of colour channels of the images.
    classes
        Number of classes.

    Raises
    ------
    ValueError
        `depth` is not 6n + 2 with n ≥ 1.
    """

    def __init__(self, depth: int, channels: int, classes: int) -> None:
        super().__init__()
        blocks_a_stage, rest = divmod(depth - 2, 6)
        if rest or blocks_a_stage < 1:
            raise ValueError(f"depth is {depth}; expected 6n + 2, such as 8 or 20")
        self.stem = nn.Conv2d(channels, WIDTHS[0], 3, padding=1, bias=False)
        blocks = []
        width_in = WIDTHS[0]
        for stage, width in enumerate(WIDTHS):
            for block in range(blocks_a_stage):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(PreActivationBlock(width_in, width, stride))
                width_in = width
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.BatchNorm2d(width_in)
        self.classify = nn.Linear(width_in, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def embed(self, x: Tensor) -> Tensor:
        """Return the output of the last average pooling, (B, 64)."""
        features: Tensor = F.relu(self.norm(self.blocks(self.stem(x))))
        return features.mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, (B, classes)."""
        logits: Tensor = self.classify(self.embed(x))
        return logits
