"""Networks that are trained already: their embeddings, and files of weights that others wrote."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision.models
from torch import Tensor, nn

from rayred.errors import ConfigError
from rayred.models.pretrained import Pretrained, PretrainedNetwork, load_pretrained

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pixels, as in torchvision's documentation."""
SMALL = "shufflenet_v2_x0_5"


def random_weights(name: str, classes: int = 5, **options: Any) -> tuple[nn.Module, dict[str, Any]]:
    """Return a model of torchvision with random weights and statistics, and its state."""
    torch.manual_seed(0)
    model = torchvision.models.get_model(name, weights=None, num_classes=classes, **options)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 2)
    return model.eval(), model.state_dict()


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def pixels(side: int, channels: int = 3, count: int = 2) -> Tensor:
    """Return (count, channels, side, side) uint8."""
    generator = torch.Generator().manual_seed(1)
    shape = (count, channels, side, side)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def normalised(x: Tensor) -> Tensor:
    """Return raw pixels as the documentation of torchvision says."""
    channels = [(x[:, c] / 255 - MEAN[c]) / DEVIATION[c] for c in range(3)]
    return torch.stack(channels, dim=1)


def loaded(name: str, path: Path) -> PretrainedNetwork:
    spec = Pretrained.named(name)
    return load_pretrained(spec, spec.weights(path))


@torch.inference_mode()
def test_embeddings_are_what_the_classifier_would_get(tmp_path):
    model, state = random_weights("resnet18")
    network = loaded("resnet18", saved(tmp_path / "w.pt", state))
    model.fc = nn.Identity()
    x = pixels(224)
    found = network.embed(x)
    assert found.shape == (2, 512)
    torch.testing.assert_close(found, model(normalised(x)), rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_grey_images_and_images_of_another_size(tmp_path):
    model, state = random_weights(SMALL)
    network = loaded(SMALL, saved(tmp_path / "w.pt", state))
    model.fc = nn.Identity()
    x = pixels(50, channels=1)
    resized = F.interpolate(x.float(), (224, 224), mode="bilinear", antialias=True)
    expected = model(normalised(resized.repeat(1, 3, 1, 1)))
    torch.testing.assert_close(network.embed(x), expected, rtol=1e-4, atol=1e-4)


FAMILIES = {
    "densenet121": 1024,
    "efficientnet_b0": 1280,
    "mnasnet0_5": 1280,
    "mobilenet_v3_small": 1024,
    "regnet_x_400mf": 400,
    "shufflenet_v2_x0_5": 1024,
    "squeezenet1_1": 512,
    "swin_t": 768,
}


@pytest.mark.parametrize("name", FAMILIES)
@torch.inference_mode()
def test_of_each_family_the_last_layer_is_cut_off(tmp_path, name):
    """What the whole network gives its last layer, seen by a hook, is the embedding."""
    model, state = random_weights(name)
    network = loaded(name, saved(tmp_path / "w.pt", state))
    linear = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    last = linear[-1] if linear else model.classifier[1]
    seen: list[Tensor] = []
    last.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = pixels(network.side, count=1)
    model(normalised(x))
    expected = seen[0] if linear else seen[0].mean(dim=(2, 3))
    found = network.embed(x)
    assert found.shape == (1, FAMILIES[name])
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@torch.inference_mode()
def test_a_network_of_another_normalisation_undoes_torchvisions(tmp_path):
    model, state = random_weights("googlenet", init_weights=False, transform_input=True)
    network = loaded("googlenet", saved(tmp_path / "w.pt", state))
    model.fc = nn.Identity()
    x = pixels(224, count=1)
    torch.testing.assert_close(network.embed(x), model(normalised(x)), rtol=1e-3, atol=1e-4)


def test_all_classification_models_are_known():
    names = torchvision.models.list_models(module=torchvision.models)
    sides = {name: Pretrained.named(name).side for name in names}
    assert len(sides) >= 80
    assert sides["resnet50"] == 224
    assert sides["inception_v3"] == 299
    assert sides["efficientnet_b7"] == 600


def test_the_memory_of_a_batch_is_bounded(tmp_path):
    _, state = random_weights(SMALL)
    spec = Pretrained(SMALL, 224 * 8, MEAN, DEVIATION)
    network = load_pretrained(
        spec, Pretrained.named(SMALL).weights(saved(tmp_path / "w.pt", state))
    )
    sizes: list[int] = []

    def note(x: Tensor) -> Tensor:
        sizes.append(len(x))
        return x[:, 0, :2, :2]

    network.network.forward = note
    assert network.embed(pixels(8, count=5)).shape == (5, 4)
    assert sizes == [2, 2, 1]


@pytest.mark.parametrize(
    "packed",
    [
        dict,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state, "optimizer": {"lr": 0.1}},
        lambda state: {f"module.{name}": value for name, value in state.items()},
        lambda state: {"state_dict": {f"module.{name}": v for name, v in state.items()}},
        lambda state: {name: value for name, value in state.items() if not name.startswith("fc.")},
        lambda state: {name: v for name, v in state.items() if "num_batches" not in name},
    ],
    ids=["plain", "state_dict", "model", "module", "both", "no-classifier", "old"],
)
def test_files_of_weights(tmp_path, packed):
    _, state = random_weights("resnet18")
    found = Pretrained.named("resnet18").weights(saved(tmp_path / "w.pt", packed(state)))
    assert all(torch.equal(found[name], state[name]) for name in found)
    assert len(found) == len(state) - 2


