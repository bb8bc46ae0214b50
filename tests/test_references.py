"""Several references: the first is that of a study with one, and how alike they choose is kept."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from rayred.clustering.groups import redundant_groups
from rayred.clustering.mean_distance import mean_space
from rayred.config import Experiment
from rayred.data import load_dataset
from rayred.references import scores_of
from rayred.review import clean
from rayred.selection.overlap import overlaps
from rayred.training.trained import load_trained
from tests.conftest import rayred_here, write_experiment


@pytest.mark.parametrize("average", [False, True])
def test_scores_are_those_of_the_first_reference_or_their_mean(average):
    job = SimpleNamespace(experiment=parse(average))
    each = [[0.25, 1.0, 3.0], [0.75, 1.0, np.inf], [0.5, 4.0, 0.0]]
    references = [
        SimpleNamespace(value=SimpleNamespace(scores={"forgetting": np.array(one)})) for one in each
    ]
    found = scores_of(job, references)
    expected = [0.5, 2.0, np.inf] if average else each[0]
    assert found.keys() == {"forgetting"}
    np.testing.assert_array_equal(found["forgetting"], expected)


def parse(average: bool) -> Experiment:
    selection = {"references": 3, "average": average}
    return Experiment.model_validate({"dataset": "digits", "selection": selection})


def made(folder: Path, stage: str) -> Path:
    """The folder of the only entry of a stage."""
    (found,) = [
        path
        for path in (folder / "made").glob(f"{stage}-*")
        if json.loads((path / "record.json").read_text())["stage"] == stage
    ]
    return found


def files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in (folder / "made").rglob("*.*")}


def groups_of(x: np.ndarray):
    return redundant_groups(x, load_dataset("digits").train.labels, [0.5], zero_rows="apart")


@pytest.fixture(scope="module")
def two(finished, tmp_path_factory) -> Path:
    """The finished study with a second reference."""
    root = tmp_path_factory.mktemp("two")
    shutil.copytree(finished[0], root / "run")
    before = files(root / "run")
    study = write_experiment(root / "two.yaml", selection={"references": 2})
    assert rayred_here("run", study, "--out", root / "run").returncode == 2
    done = rayred_here("run", study, "--out", root / "run", "--update")
    assert done.returncode == 0, done.stderr
    after = files(root / "run")
    assert {path: after[path] for path in before} == before
    new = {path.parent.name.rpartition("-")[0] for path in after.keys() - before.keys()}
    assert {"reference-1", "embeddings-1", "trees-1", "overlap"} <= new
    assert not {name for name in new if name in ("reference", "embeddings", "trees", "subsets")}
    assert not {name for name in new if name.startswith("trial-")}
    return root / "run"


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_how_alike_two_references_choose_is_that_of_their_own_subsets(two, finished):
    first, second = (np.load(one) for one in (two / "embeddings.npy", _second(two)))
    assert (first == np.load(finished[0] / "embeddings.npy")).all()
    assert not (first == second).all()
    choices = [groups_of(x) for x in (first, second)]
    kept = np.load(two / "subsets" / "semantic-0.5.npy")
    np.testing.assert_array_equal(choices[0].kept[0.5], kept)
    expected = overlaps(choices)
    results = json.loads((two / "results.json").read_text())
    assert results["overlaps"] == [asdict(one) for one in expected]
    page = (two / "report.html").read_text()
    assert "How stable the choice is" in page
    assert f"{expected[0].jaccard.mean:.3f}" in page

    from rayred.tracking.client import create_store

    client = create_store(f"sqlite:///{two / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("rayred").experiment_id
    (parent,) = client.search_runs([experiment], "params.`selection.references` = '2'")
    assert parent.data.metrics["jaccard_semantic"] == expected[0].jaccard.mean
    assert parent.data.metrics["adjusted_rand_semantic"] == expected[0].adjusted_rand.mean


def _second(folder: Path) -> Path:
    return made(folder, "embeddings-1") / "embeddings.npy"


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_what_is_there_is_not_made_again_and_what_is_lost_is(two, finished, tmp_path, caplog):
    """The first of two references, trained again, is that of the study with one."""
    folder = tmp_path / "run"
    shutil.copytree(two, folder)
    study = write_experiment(tmp_path / "two.yaml", selection={"references": 2})
    before = files(folder)
    for stage in ("reference", "trees-1", "overlap"):
        shutil.rmtree(made(folder, stage))
    with caplog.at_level("INFO", "rayred"):
        assert rayred_here("run", study, "--out", folder).returncode == 0
    first, alone = (load_trained(one / "reference.pt").weights for one in (folder, finished[0]))
    assert all((first[name] == alone[name]).all() for name in alone)
    for stage in ("reference-1", "embeddings", "embeddings-1", "trees", "subsets"):
        assert f"{stage}: already done" in caplog.text
    for stage in ("reference", "trees-1", "overlap"):
        assert f"{stage}: done in" in caplog.text
    # The report is another one: the reference took another time.
    new = {path.parent.name for path in files(folder).keys() - before.keys()}
    assert {name for name in new if not name.startswith("report-")} <= {"figures"}
    caplog.clear()
    assert rayred_here("run", study, "--out", folder).returncode == 0
    assert "nothing is left to do" in caplog.text
    assert clean(folder, dry_run=True).entries
    assert not {e.stage for e in clean(folder).entries} & {"reference-1", "trees-1", "overlap"}
    results = (folder / "results.json").read_bytes()
    assert rayred_here("report", folder).returncode == 0
    assert (folder / "results.json").read_bytes() == results
    assert rayred_here("results", folder).returncode == 0


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_the_mean_of_the_distances_decides_if_wanted(two, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(two, folder)
    before = files(folder)
    both = {"references": 2, "average": True}
    study = write_experiment(tmp_path / "mean.yaml", selection=both)
    done = rayred_here("run", study, "--out", folder, "--update")
    assert done.returncode == 0, done.stderr
    new = {path.parent.name for path in files(folder).keys() - before.keys()}
    assert not {name for name in new if name.startswith(("reference", "embeddings", "trees-1"))}
    assert {name[:15] for name in new if name.startswith("trial-")} == {"trial-semantic-"}
    each = [np.load(one) for one in (folder / "embeddings.npy", _second(folder))]
    x = np.concatenate(list(mean_space(each)))
    assert (np.load(made(folder, "mean-space") / "embeddings.npy") == x).all()
    kept = np.load(folder / "subsets" / "semantic-0.5.npy")
    np.testing.assert_array_equal(groups_of(x).kept[0.5], kept)
    # How alike the references choose, each by itself, does not depend on it.
    mean, alone = (json.loads((one / "results.json").read_text()) for one in (folder, two))
    assert mean["overlaps"] == alone["overlaps"]
    study = write_experiment(tmp_path / "tiny.yaml")
    assert rayred_here("run", study, "--out", folder, "--update").returncode == 0
    assert json.loads((folder / "results.json").read_text())["overlaps"] == []
