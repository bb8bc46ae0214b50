"""Networks: their sizes, shapes and first layers."""

import numpy as np
import pytest
import torch

from rayred.config import MODELS
from rayred.data import load_dataset
from rayred.errors import ConfigError
from rayred.models import ModelSpec, build_model
from rayred.models.fast_net import FilterConv, patch_whitening

CIFAR_PARAMETERS = {"resnet20": 0.27e6, "resnet32": 0.46e6, "resnet110": 1.7e6}


def spec(name: str, side: int = 16, channels: int = 3) -> ModelSpec:
    mean, deviation = (0.4,) * channels, (0.2,) * channels
    whitening = tuple(map(tuple, np.eye(4 * channels).tolist()))
    return ModelSpec(name, (side, side, channels), 10, mean, deviation, whitening)


@pytest.mark.parametrize(("name", "expected"), CIFAR_PARAMETERS.items())
def test_cifar_resnets_have_the_published_sizes(name, expected):
    count = sum(parameter.numel() for parameter in build_model(spec(name)).parameters())
    assert count == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize(
    ("name", "pooled", "channels"),
    [
        ("resnet8", 64, 1),
        ("resnet8", 64, 3),
        ("resnet18", 512, 1),
        ("resnet50", 2048, 3),
        ("fastnet", 256, 1),
        ("fastnet", 256, 3),
    ],
)
def test_embedding_is_the_pooled_layer_before_the_logits(name, pooled, channels):
    model = build_model(spec(name, channels=channels)).eval()
    x = torch.randint(0, 256, (2, channels, 16, 16), dtype=torch.uint8)
    with torch.inference_mode():
        embedding = model.embed(x)
        assert embedding.shape == (2, pooled)
        logits = model.network.classify(embedding) * getattr(model.network, "logit_scale", 1)
        torch.testing.assert_close(logits, model(x))


@pytest.mark.parametrize("name", MODELS)
def test_every_model_of_the_settings_can_be_built(name):
    with torch.device("meta"):
        build_model(spec(name))


def test_small_images_get_a_stem_without_stride_and_pooling():
    small = build_model(spec("resnet18", 32)).network.features
    large = build_model(spec("resnet18", 224)).network.features
    assert (small.conv1.stride, small.conv1.kernel_size) == ((1, 1), (3, 3))
    assert isinstance(small.maxpool, torch.nn.Identity)
    assert (large.conv1.stride, large.conv1.kernel_size) == ((2, 2), (7, 7))


def test_pixels_are_normalised_within_the_model():
    model = build_model(spec("resnet8"))
    x = torch.full((1, 3, 16, 16), 255, dtype=torch.uint8)
    assert model.normalise(x).mean().item() == pytest.approx((1 - 0.4) / 0.2, rel=1e-5)


def test_whitening_takes_the_correlation_out_of_patches():
    rng = np.random.default_rng(0)
    smooth = rng.normal(size=(400, 3, 12, 12)).cumsum(axis=2).cumsum(axis=3)
    x = torch.from_numpy(smooth / smooth.std())
    filters = patch_whitening(x, floor=0.0)
    assert filters.shape == (12, 12)
    answers = filters.double() @ torch.nn.functional.unfold(x, 2).transpose(0, 1).flatten(1)
    covariance = answers @ answers.T / answers.shape[1]
    torch.testing.assert_close(covariance, torch.eye(12, dtype=torch.float64), rtol=0, atol=1e-4)


def test_filters_as_a_matrix_are_a_convolution_that_begins_as_the_identity():
    conv = FilterConv(6, 10)
    x = torch.randn(2, 6, 7, 7, generator=torch.Generator().manual_seed(0))
    assert conv.weight.shape == (10, 54)
    # Some processors convolve by transforms, whose rounding leaves the identity.
    torch.testing.assert_close(conv(x)[:, :6], x, rtol=0, atol=1e-4)


def test_fastnet_refuses_images_that_its_poolings_use_up():
    with pytest.raises(ConfigError, match=r"'fastnet'.*8 × 8 pixels; it needs 9"):
        ModelSpec.for_dataset("fastnet", load_dataset("digits"))
