"""What a run has left, looked at again: table, report, MLflow. Needs no Ray."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rayred.clustering.trees import kept_images
from rayred.config import Experiment
from rayred.config.file import flatten, load_experiment
from rayred.errors import RunFolderError
from rayred.machines.environment import Environment
from rayred.results.trial import TrialResult, load_trials, plan_trials, save_results
from rayred.search.results import FOUND_FILE, Found, load_found
from rayred.store import CONFIG_FILE, SWEEP_RECORD, TRIALS, RunFolder, read_json
from rayred.tracking.tracker import Tracker, tracking_uri
from rayred.verdict.judge import Verdict, judge

if TYPE_CHECKING:
    from rayred.data import Dataset


def report(out: Path | str) -> Verdict:
    """Make results.json, the figures and the page again from what a run left.

    Raises
    ------
    RunFolderError
        There is no run, or it has not got as far as its sweep.
    """
    folder, experiment = _open_finished(Path(out))
    results = _trials_so_far(folder, experiment)
    if not results or not (folder / "trees.npz").exists():
        raise RunFolderError(f"{out}: no trial has ended yet; finish it with 'rayred run'")
    # Imported here: printing the table of a run needs no data set.
    from rayred.data import load_dataset

    dataset = load_dataset(experiment.dataset, experiment.data)
    made_of = read_json(folder / "results.json").get("dataset", {}).get("digest", dataset.digest)
    if made_of != dataset.digest:
        raise RunFolderError(f"{out}: {experiment.dataset} has changed since the run")
    verdict = judge(experiment.dataset_name, results, experiment.verdict.margin)
    save_results(folder / "results.parquet", results)
    write_study(experiment, folder, dataset, verdict, results, _found(folder, experiment))
    return verdict


def results(out: Path | str) -> Verdict:
    """Return the verdict on the trials that a run has finished so far.

    Raises
    ------
    RunFolderError
        There is no run, or no trial of it has ended.
    """
    folder, experiment = _open_finished(Path(out))
    trials = _trials_so_far(folder, experiment)
    if not trials:
        raise RunFolderError(f"{out}: no trial has ended yet; finish it with 'rayred run'")
    return judge(experiment.dataset_name, trials, experiment.verdict.margin)


def tracking_of(out: Path | str) -> tuple[str, str]:
    """Return the MLflow store of a run, and its experiment there."""
    folder, experiment = _open_finished(Path(out))
    return tracking_uri(experiment.tracking.uri, folder), experiment.tracking.experiment


def upload(out: Path | str, uri: str | None = None) -> Tracker:
    """Send to MLflow what it has not got of a finished run; see `Tracker.failure` afterwards.

    Parameters
    ----------
    out
        Run folder.
    uri
        Tracking server or database; by default the run's own.

    Raises
    ------
    RunFolderError
        There is no finished run.
    """
    folder, experiment = _open_finished(Path(out))
    if not (folder / "results.json").exists():
        raise RunFolderError(f"{out}: the run is not finished; finish it with 'rayred run'")
    dataset = read_json(folder / "results.json")["dataset"]
    found = _found(folder, experiment)
    tracker = start_tracking(experiment, folder, dataset, uri, found)
    if found is not None:
        tracker.log_found(found, {})
    for result in _trials_so_far(folder, experiment):
        tracker.log_trial(result)
    # Imported here: printing the table of a run needs no torch.
    from rayred.stages import REFERENCE

    tracker.finish(REFERENCE.load(folder / REFERENCE.file))
    return tracker


def _open_finished(path: Path) -> tuple[RunFolder, Experiment]:
    """Return the run folder and its experiment, with the settings found where any were searched."""
    folder = RunFolder(path.resolve())
    if not (folder / CONFIG_FILE).is_file():
        raise RunFolderError(f"{path}: no run folder (it has no {CONFIG_FILE})")
    experiment = load_experiment(folder / CONFIG_FILE)
    found = _found(folder, experiment)
    return folder, experiment if found is None else experiment.with_settings(found.settings)


def _found(folder: RunFolder, experiment: Experiment) -> Found | None:
    if not experiment.sweep.space or not (folder / FOUND_FILE).exists():
        return None
    found = load_found(folder / FOUND_FILE)
    # Another search's, if the run that was to replace it has not come so far.
    return found if found.space == experiment.sweep.space else None


def found_settings(out: Path | str) -> Found | None:
    """Return what a run has searched for and found; none if it has not."""
    folder, experiment = _open_finished(Path(out))
    return _found(folder, experiment)


def _trials_so_far(folder: RunFolder, experiment: Experiment) -> list[TrialResult]:
    if read_json(folder / SWEEP_RECORD).get("study") != folder.identity:
        return []
    plan = plan_trials(experiment.sweep, experiment.seed)
    return load_trials(folder / "trials", plan)


def emptied_classes(dataset: Dataset, fractions: list[float]) -> list[str]:
    """Say which classes a subset would leave without an image, were one not kept all the same."""
    sizes = dataset.train.class_sizes()
    return [
        f"fraction {fraction:g} of class {name!r} ({size} images) rounds to no image; one is kept"
        for fraction in fractions
        for name, size in zip(dataset.classes, sizes, strict=True)
        if int(fraction * size + 0.5) < kept_images(size, fraction)
    ]


def write_study(
    experiment: Experiment,
    folder: RunFolder,
    dataset: Dataset,
    verdict: Verdict,
    results: list[TrialResult],
    found: Found | None,
) -> None:
    """Write results.json, the figures and the page of a study."""
    # Imported here: printing the table of a run needs neither torch nor matplotlib.
    from rayred.report.study import StudyReport, write_report
    from rayred.stages import EMBEDDINGS, REFERENCE, TREES

    reference = REFERENCE.load(folder / REFERENCE.file)
    notes = emptied_classes(dataset, experiment.sweep.fractions)
    notes += [f"left out, as it cannot be decoded: {name}" for name in dataset.skipped()]
    notes += [
        f"trial {result.trial.name} failed: {result.reason}"
        for result in results
        if result.status == "failed"
    ]
    write_report(
        folder,
        StudyReport(
            experiment=experiment,
            dataset=dataset,
            reference_accuracy=reference.test_accuracy,
            reference_seconds=reference.train_seconds,
            reference_curve=reference.curve,
            embeddings=EMBEDDINGS.load(folder / EMBEDDINGS.file),
            trees=TREES.load(folder / TREES.file),
            verdict=verdict,
            environment=Environment.load(folder),
            found=found,
            notes=notes,
        ),
    )


def study_params(experiment: Experiment) -> dict[str, Any]:
    """Return the settings as MLflow gets them: without the number of trials, which may grow."""
    settings = flatten(experiment.model_dump(mode="json"))
    return {key: value for key, value in settings.items() if key != TRIALS}


def start_tracking(
    experiment: Experiment,
    folder: RunFolder,
    dataset: Mapping[str, str | int],
    uri: str | None = None,
    found: Found | None = None,
) -> Tracker:
    """Return a tracker whose parent run is there, or that says why MLflow does not answer.

    Parameters
    ----------
    experiment, folder, dataset
        The study, and what tells its data set from others.
    uri
        Tracking server or database; by default the experiment's own.
    found
        What the experiment's settings were found by; none where a search is still to come.
    """
    params = study_params(experiment)
    if found is None and experiment.sweep.space:
        # Params are fixed for good in MLflow: these wait for what the search finds.
        open_groups = ("model", "train.", "linkage.")
        params = {k: v for k, v in params.items() if not k.startswith(open_groups)}
    tracker = Tracker(
        uri or tracking_uri(experiment.tracking.uri, folder),
        experiment.tracking.experiment,
        folder,
        experiment.name,
        params,
    )
    tracker.start(dataset)
    return tracker
