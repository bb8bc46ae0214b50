"""A finished study: every file of its folder, the table, MLflow, and what can be made again."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image

from rayred.clustering.trees import load_trees
from rayred.data import load_dataset
from tests.conftest import TINY, rayred_here

FIGURES = (
    "accuracy.png",
    "group-sizes.png",
    "groups.png",
    "groups-loosest.png",
    "merge-heights.png",
    "redundancy-by-class.png",
)


def test_config_has_all_defaults_written_out(finished):
    config = yaml.safe_load((finished[0] / "config.yaml").read_text())
    assert config["train"]["steps"] == TINY["train"]["steps"]
    assert config["train"]["momentum"] == 0.9
    defaults = {"method": "complete", "backend": "auto", "precision": "auto"}
    assert config["linkage"] == defaults
    assert config["storage"] == "auto"


def test_results_have_a_row_a_trial(finished):
    table = pd.read_parquet(finished[0] / "results.parquet")
    assert table.columns.tolist()[:8] == [
        "selector",
        "fraction",
        "trial",
        "seed",
        "n_train",
        "test_accuracy",
        "train_seconds",
        "status",
    ]
    cells = table.groupby(["selector", "fraction"]).size().to_dict()
    assert cells == {("full", 1.0): 2, ("semantic", 0.5): 2, ("random", 0.5): 2}
    assert table["test_accuracy"].between(0, 1).all()
    assert (table["status"] == "finished").all()
    assert table.groupby("trial")["seed"].nunique().eq(1).all()
    assert (table["worst_class_accuracy"] <= table["test_accuracy"]).all()
    assert set(table["worst_class"]) <= set("0123456789")


def test_embeddings_are_one_row_an_image(finished):
    embeddings = np.load(finished[0] / "embeddings.npy")
    assert embeddings.shape == (1297, 64)
    assert embeddings.dtype == np.float32


def test_embeddings_are_the_reference_models_pooled_layer(finished):
    from rayred.config import Train
    from rayred.training import Task, embed_images, load_model, load_trained

    digits = load_dataset("digits")
    reference = load_trained(finished[0] / "reference.pt")
    spec = Task.for_dataset("resnet8", digits, Train.model_validate({}), 0).spec
    model = load_model(spec, reference.weights)
    expected = embed_images(model, digits.train, torch.device("cpu"))
    np.testing.assert_allclose(
        np.load(finished[0] / "embeddings.npy"), expected, rtol=1e-4, atol=1e-5
    )


def test_trees_reach_down_to_the_smallest_fraction(finished):
    trees = load_trees(finished[0] / "trees.npz")
    sizes = load_dataset("digits").train.class_sizes()
    assert [tree.n_rows for tree in trees.trees] == sizes.tolist()
    assert all(tree.n_clusters == int(0.5 * tree.n_rows + 0.5) for tree in trees.trees)


def test_subsets_are_ascending_indices(finished):
    names = {path.stem for path in (finished[0] / "subsets").iterdir()}
    assert names == {"full-1.0", "semantic-0.5", "random-0.5-0", "random-0.5-1"}
    for name in names:
        kept = np.load(finished[0] / "subsets" / f"{name}.npy")
        assert kept.dtype == np.int64
        assert (np.diff(kept) > 0).all()


def test_figures_are_pictures_and_the_kept_images_are_boxed_in_green(finished):
    for name in FIGURES:
        with Image.open(finished[0] / "figures" / name) as picture:
            assert min(picture.size) > 400
    pixels = np.asarray(Image.open(finished[0] / "figures" / "groups.png").convert("RGB"), int)
    green = (np.abs(pixels - [0, 158, 115]) < 12).all(axis=2)
    columns = np.flatnonzero(green.any(axis=0))
    assert green.sum() > 1000
    # Only the first image of each row is boxed: all green lies within one column of images.
    assert columns.max() - columns.min() < pixels.shape[1] / 3


def test_results_json_and_page_say_the_same_as_the_table(finished):
    folder, printed = finished
    results = json.loads((folder / "results.json").read_text())
    sentence = results["verdict"]["sentence"]
    assert sentence in printed
    page = (folder / "report.html").read_text()
    assert page.count("data:image/png;base64,") == len(list((folder / "figures").glob("*.png")))
    assert sentence.split(":")[0] in page
    means = [cell["mean"] for cell in results["cells"]]
    assert all(f"{mean:.2f}" in printed for mean in means)
    assert 0 <= results["reference"]["test_accuracy"] <= 1
    for cell in results["cells"]:
        worst = f"{cell['worst_class_accuracy']:.2f}"
        assert worst in printed
        assert f"{worst} ({cell['worst_class']})" in page


def test_nothing_temporary_is_left(finished):
    hidden = {path.relative_to(finished[0]) for path in finished[0].rglob(".*")}
    locks = {Path(".rayred.lock"), Path(".mlflow.db.lock")}
    assert {path for path in hidden if path.parts[0] != "ray"} == locks


def test_results_prints_the_table_again(finished):
    done = rayred_here("results", finished[0])
    assert done.returncode == 0
    assert done.stdout.strip() in finished[1]


def test_report_is_made_again_from_what_is_there(run_folder):
    for path in (*(run_folder / "figures").iterdir(), run_folder / "report.html"):
        path.unlink()
    done = rayred_here("report", run_folder)
    assert done.returncode == 0, done.stderr
    assert all((run_folder / "figures" / name).exists() for name in FIGURES)
    assert (run_folder / "report.html").exists()


def test_a_report_is_made_without_torch_and_ray(finished, tmp_path):
    arguments = ["report", str(finished[0]), "--out", str(tmp_path / "report")]
    code = f"import sys, rayred.cli; rayred.cli.main({arguments}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (tmp_path / "report" / "figures" / "accuracy.svg").exists()
    assert not {"torch", "ray", "mlflow"} & set(done.stdout.split())


def test_a_folder_without_the_classes_of_test_images_has_no_worst_class(run_folder):
    """As those of older versions."""
    (kept,) = (run_folder / "made").glob("test-split-*")
    shutil.rmtree(kept)
    done = rayred_here("results", run_folder)
    assert done.returncode == 0, done.stderr
    assert "largest drop" not in done.stdout
    assert rayred_here("report", run_folder).returncode == 0
    results = json.loads((run_folder / "results.json").read_text())
    assert {cell["worst_class_accuracy"] for cell in results["cells"]} == {None}


def test_mlflow_has_a_parent_run_and_a_child_run_a_trial(finished):
    from rayred.tracking.client import create_store

    client = create_store(f"sqlite:///{finished[0] / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("rayred")
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if run is not parent]
    assert len(children) == 6
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert parent.info.status == "FINISHED"
    assert parent.data.params["train.steps"] == "30"
    assert parent.data.params["model"] == "resnet8"
    losses = client.get_metric_history(parent.info.run_id, "reference_train_loss")
    assert [metric.step for metric in losses] == [21, 30]
    artifacts = {item.path for item in client.list_artifacts(parent.info.run_id)}
    assert {"config.yaml", "results.parquet", "report.html", "figures", "subsets"} <= artifacts
    subsets = {item.path for item in client.list_artifacts(parent.info.run_id, "subsets")}
    assert "subsets/semantic-0.5.npy" in subsets


def test_mlflow_has_params_curves_and_accuracy_of_every_trial(finished):
    from rayred.tracking.client import create_store

    client = create_store(f"sqlite:///{finished[0] / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("rayred").experiment_id
    table = pd.read_parquet(finished[0] / "results.parquet")
    for row in table.itertuples():
        query = (
            f"params.selector = '{row.selector}' and params.fraction = '{row.fraction}'"
            f" and params.trial = '{row.trial}'"
        )
        (run,) = client.search_runs([experiment], query)
        assert run.info.status == "FINISHED"
        assert run.data.params["seed"] == str(row.seed)
        assert run.data.params["n_train"] == str(row.n_train)
        assert run.data.metrics["test_accuracy"] == pytest.approx(row.test_accuracy)
        worst = run.data.metrics["worst_class_accuracy"]
        assert worst == pytest.approx(row.worst_class_accuracy)
        losses = client.get_metric_history(run.info.run_id, "train_loss")
        epochs = -(-30 * 64 // row.n_train)
        assert len(losses) == epochs
        assert losses[-1].step == 30


@pytest.mark.usefixtures("cluster")
def test_doctor_says_what_there_is():
    done = rayred_here("doctor")
    assert done.returncode == 0, done.stdout
    for name in ("packages", "machine", "gpu", "rapids", "ray", "mlflow"):
        assert re.search(rf"^(ok|note) +{name}", done.stdout, re.MULTILINE), done.stdout


def test_images_that_are_in_both_splits_are_said(finished):
    """Of images in memory by all ways of looking, with the tables of `rayred check`."""
    check = json.loads((finished[0] / "check.json").read_text())
    assert check["images"] == {"train": 1297, "test": 500}
    leaks = pd.read_csv(finished[0] / "leaks.csv")
    assert len(leaks) == check["other_split"]["any"] > 0
    notes = json.loads((finished[0] / "results.json").read_text())["notes"]
    (note,) = [note for note in notes if "look like a training image" in note]
    assert note.startswith(f"{len(leaks)} of 500 test images")
