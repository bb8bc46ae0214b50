"""A run folder looked at again: its table, its report, its MLflow store. Needs no Ray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rayred.clustering.trees import kept_images
from rayred.config import SEARCHED, Experiment
from rayred.config.file import dump_experiment, load_experiment
from rayred.errors import RunFolderError
from rayred.files import read_json, write_json
from rayred.machines.environment import Environment
from rayred.results.table import save_results
from rayred.results.trial import Trial, TrialResult
from rayred.search.results import FOUND_FILE, Found, load_found
from rayred.selection import subset_name
from rayred.store import CONFIG_FILE, MANIFEST, STAGES, Store
from rayred.sweep.plan import plan_trials
from rayred.tracking.tracker import Tracker, tracking_uri
from rayred.verdict import Verdict, judge

if TYPE_CHECKING:
    from rayred.data import Dataset

TRIALS = "trials"
"""Folder within the run folder with the result of every trial."""
SWEEP_RECORD = f"{STAGES}/sweep.json"
"""The keys of the trials of the sweep, and the study that they belong to."""


def report(out: Path | str) -> Verdict:
    """Make results.json, the figures and the page again from what a run left.

    Raises
    ------
    RunFolderError
        There is no run, or it has not got as far as its sweep.
    """
    store, experiment = _open(Path(out))
    trials = trials_so_far(store, plan_trials(experiment.sweep, experiment.seed))
    if not trials or not (store / "trees.npz").exists():
        raise RunFolderError(f"{out}: no trial has ended yet; finish it with 'rayred run'")
    # Imported here: printing the table of a run needs no data set.
    from rayred.data import load_dataset

    whole = experiment.needs_whole_images()
    dataset = load_dataset(experiment.dataset, experiment.data, whole=whole)
    made_of = read_json(store / "results.json").get("dataset", {}).get("digest", dataset.digest)
    if made_of != dataset.digest:
        raise RunFolderError(f"{out}: {experiment.dataset} has changed since the run")
    verdict = judge(experiment.dataset_name, trials, experiment.verdict.margin)
    save_results(store / "results.parquet", trials)
    write_study(experiment, store, dataset, verdict, trials, _found(store, experiment))
    return verdict


def results(out: Path | str) -> tuple[Verdict, Found | None]:
    """Return the verdict on the trials that a run has finished so far, and the settings found.

    Raises
    ------
    RunFolderError
        There is no run, or no trial of it has ended.
    """
    store, experiment = _open(Path(out))
    trials = trials_so_far(store, plan_trials(experiment.sweep, experiment.seed))
    if not trials:
        raise RunFolderError(f"{out}: no trial has ended yet; finish it with 'rayred run'")
    verdict = judge(experiment.dataset_name, trials, experiment.verdict.margin)
    return verdict, _found(store, experiment)


def tracking_of(out: Path | str) -> tuple[str, str]:
    """Return the MLflow store of a run, and its experiment there."""
    store, experiment = _open(Path(out))
    return tracking_uri(experiment.tracking.uri, store), experiment.tracking.experiment


def upload(out: Path | str, uri: str | None = None) -> Tracker:
    """Send what MLflow lacks of a finished run; see `Tracker.failure` afterwards.

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
    store, experiment = _open(Path(out))
    if not (store / "results.json").exists():
        raise RunFolderError(f"{out}: the run is not finished; finish it with 'rayred run'")
    dataset = read_json(store / "results.json")["dataset"]
    found = _found(store, experiment)
    tracker = start_tracking(experiment, store, dataset, uri, found)
    if found is not None:
        tracker.log_found(found, {})
    for result in trials_so_far(store, plan_trials(experiment.sweep, experiment.seed)):
        tracker.log_trial(result)
    # Imported here: printing the table of a run needs no torch.
    from rayred.stages import REFERENCE

    tracker.finish(REFERENCE.load(store / REFERENCE.file))
    return tracker


def stored_experiment(path: Path) -> Experiment | None:
    """Return the experiment of a run folder; None where the folder has none.

    Raises
    ------
    ConfigError
        The experiment cannot be read by this version.
    """
    config = path / CONFIG_FILE
    return load_experiment(config) if (path / MANIFEST).exists() and config.exists() else None


def record_sweep(store: Store, keys: Mapping[str, str]) -> None:
    """Write the keys of the trials of a sweep, by the trials' names."""
    write_json(store.place(SWEEP_RECORD), {"study": store.identity, "trials": dict(keys)})


