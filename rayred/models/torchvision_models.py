"""The classification models of torchvision: which there are, their weights, and their classifiers.

>>> network, heads = without_classifier("shufflenet_v2_x0_5")
>>> heads
('fc',)
"""

from __future__ import annotations

import http.client
import re
import sys
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from rayred.errors import ConfigError, did_you_mean
from rayred.models.weight_files import fitted

Preprocessing = tuple[int, tuple[float, ...], tuple[float, ...]]
"""Side of the input in pixels, and mean and standard deviation of each of its channels."""

BUILT_WITH: dict[str, dict[str, bool]] = {
    # As their published weights want it: these were trained with another normalisation.
    "googlenet": {"transform_input": True, "aux_logits": False, "init_weights": False},
    "inception_v3": {"transform_input": True, "aux_logits": False, "init_weights": False},
}
AUXILIARY = {"googlenet": ("aux1", "aux2"), "inception_v3": ("AuxLogits",)}
"""Classifiers that only training has."""
OLD_DENSE_LAYER = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..+)$")
"""Names in the published files of DenseNets, which have a dot too many."""


def preprocessing(name: str) -> Preprocessing:
    """Return what a model's images go through; raises `ConfigError` if there is no such model."""
    transforms = _default_entry(name).transforms()
    (side,) = transforms.crop_size
    return side, tuple(transforms.mean), tuple(transforms.std)


def without_classifier(name: str) -> tuple[nn.Module, tuple[str, ...]]:
    """Return a model with random weights whose classifier passes its input on.

    The classifier is the last linear layer, or without one the last convolution, as in SqueezeNet:
    its input then goes through the pooling that follows it.

    Returns
    -------
    network, heads
        The network, and the names of the layers that it has no weights of any more.
    """
    import torchvision.models

    network = torchvision.models.get_model(name, weights=None, **BUILT_WITH.get(name, {}))
    layers = dict(network.named_modules())
    kinds: tuple[type[nn.Module], ...] = (nn.Linear, nn.Conv2d)
    found = [[at for at, layer in layers.items() if isinstance(layer, kind)] for kind in kinds]
    head = next(names[-1] for names in found if names)
    parent, _, last = head.rpartition(".")
    setattr(layers[parent], last, nn.Identity())
    return network, (head, *AUXILIARY.get(name, ()))


def default_weights(name: str) -> dict[str, Tensor]:
    """Return the weights that torchvision recommends, from its cache or the internet.

    Raises `ConfigError` if they cannot be had, or are not those of the model.
    """
    entry = _default_entry(name)
    try:
        found = entry.get_state_dict(progress=sys.stderr.isatty(), check_hash=True)
    except (OSError, http.client.HTTPException, RuntimeError) as error:
        raise ConfigError(
            f"weights: default: those of {name} cannot be had ({error}); get {entry.url} elsewhere,"
            " and give the file"
        ) from error
    network, heads = without_classifier(name)
    return fitted(network, name, renamed(name, found), heads, "weights: default")


def renamed(name: str, weights: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return weights under the names that the model has now."""
    if not name.startswith("densenet"):
        return weights
    return {OLD_DENSE_LAYER.sub(r"\1\2", key): value for key, value in weights.items()}


def _default_entry(name: str) -> Any:
    import torchvision.models

    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        hint = did_you_mean(name, known)
        raise ConfigError(
            f"model: {name!r}: torchvision has no such classification model;"
            f"{hint or ' choose one of its list, or timm:NAME'}"
        )
    return torchvision.models.get_model_weights(name).DEFAULT
