"""Networks that are trained already, by name: those of torchvision, and of timm if it is installed.

Of each, all is used but the classifier: an embedding is what the classifier would get.

Legend: B images, C channels (1 or 3), H × W pixels, S side of the network's input, D embedding
dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rayred.models import timm_models, torchvision_models
from rayred.models.weight_files import fitted, read_weights

DEFAULT: Literal["default"] = "default"
"""In place of a file of weights: those that the library recommends."""
TIMM = "timm:"
"""Prefix of the names of timm's models."""
CHUNK_PIXELS = 128 * 224**2
"""Most pixels of a forward pass, by which its memory is bounded whatever S is."""


@dataclass(frozen=True)
class Pretrained:
    """A network and what its images go through, apart from its weights."""

    name: str
    """Name in torchvision, or ``timm:`` and the name in timm."""
    side: int
    """S, height and width of its input in pixels."""
    mean: tuple[float, ...]
    """(3,) subtracted from pixels in [0, 1]."""
    deviation: tuple[float, ...]
    """(3,) that the difference is divided by."""

    @classmethod
    def named(cls, name: str) -> Pretrained:
        """Return the network of a name, with the side and normalisation of its default weights.

        Raises
        ------
        ConfigError
            There is no such network, or its library is not installed.
        """
        library, inner = _library(name)
        return cls(name, *library.preprocessing(inner))

    def preprocessing(self) -> dict[str, Any]:
        """Return side and normalisation as plain values."""
        return {"side": self.side, "mean": list(self.mean), "deviation": list(self.deviation)}

    def weights(self, source: Path | str) -> dict[str, Tensor]:
        """Return weights that fit the network, without those of classifiers.

        Parameters
        ----------
        source
            File of weights, or the text `DEFAULT`.

        Raises
        ------
        ConfigError
            They cannot be had, or do not fit.
        """
        library, name = _library(self.name)
        if source != DEFAULT:
            network, heads = library.without_classifier(name)
            found = library.renamed(name, read_weights(Path(source)))
            return fitted(network, self.name, found, heads, str(source))
        default: dict[str, Tensor] = library.default_weights(name)
        return default


class PretrainedNetwork(nn.Module):
    """A network without its classifier: takes raw pixels, (B, C, H, W) of 0 to 255.

    Parameters
    ----------
    spec
        The network and what its images go through.
    """

    mean: Tensor
    """(1, 3, 1, 1) mean, 0 to 255."""
    deviation: Tensor
    """(1, 3, 1, 1) standard deviation, 0 to 255."""

    def __init__(self, spec: Pretrained) -> None:
        super().__init__()
        library, name = _library(spec.name)
        self.network, _ = library.without_classifier(name)
        self.side = spec.side
        for name, values in (("mean", spec.mean), ("deviation", spec.deviation)):
            self.register_buffer(name, 255 * torch.tensor(values).view(1, 3, 1, 1), False)

    def normalise(self, x: Tensor) -> Tensor:
        """Return raw pixels, (B, C, H, W), as the network's input, (B, 3, S, S) float32."""
        x = x.to(self.mean.dtype).expand(-1, 3, -1, -1)
        size = (self.side, self.side)
        if x.shape[2:] != size:
            x = F.interpolate(x, size, mode="bilinear", antialias=True, align_corners=False)
        normalised = (x - self.mean) / self.deviation
        return normalised.contiguous(memory_format=torch.channels_last)

    def embed(self, x: Tensor) -> Tensor:
        """Return the embedding of raw pixels, (B, D)."""
        chunks = torch.split(x, max(1, CHUNK_PIXELS // self.side**2))
        return torch.cat([self.network(self.normalise(chunk)).flatten(1) for chunk in chunks])


def load_pretrained(spec: Pretrained, weights: Mapping[str, Tensor]) -> PretrainedNetwork:
    """Return a network with weights that fit it, in evaluation mode."""
    model = PretrainedNetwork(spec)
    own = model.network.state_dict()  # with the versions of its layers, which some ask for
    for key in own:
        own[key] = weights[key]
    model.network.load_state_dict(own)
    return model.eval().to(memory_format=torch.channels_last)


def _library(name: str) -> tuple[Any, str]:
    """Return the module for a network's library, and the network's name in it."""
    inner = name.removeprefix(TIMM)
    return (torchvision_models if inner == name else timm_models), inner
