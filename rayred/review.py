"""A run folder looked at again: its table, its report, its MLflow store. Needs no Ray."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rayred import keys
from rayred.config import Experiment
from rayred.errors import FolderClosedError, RunFolderError
from rayred.files import replacing
from rayred.places import check_report, check_tracking
from rayred.results.trial import TrialResult
from rayred.search.results import Found
from rayred.stages import CONFIG, DATASET, REPORT, TRIAL
from rayred.store import (
    MANIFEST,
    Store,
    Unneeded,
    existing_folder,
    find_unneeded,
    name_of,
    open_store,
    remove_unneeded,
)
from rayred.study import (
    ended_trials,
    experiment_of,
    found_by,
    keep_config,
    keep_report,
    report_key,
    report_of,
    start_tracking,
    verdict_of,
)
from rayred.sweep.plan import plan_trials
from rayred.tracking.tracker import Tracker, tracking_uri
from rayred.verdict import Verdict

if TYPE_CHECKING:
    from rayred.data import Dataset
    from rayred.report.study import StudyReport

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Study:
    """A finished study."""

    folder: Path
    """The run folder on this machine: of one in a bucket, its working copy."""
    verdict: Verdict
    """What the study has found, with all means and intervals."""
    failed: tuple[TrialResult, ...]
    """Trials that failed by themselves."""
    tracking_uri: str
    """MLflow's store of the study."""
    tracking_failure: str | None
    """Why MLflow did not take all of the study; None if it did."""
    found: Found | None = None
    """The settings found by a search; None where nothing was searched for."""

    @property
    def place(self) -> str:
        """The run folder as people know it: its path, or its URL."""
        return name_of(self.folder)

    def show(self) -> Any:
        """Return the group browser, which a notebook shows.

        Raises
        ------
        ConfigError
            anywidget is not installed: ``pip install 'rayred[notebook]'``.
        RunFolderError
            The folder does not hold all that it takes.
        """
        from rayred.report.browser.widget import widget
        from rayred.report.study import browsed

        return widget(browsed(_report(Store(self.folder))))


def report(path: Path | str, out: Path | str | None = None) -> Verdict:
    """Make results.json, results.parquet, the figures and the page again from what a run left.

    Parameters
    ----------
    path
        Run folder.
    out
        Folder to write to instead, new or empty; then the run may be at work, or be read-only.

    Raises
    ------
    RunFolderError
        There is no run, it has not got as far as its sweep, or its folder cannot be written.
    ConfigError
        `out` is not new or empty, or is where the images are.
    """
    path = existing_folder(path)
    if out is None:
        try:
            with open_store(path) as store:
                study = _report(store)
                keep_report(store, study, again=True)
        except FolderClosedError as error:
            raise FolderClosedError(f"{error}; to write the report elsewhere, use --out") from error
        return study.verdict
    store = Store(path)
    check_report(experiment_of(store), Path(out))
    study = _report(store)
    # Imported here: printing the table of a run needs no matplotlib.
    from rayred.report.study import write_report

    with replacing(Path(out)) as temporary:
        temporary.mkdir()
        write_report(temporary, study)
    return study.verdict


def results(path: Path | str) -> tuple[Verdict, Found | None]:
    """Return the verdict on the trials that a run has finished so far, and the settings found.

    Raises
    ------
    RunFolderError
        There is no run, or no trial of it has ended.
    """
    store = Store(existing_folder(path))
    experiment = experiment_of(store)
    trials = ended_trials(store, experiment)
    return verdict_of(store, experiment, trials), found_by(store)


def tracking_of(path: Path | str) -> tuple[str, str]:
    """Return the MLflow store of a run, and its experiment there."""
    store = Store(existing_folder(path))
    experiment = experiment_of(store)
    if experiment.tracking.uri == "auto" and not store.manifest.tracking:
        raise RunFolderError(f"{store.name}: has no MLflow store: no study has been run in it")
    store.fetch_placed()
    return tracking_uri(experiment.tracking.uri, store), experiment.tracking.experiment


def upload(path: Path | str, uri: str | None = None) -> Tracker:
    """Send what MLflow lacks of a finished run; see `Tracker.failure` afterwards.

    Parameters
    ----------
    path
        Run folder. If it cannot be written, `uri` has to name a store elsewhere.
    uri
        Tracking server or database; by default the run's own.

    Raises
    ------
    RunFolderError
        There is no finished run.
    """
    path = existing_folder(path)
    try:
        with open_store(path) as store:
            return _upload(store, uri)
    except FolderClosedError as error:
        if os.access(path, os.W_OK):
            raise
        if uri is None:
            raise FolderClosedError(f"{error}; to send the run elsewhere, use --uri") from error
        return _upload(Store(path), uri)