def trials_so_far(store: Store, plan: Sequence[Trial]) -> list[TrialResult]:
    """Return the results of all trials of a plan that have ended."""
    record = read_json(store / SWEEP_RECORD)
    if record.get("study") != store.identity:
        return []
    keys = record["trials"]
    kept = [store.kept(TRIALS, one.name, keys[one.name]) for one in plan if one.name in keys]
    return [TrialResult.from_json(stored) for stored in kept if stored]


def emptied_classes(dataset: Dataset, fractions: Sequence[float]) -> list[str]:
    """Return notes on classes of which a fraction rounds to no image, so that one is kept."""
    sizes = dataset.train.class_sizes()
    return [
        f"fraction {fraction:g} of class {name!r} ({size} images) rounds to no image; one is kept"
        for fraction in fractions
        for name, size in zip(dataset.classes, sizes, strict=True)
        if int(fraction * size + 0.5) < kept_images(size, fraction)
    ]


def write_study(
    experiment: Experiment,
    store: Store,
    dataset: Dataset,
    verdict: Verdict,
    trials: Sequence[TrialResult],
    found: Found | None,
) -> None:
    """Write results.json, the figures and the page of a study."""
    # Imported here: printing the table of a run needs neither torch nor matplotlib.
    from rayred.clustering.groups import redundant_groups
    from rayred.report.study import StudyReport, shown_fraction, write_report
    from rayred.stages import EMBEDDINGS, REFERENCE, SUBSETS, TREES

    reference = REFERENCE.load(store / REFERENCE.file)
    trees = TREES.load(store / TREES.file)
    notes = emptied_classes(dataset, experiment.sweep.fractions)
    notes += dataset.notices()
    notes += [
        f"trial {result.trial.name} failed: {result.reason}"
        for result in trials
        if result.status == "failed"
    ]
    fraction = shown_fraction(verdict, experiment.sweep.fractions)
    kept = SUBSETS.load(store / SUBSETS.file).get(subset_name("semantic", fraction, 0))
    if kept is not None:
        kept = dataset.train.places(kept)
    else:  # the study has no semantic subset of this fraction
        embeddings = EMBEDDINGS.load(store / EMBEDDINGS.file)
        labels = dataset.train.labels
        kept = redundant_groups(embeddings, labels, [fraction], trees=trees).kept[fraction]
    write_report(
        store,
        StudyReport(
            name=experiment.name,
            dataset_setting=experiment.dataset,
            dataset=dataset,
            model=experiment.model,
            steps=experiment.train.steps,
            linkage=experiment.linkage.method,
            reference_accuracy=reference.test_accuracy,
            reference_seconds=reference.train_seconds,
            reference_curve=reference.curve,
            fraction=fraction,
            trees=trees,
            kept=kept,
            verdict=verdict,
            environment=Environment.load(store),
            found=found,
            notes=notes,
            config=dump_experiment(experiment),
        ),
    )


def start_tracking(
    experiment: Experiment,
    store: Store,
    dataset: Mapping[str, str | int],
    uri: str | None = None,
    found: Found | None = None,
) -> Tracker:
    """Return a tracker whose parent run is there, or that has noted why MLflow does not answer.

    Parameters
    ----------
    experiment, store, dataset
        The study, and the facts of its data set.
    uri
        Tracking server or database; by default the experiment's own.
    found
        The search result that the experiment's settings come from; None while a search is to come.
    """
    params = experiment.params()
    if found is None and experiment.sweep.space:
        # Params cannot be changed in MLflow: these wait for the result of the search.
        params = {k: v for k, v in params.items() if not k.startswith(SEARCHED)}
    tracker = Tracker(
        uri or tracking_uri(experiment.tracking.uri, store),
        experiment.tracking.experiment,
        store,
        experiment.name,
        params,
    )
    tracker.start(dataset)
    return tracker


def _open(path: Path) -> tuple[Store, Experiment]:
    """Return a run folder and its experiment, with the settings found where any were searched."""
    experiment = stored_experiment(path)
    if experiment is None:
        raise RunFolderError(f"{path}: no run folder (it has no {MANIFEST} or no {CONFIG_FILE})")
    store = Store(path.resolve())
    found = _found(store, experiment)
    return store, experiment if found is None else experiment.with_settings(found.settings)


def _found(store: Store, experiment: Experiment) -> Found | None:
    if not experiment.sweep.space or not (store / FOUND_FILE).exists():
        return None
    found = load_found(store / FOUND_FILE)
    # Another search's, if the run that is to replace it has not got so far.
    return found if found.space == experiment.sweep.space else None
