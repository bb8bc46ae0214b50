"""`rayred prune --model`: images compared by a network that is trained already."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.models
from PIL import Image
from torch import nn

from rayred import prune
from rayred.errors import ConfigError
from rayred.pruning.jobs import look
from tests.conftest import rayred_here
from tests.faults.snapshots import snapshot

pytestmark = pytest.mark.usefixtures("cluster")

NAME = "shufflenet_v2_x0_5"


def network(seed: int = 0, classes: int = 3) -> nn.Module:
    torch.manual_seed(seed)
    return torchvision.models.get_model(NAME, weights=None, num_classes=classes).eval()


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder of four cats, two of which are equal, and three dogs; and files of weights."""
    home = tmp_path_factory.mktemp("home")
    rng = np.random.default_rng(0)
    for name, count in (("cat", 4), ("dog", 3)):
        (home / "pets" / name).mkdir(parents=True)
        for number in range(count):
            blocks = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
            image = Image.fromarray(blocks).resize((40 + number, 30), Image.Resampling.BICUBIC)
            image.save(home / "pets" / name / f"{number}.png")
    copied = home / "pets" / "cat" / "3.png"
    copied.write_bytes((home / "pets" / "cat" / "1.png").read_bytes())
    torch.save(network().state_dict(), home / "w.pt")
    torch.save(network(seed=1).state_dict(), home / "other.pt")
    return home


def pruned(home: Path, name: str, *options: object, code: int = 0, model: str = NAME) -> str:
    """Run `rayred prune` into a folder of a name; return what it printed."""
    done = rayred_here(
        "prune", f"folder:{home / 'pets'}", "--out", home / name, "--model", model,
        "--set", f"data.root={home / 'root'}", *options,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def expected_embeddings(home: Path) -> np.ndarray:
    """The embeddings of all images as torchvision's parts give them."""
    model = network()
    model.fc = nn.Identity()
    means, deviations = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    found = []
    for path in sorted((home / "pets").rglob("*.png")):
        image = Image.open(path)
        margin = (image.width - image.height) / 2
        box = (margin, 0, image.width - margin, image.height)
        image = image.resize((224, 224), Image.Resampling.BILINEAR, box=box)
        x = (np.asarray(image, dtype=np.float32) / 255 - means) / np.array(deviations)
        with torch.inference_mode():
            found.append(model(torch.tensor(x, dtype=torch.float32).permute(2, 0, 1)[None])[0])
    return torch.stack(found).numpy()


def test_images_are_compared_by_what_the_model_sees(home):
    before = snapshot(home / "pets")
    said = pruned(home, "small", "--weights", home / "w.pt", "--max-distance", "1e-9")
    out = home / "small"
    assert "6 of 7 images are kept" in said
    found = np.load(out / "embeddings.npy")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected_embeddings(home), rtol=1e-3, atol=1e-4)
    assert (out / "discarded.csv").read_text().splitlines()[1].split(",")[0] in (
        "cat/1.png",
        "cat/3.png",
    )
    assert not (out / "reference.pt").exists()
    assert not (out / "embedding-parts").exists()
    assert snapshot(home / "pets") == before


def test_what_a_model_has_embedded_is_used_again_and_not_for_another(home):
    for weights, folders in (("w.pt", 1), ("w.pt", 1), ("other.pt", 2), ("w.pt", 2)):
        pruned(home, "again", "--weights", home / weights, "--keep", "0.8", "--update")
        made = [path for path in (home / "again" / "made").iterdir() if "embeddings" in path.name]
        assert len(made) == folders


def test_no_labels_are_needed(home):
    said = pruned(
        home, "unlabelled", "--weights", home / "w.pt", "--unlabelled", "--max-distance", "1e-9"
    )
    assert "6 of 7 images are kept" in said


def test_without_a_cut_a_table_says_what_several_would_do(home):
    said = pruned(home, "look", "--weights", home / "w.pt", "--set", "data.image_size=64")
    assert sum(line.startswith("--keep") for line in said.splitlines()) == 10
    assert "image_size: 64" in (home / "look" / "config.yaml").read_text()


def test_grey_images_have_three_equal_channels(home, tmp_path):
    for name in ("a", "b"):
        (tmp_path / "grey" / name).mkdir(parents=True)
        (tmp_path / "colour" / name).mkdir(parents=True)
        for number in range(2):
            seed = number + 2 * (name == "b")
            blocks = np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8)
            Image.fromarray(blocks).save(tmp_path / "grey" / name / f"{number}.png")
            Image.fromarray(np.stack([blocks] * 3, 2)).save(
                tmp_path / "colour" / name / f"{number}.png"
            )
    x = []
    for kind in ("grey", "colour"):
        given = {"model": NAME, "weights": home / "w.pt", "max_distance": 0.0}
        root = [f"data.root={tmp_path / 'root'}"]
        prune(f"folder:{tmp_path / kind}", None, tmp_path / kind[0], overrides=root, **given)
        x.append(np.load(tmp_path / kind[0] / "embeddings.npy"))
    np.testing.assert_allclose(x[0], x[1], rtol=1e-4, atol=1e-5)


def test_the_same_from_python(home):
    given = {"model": NAME, "weights": str(home / "w.pt"), "overrides": [f"data.root={home / 'r'}"]}
    dataset = f"folder:{home / 'pets'}"
    small = prune(dataset, None, home / "python", max_distance=1e-9, **given)
    assert len(small.kept) == 6
    assert len(look(dataset, home / "python", **given)) == 10
    with pytest.raises(
        ConfigError, match="give one of embeddings, a model, a reference and pixels"
    ):
        prune(dataset, 0.5, home / "none", pixels=True, **given)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("resnet19", ("--weights", "default"), "did you mean 'resnet1"),
        ("timm:resnet19", ("--weights", "default"), "timm"),
        (NAME, (), "has no weights; give --weights FILE or --weights default"),
        (NAME, ("--weights", "none.pt"), "none.pt: cannot read the weights: No such file"),
        (NAME, ("--weights", "{home}/pets/cat/0.png"), "0.png: no file of weights: it is damaged"),
        ("resnet18", ("--weights", "{home}/w.pt"), "has no conv1.weight, which resnet18 has"),
        (NAME, ("--weights", "{home}/w.pt", "--pixels"), "not allowed with argument --model"),
        (NAME, ("--weights", "default"), "give the file"),
    ],
)
def test_models_that_cannot_be_used_write_nothing(home, monkeypatch, model, options, message):
    monkeypatch.setenv("TORCH_HOME", str(home / "torch"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # where nothing listens
    options = [option.format(home=home) for option in options]
    said = pruned(home, "none", "--keep", "0.5", *options, code=2, model=model)
    assert message in said
    assert not (home / "none").exists()
    if "usage:" not in said:
        assert said.count("\n") == 1


def test_weights_without_a_model(home):
    done = rayred_here(
        "prune", f"folder:{home / 'pets'}", "--weights", "w.pt", "--keep", "0.5",
        "--out", home / "none",
    )  # fmt: skip
    assert done.returncode == 2
    assert "weights 'w.pt' have no model; give --model NAME" in done.stderr
    assert not (home / "none").exists()


def test_results_do_not_replace_the_weights(home):
    said = pruned(home, "w.pt", "--weights", home / "w.pt", "--keep", "0.5", code=2)
    assert "w.pt" in said
    assert torch.load(home / "w.pt", weights_only=True)
