import pytest
import torch

from rayred.config import MODELS
from rayred.models import ModelSpec, build_model

CIFAR_PARAMETERS = {"resnet20": 0.27e6, "resnet32": 0.46e6, "resnet110": 1.7e6}
POOLED = {"resnet8": 64, "resnet32": 64, "resnet18": 512, "resnet50": 2048, "resnet101": 2048}


def spec(name: str, side: int = 16, channels: int = 3) -> ModelSpec:
    mean, deviation = (0.4,) * channels, (0.2,) * channels
    return ModelSpec(name, (side, side, channels), 10, mean, deviation)


@pytest.mark.parametrize(("name", "expected"), CIFAR_PARAMETERS.items())
def test_cifar_resnets_have_the_published_sizes(name, expected):
    count = sum(parameter.numel() for parameter in build_model(spec(name)).parameters())
    assert count == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("name", "pooled"), POOLED.items())
def test_embedding_is_the_pooled_layer_before_the_logits(name, pooled, channels):
    model = build_model(spec(name, channels=channels)).eval()
    x = torch.randint(0, 256, (2, channels, 16, 16), dtype=torch.uint8)
    with torch.inference_mode():
        embedding = model.embed(x)
        assert embedding.shape == (2, pooled)
        torch.testing.assert_close(model.network.classify(embedding), model(x))


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
    assert model._normalise(x).mean().item() == pytest.approx((1 - 0.4) / 0.2, rel=1e-5)
