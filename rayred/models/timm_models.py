"""The models of timm, if it is installed: which there are, their weights, and their classifiers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from rayred.errors import ConfigError, did_you_mean
from rayred.models.torchvision_models import Preprocessing


def preprocessing(name: str) -> Preprocessing:
    """Return what a model's images go through; raises `ConfigError` if there is no such model."""
    timm = _timm(name)
    model, _, tag = name.partition(".")
    if not timm.is_model(model):
        known = timm.list_models()
        hint = did_you_mean(model, known)
        raise ConfigError(
            f"model: 'timm:{name}': timm has no such model;{hint or ' choose one of its list'}"
        )
    try:
        published = timm.get_pretrained_cfg(name)
    except RuntimeError as error:
        raise ConfigError(
            f"model: 'timm:{name}': timm has no weights {tag!r} of {model}; name those it has, or"
            f" timm:{model}"
        ) from error
    config = timm.data.resolve_data_config(pretrained_cfg=published.to_dict())
    channels, *size = config["input_size"]
    if channels != 3 or len(set(size)) != 1:
        raise ConfigError(
            f"model: 'timm:{name}': its images have {channels} channels and {tuple(size)} pixels;"
            " choose a model of square images of 3 channels"
        )
    return size[0], tuple(config["mean"]), tuple(config["std"])


def without_classifier(name: str) -> tuple[nn.Module, tuple[str, ...]]:
    """Return a model with random weights that returns its pooled features.

    Returns
    -------
    network, heads
        The network, and the names of the layers that it has no weights of any more.
    """
    network: nn.Module = _timm(name).create_model(name, pretrained=False, num_classes=0)
    return network, _heads(network)


def default_weights(name: str) -> dict[str, Tensor]:
    """Return the weights that timm recommends, from its cache or the internet."""
    try:
        network = _timm(name).create_model(name, pretrained=True, num_classes=0)
    except Exception as error:  # whatever its client for the internet raises
        reason = str(error).strip().partition("\n")[0]
        raise ConfigError(
            f"weights: default: those of timm:{name} cannot be had ({reason}); get them elsewhere,"
            " and give the file"
        ) from error
    weights: dict[str, Tensor] = network.state_dict()
    return weights


def renamed(name: str, weights: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return weights under the names that the model has now."""
    del name
    return weights


def _heads(network: Any) -> tuple[str, ...]:
    heads = network.pretrained_cfg.get("classifier") or ()
    return (heads,) if isinstance(heads, str) else tuple(heads)


def _timm(name: str) -> Any:
    try:
        import timm
        import timm.data
    except ImportError as error:
        raise ConfigError(
            f"model: 'timm:{name}': the package timm is not installed; pip install 'rayred[timm]'"
        ) from error
    return timm