@pytest.mark.parametrize("prefix", ["", "module."])
def test_layers_that_ask_for_the_version_of_their_weights(tmp_path, prefix):
    model, state = random_weights("mnasnet0_5")
    wrapped = nn.DataParallel(model).state_dict() if prefix else state
    assert all(name.startswith(prefix) for name in wrapped)
    spec = Pretrained.named("mnasnet0_5")
    for content in (wrapped, dict(wrapped)):
        found = spec.weights(saved(tmp_path / "w.pt", content))
        assert torch.equal(found["layers.0.weight"], state["layers.0.weight"])


def test_the_names_in_published_files_of_densenets(tmp_path):
    _, state = random_weights("densenet121")
    old = {
        name.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): value
        for name, value in state.items()
    }
    assert set(old) != set(state)
    found = Pretrained.named("densenet121").weights(saved(tmp_path / "w.pt", old))
    assert set(found) == {name for name in state if not name.startswith("classifier.")}


def changed(state: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return weights with some replaced, or taken out where they are None."""
    named = {name.replace("__", "."): value for name, value in changes.items()}
    return {name: value for name, value in {**state, **named}.items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conv1__0__weight": None}, "has no conv1.0.weight, which shufflenet_v2_x0_5 has"),
        ({"neck__weight": torch.ones(2)}, "has neck.weight, which shufflenet_v2_x0_5 does not"),
        ({"conv1__0__weight": torch.ones(2, 3)}, "conv1.0.weight has shape (2, 3), that of"),
        ({"conv1__0__weight": 5}, "conv1.0.weight has shape none, that of"),
        ({"conv1__1__weight": torch.full((24,), torch.nan)}, "conv1.1.weight has a value that is"),
    ],
)
def test_weights_that_do_not_fit(tmp_path, changes, message):
    path = saved(tmp_path / "w.pt", changed(random_weights(SMALL)[1], **changes))
    with pytest.raises(ConfigError) as error:
        Pretrained.named(SMALL).weights(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_hold_no_weights(tmp_path):
    spec = Pretrained.named(SMALL)
    whole = saved(tmp_path / "good.pt", random_weights(SMALL)[1]).read_bytes()
    contents = {"empty": b"", "text": b"no weights", "cut": whole[: len(whole) // 2]}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    saved(tmp_path / "model", torchvision.models.get_model(SMALL, weights=None))
    for name in (*contents, "model"):
        with pytest.raises(ConfigError, match=f"{name}: no file of weights: it is damaged, or"):
            spec.weights(tmp_path / name)
    saved(tmp_path / "tensor", torch.ones(3))
    with pytest.raises(ConfigError, match="tensor: holds a Tensor that is no state dict"):
        spec.weights(tmp_path / "tensor")
    with pytest.raises(ConfigError, match="missing: cannot read the weights: No such file"):
        spec.weights(tmp_path / "missing")
    with pytest.raises(ConfigError, match="cannot read the weights: Is a directory"):
        spec.weights(tmp_path)


def test_names_that_are_not_known():
    with pytest.raises(ConfigError, match=r"'resnet19': .* did you mean 'resnet1"):
        Pretrained.named("resnet19")
    with pytest.raises(ConfigError, match="'fasterrcnn_resnet50_fpn': torchvision has no such cl"):
        Pretrained.named("fasterrcnn_resnet50_fpn")


def test_default_weights_are_those_of_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    _, state = random_weights(SMALL, classes=1000)
    entry = torchvision.models.get_model_weights(SMALL).DEFAULT
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    saved(cache / Path(entry.url).name, state)
    found = Pretrained.named(SMALL).weights("default")
    assert all(torch.equal(found[name], state[name]) for name in found)


def test_default_weights_without_a_network(tmp_path, monkeypatch):
    """The library's own client fails here, at once, for want of a name server."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # where nothing listens
    with pytest.raises(ConfigError, match=r"weights: default: those of .* cannot be had") as error:
        Pretrained.named(SMALL).weights("default")
    assert "get https://download.pytorch.org/models/shufflenet" in str(error.value)
    assert "\n" not in str(error.value)


def test_without_timm_its_models_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ConfigError, match=r"the package timm is not installed; pip install 'rayre"):
        Pretrained.named("timm:resnet18")


@torch.inference_mode()
def test_models_of_timm(tmp_path):
    timm = pytest.importorskip("timm")
    model = timm.create_model("test_vit", pretrained=False, num_classes=7).eval()
    network = loaded("timm:test_vit", saved(tmp_path / "w.pt", model.state_dict()))
    x = pixels(network.side)
    features = model.forward_features(network.normalise(x))
    expected = model.forward_head(features, pre_logits=True)
    torch.testing.assert_close(network.embed(x), expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(ConfigError, match="'timm:resnet19': timm has no such model; did you mean"):
        Pretrained.named("timm:resnet19")
    with pytest.raises(ConfigError, match=r"'timm:resnet18\.none': timm has no weights 'none'"):
        Pretrained.named("timm:resnet18.none")
