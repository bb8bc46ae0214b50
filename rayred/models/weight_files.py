"""Files of a network's weights that others wrote: read without running code, and made to fit."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rayred.errors import ConfigError

INNER = ("state_dict", "model")
"""Keys under which a file may hold the weights beside other things."""
PREFIXES = ("module.", "_orig_mod.")
"""Put before all names by data parallel and by compiled networks."""


def read_weights(path: Path) -> dict[str, Any]:
    """Return the weights in a file by name, without prefixes.

    Raises
    ------
    ConfigError
        The file cannot be read, or holds something else.
    """
    try:
        with path.open("rb") as file:
            found = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the weights: {error.strerror or error}") from error
    except Exception as error:  # a damaged file may raise any
        raise ConfigError(
            f"{path}: no file of weights: it is damaged, or holds more than tensors; give what"
            " torch.save wrote of a state dict"
        ) from error
    for key in INNER:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not (isinstance(found, Mapping) and found and all(isinstance(key, str) for key in found)):
        raise ConfigError(
            f"{path}: holds a {type(found).__name__} that is no state dict; give what torch.save"
            " wrote of one"
        )
    return _without_prefixes(found)


def fitted(
    network: nn.Module, name: str, weights: Mapping[str, Any], heads: Sequence[str], where: str
) -> dict[str, Tensor]:
    """Return all weights of a network after they are loaded into it, on the CPU.

    Parameters
    ----------
    network, name
        The network, without classifiers, and its name for messages.
    weights
        Weights by name; those of classifiers are not used.
    heads
        Names of the classifiers.
    where
        Where the weights are from, for messages.

    Raises
    ------
    ConfigError
        Weights are missing, left over, of other shapes or not finite.
    """
    classifiers = tuple(f"{head}." for head in heads)
    given = {key: value for key, value in weights.items() if not key.startswith(classifiers)}
    other = f"give weights of {name}, or name the model that they are of"
    for key, own in network.state_dict().items():
        found = given.get(key, own)
        if not isinstance(found, Tensor) or found.shape != own.shape:
            shape = tuple(found.shape) if isinstance(found, Tensor) else "none"
            raise ConfigError(
                f"{where}: {key} has shape {shape}, that of {name} {tuple(own.shape)}; {other}"
            )
    missing, unexpected = network.load_state_dict(_versioned(given, weights, network), strict=False)
    if missing:
        raise ConfigError(f"{where}: has no {missing[0]}, which {name} has; {other}")
    if unexpected:
        raise ConfigError(f"{where}: has {unexpected[0]}, which {name} does not have; {other}")
    fitting: dict[str, Tensor] = network.state_dict()
    for key, value in fitting.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise ConfigError(f"{where}: {key} has a value that is NaN or infinite; give others")
    return fitting


def _without_prefixes(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Return weights without what is put before all of their names; versions of layers as well."""
    found = OrderedDict(weights)
    versions = dict(getattr(weights, "_metadata", {}))
    for prefix in PREFIXES:
        if all(key.startswith(prefix) for key in found):
            found = OrderedDict((key.removeprefix(prefix), each) for key, each in found.items())
            versions = {f"{key}.".removeprefix(prefix)[:-1]: v for key, v in versions.items()}
    return _with_versions(found, versions)


def _versioned(
    given: Mapping[str, Any], weights: Mapping[str, Any], network: nn.Module
) -> OrderedDict[str, Any]:
    """Return weights with the versions of the layers that they were written by.

    Layers rename what earlier versions of theirs wrote. Where nothing says the version, it is the
    first for layers, and the current one for the network: MNASNet loads nothing without one.
    """
    current = {"": {"version": getattr(network, "_version", 1)}}
    return _with_versions(OrderedDict(given), getattr(weights, "_metadata", None) or current)


def _with_versions(weights: OrderedDict[str, Any], versions: Any) -> OrderedDict[str, Any]:
    with_versions: Any = weights
    with_versions._metadata = versions  # where torch looks for them
    return weights
