"""A finished study, and then other images: nothing is replaced, and the way back costs nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rayred.pipeline import run
from rayred.review import report
from rayred.store import Store
from tests.conftest import rayred_here, write_experiment
from tests.data.examples import write_images

QUICK = {
    "name": "pets",
    "dataset": "folder:pets",
    "train": {"steps": 2, "batch_size": 4},
    "sweep": {"fractions": [1.0, 0.5], "selectors": ["semantic", "random"], "trials": 1},
}


def entries(folder: Path) -> dict[str, int]:
    """All files that were made, with the times of their last change."""
    made = folder / "made"
    return {str(p.relative_to(made)): p.stat().st_mtime_ns for p in made.rglob("*") if p.is_file()}


@pytest.mark.usefixtures("cluster")
@pytest.mark.timeout(300)
def test_images_change_and_change_back_and_move(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            write_images(Path("pets") / split / name, 4, size=(8, 8))
    experiment = write_experiment(tmp_path / "pets.yaml", **QUICK)
    folder = tmp_path / "run"
    run(experiment, folder)
    first, results = entries(folder), (folder / "results.json").read_text()
    before = Store(folder).manifest.study

    extra = Path("pets/train/cat/extra.png")
    shutil.copy("pets/train/dog/0.png", extra)
    caplog.clear()
    run(experiment, folder)
    assert "(train: 1 new, 0 gone)" in caplog.text
    assert (folder / "results.json").read_text() != results
    assert Store(folder).manifest.study != before
    assert entries(folder).items() >= first.items()
    refused = rayred_here("run", experiment, "--out", folder, "--set", "seed=1")
    assert refused.returncode == 2
    assert "seed (0 there, 1 now)" in refused.stderr

    extra.unlink()
    both = entries(folder)
    caplog.clear()
    run(experiment, folder)
    assert "nothing is left to do" in caplog.text
    assert (folder / "results.json").read_text() == results
    assert entries(folder) == both

    # Another spelling, and another place of the same images, are the same study.
    for dataset in ("folder:./pets/", f"folder:{tmp_path}/pets"):
        again = write_experiment(tmp_path / "again.yaml", **{**QUICK, "dataset": dataset})
        assert rayred_here("run", again, "--out", folder).returncode == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    report(folder)
    for split in ("train", "test"):  # other images under the same relative path
        for name in ("cat", "dog"):
            write_images(Path("pets") / split / name, 5, size=(8, 8))
    refused = rayred_here("run", experiment, "--out", folder)
    assert refused.returncode == 2
    assert f"dataset ('folder:{tmp_path}/pets' there" in refused.stderr
    shutil.rmtree("pets")
    (tmp_path / "pets").rename("pets")
    caplog.clear()
    assert rayred_here("run", experiment, "--out", folder).returncode == 0
    assert "nothing is left to do" in caplog.text
    made = {name.partition("/")[0].partition("-")[0] for name in entries(folder).keys() - both}
    assert made <= {"config", "report"}  # with the new path
    assert entries(folder).items() >= first.items() - {
        item for item in first.items() if item[0].startswith("report-")
    }