def clean(path: Path | str, *, dry_run: bool = False) -> Unneeded:
    """Remove what the current config has no part in; nothing where its study is not finished.

    Parameters
    ----------
    path
        Run folder.
    dry_run
        Only return what would be removed.

    Raises
    ------
    RunFolderError
        There is no run, or its folder cannot be written.
    """
    with open_store(existing_folder(path)) as store:
        found = find_unneeded(store)
        if not dry_run:
            remove_unneeded(store, found)
        return found


def finished_study(
    experiment: Experiment,
    path: Path,
    dataset: Dataset,
    *,
    update: bool,
    given: str | None = None,
) -> Study | None:
    """Return the study of an experiment if a folder has all of it, after making it the current one.

    MLflow gets what it lacks of it.

    Parameters
    ----------
    experiment
        With every ``auto`` fixed that decides results, or else it is not finished.
    path
        Run folder, or where one is to be.
    dataset
        The images.
    update
        Whether another study may be the folder's current one.
    given
        `keys.array` of a subset that was chosen before, if there is one.
    """
    if not (path / MANIFEST).exists():
        return None
    with open_store(path) as store:
        key = keys.study(dataset=dataset.digest, settings=experiment.deciding(), given=given)
        current = store.current(CONFIG)
        same = key == store.manifest.study or (
            current is not None and not experiment.differences(current.value)
        )
        if not (same or update) or not _is_whole(store, key, experiment):
            return None
        store.begin(key)
        keep_config(store, experiment, finished=True)
        store.finish()  # as it was: of its parts, the config alone may be another
        logger.info("all of this study is in %s: nothing is left to do", store.name)
        uri = tracking_uri(experiment.tracking.uri, store)
        failure = None
        if store.manifest.current.tracked != (uri, experiment.tracking.experiment):
            failure = _upload(store, None).failure
        trials = ended_trials(store, experiment_of(store))
        verdict = verdict_of(store, experiment, trials)
        failed = tuple(result for result in trials if result.status == "failed")
        return Study(store.path, verdict, failed, uri, failure, found_by(store))


def _is_whole(store: Store, key: str, experiment: Experiment) -> bool:
    """Return whether the study of a key is finished, has no other trials, and all is whole."""
    study = store.manifest.studies.get(key)
    if study is None or not study.finished:
        return False
    plan = {f"{TRIAL}{trial.name}" for trial in plan_trials(experiment.sweep, experiment.seed)}
    if plan != {stage for stage in study.parts if stage.startswith(TRIAL)}:
        return False
    is_reported = report_key(store, key, experiment.name, study.parts) == study.parts.get(REPORT)
    return is_reported and store.has_whole(study.parts)


def _report(store: Store) -> StudyReport:
    """Return the report of a folder's study; raises `RunFolderError` if it has not got so far."""
    experiment = experiment_of(store)
    trials = ended_trials(store, experiment)
    # Imported here: printing the table of a run needs no data set.
    from rayred.data import load_dataset

    whole = experiment.needs_whole_images()
    dataset = load_dataset(experiment.dataset, experiment.data, whole=whole)
    if store.parts.get(DATASET.name) != dataset.digest:
        raise RunFolderError(f"{store.name}: {experiment.dataset} has changed since the run")
    return report_of(store, experiment, dataset, trials)


def _upload(store: Store, uri: str | None) -> Tracker:
    if not store.manifest.current.finished:
        raise RunFolderError(f"{store.name}: the run is not finished; finish it with 'rayred run'")
    dataset = store.current(DATASET)
    assert dataset is not None
    experiment, found = experiment_of(store), found_by(store)
    if uri is not None:
        check_tracking(experiment, uri, "--uri")
    tracker = start_tracking(experiment, store, dataset.value, uri, found)
    if found is not None:
        tracker.log_found(found, {})
    for result in ended_trials(store, experiment):
        tracker.log_trial(result)
    # Imported here: printing the table of a run needs no torch.
    from rayred.training.stages import REFERENCE

    reference = store.current(REFERENCE)
    if reference is None:
        raise RunFolderError(f"{store.name}: the reference is not whole; run the study again")
    tracker.finish(reference.value)
    if uri is None and tracker.failure is None:
        store.track(tracker.uri, tracker.experiment)
    return tracker
