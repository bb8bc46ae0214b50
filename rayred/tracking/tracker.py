"""A study in MLflow: one parent run per study, one child run per trial and candidate.

Everything logged is in the run folder as well, so nothing is lost if the server does not answer:
`rayred.review.upload` sends the missing runs later. Runs are found again by the tags `rayred.study`
(the run folder's identity) and `rayred.trial`. Logging a study twice leaves MLflow as logging it
once does; a run that has been deleted in MLflow's pages is one that it lacks, and is sent again.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from rayred.files import read_json
from rayred.interrupts import uninterrupted
from rayred.results.trial import TestSplit, TrialResult
from rayred.search.results import Candidate, Found
from rayred.store import Store
from rayred.tracking.children import MOST_METRICS, STUDY_TAG, TRIAL_TAG, Children
from rayred.tracking.client import (
    KIND,
    TRAINING,
    create_store,
    dataset_input,
    find_experiment,
    search_runs,
)
from rayred.tracking.database import ARTIFACTS_FOLDER, artifact_location, mlflow_uri, sqlite_uri
from rayred.tracking.failures import explain
from rayred.tracking.models import link_model, log_model
from rayred.tracking.runs import (
    ChildRun,
    Point,
    lacking,
    model_setting,
    origin_tags,
    study_facts,
    study_metrics,
)

if TYPE_CHECKING:
    from rayred.training import Trained

logger = logging.getLogger(__name__)

MODEL_TAG = "rayred.reference_model"
ARTIFACTS = ("config.yaml", "results.json", "results.parquet", "scores.parquet", "report.html")
ARTIFACT_FOLDERS = ("figures", "subsets")
ARTIFACTS_OF_CHECK = ("copies.csv", "conflicts.csv", "leaks.csv", "groups.csv")
"""Those of a study whose images were compared with each other."""


def tracking_uri(setting: str, store: Store) -> str:
    """Return the tracking URI, as MLflow takes it, for the setting `tracking.uri`.

    ``auto`` is resolved when a study begins, and saved in its folder: to MLFLOW_TRACKING_URI if
    set, else to a database in the folder.
    """
    if setting != "auto":
        return mlflow_uri(setting)
    chosen = store.manifest.tracking
    if not chosen:
        chosen = os.environ.get("MLFLOW_TRACKING_URI") or "here"
        store.resolve_tracking(chosen)
    if chosen != "here":
        return mlflow_uri(chosen)
    store.place(ARTIFACTS_FOLDER)
    return sqlite_uri(store.place("mlflow.db"))


class Tracker:
    """Sends a study to MLflow; after the first error it warns, and sends nothing more.

    Parameters
    ----------
    uri
        Tracking server or database.
    experiment
        MLflow experiment that the runs appear under.
    store
        The study's run folder.
    name
        Name of the parent run.
    params
        Settings of the study by dotted key, logged as params.
    test
        The test images; None if nothing is known of them.
    """

    def __init__(
        self,
        uri: str,
        experiment: str,
        store: Store,
        name: str,
        params: Mapping[str, Any],
        test: TestSplit | None = None,
    ) -> None:
        self.uri = mlflow_uri(uri)
        self.experiment = experiment
        self.store = store
        self.name = name
        self.params = params
        self.test = test
        self.failure: str | None = None
        """The error after which nothing more is sent; `None` if there was none."""
        self._client: Any = None
        self._experiment_id = ""
        self.run_id = ""
        """Id of the parent run; empty if it has not been created."""
        self._ended = False
        """Whether the parent run is finished, and has lacked nothing so far."""
        self._children: Children | None = None
        """The child runs; `None` before `start`."""

    def start(self, dataset: Mapping[str, str | int]) -> None:
        """Create the parent run, or find it, and list the child runs that are complete.

        Parameters
        ----------
        dataset
            Name, digest and sizes of the data set: `rayred.data.Dataset.facts`.
        """
        self._attempt(lambda: self._start(dataset))

    def log_trial(self, result: TrialResult) -> None:
        """Log a trial as a child run, unless that is done already."""
        self._attempt(lambda: self._log_child(ChildRun.of_trial(result, self.test)))

    def log_candidate(self, candidate: Candidate) -> None:
        """Log a candidate as a child run, unless that is done already."""
        self._attempt(lambda: self._log_child(ChildRun.of_candidate(candidate)))

    def log_found(self, found: Found, params: Mapping[str, Any]) -> None:
        """Log the result of a search: missing candidates, `params`, and a tag with the result."""
        self._attempt(lambda: self._log_found(found, params))

    def finish(self, reference: Trained) -> None:
        """Log results, files, figures and the reference model, and end the parent run."""
        self._attempt(lambda: self._finish(reference))

    def fail(self) -> None:
        """End the parent run with status FAILED, unless it has all of a finished study."""
        if not self._ended:
            self._attempt(lambda: self._client.set_terminated(self.run_id, status="FAILED"))

    def _attempt(self, send: Callable[[], None]) -> None:
        if self.failure is not None:
            return
        try:
            # Cut in two, a write leaves a database locked, or a run that is half there.
            with uninterrupted() if self.uri.startswith("sqlite:") else nullcontext():
                send()
        except Exception as error:  # noqa: BLE001 - no error of MLflow ends the study
            self.failure = explain(self.uri, error)
            logger.warning("%s. Nothing more is sent to MLflow", self.failure)

    def _start(self, dataset: Mapping[str, str | int]) -> None:
        self._client = create_store(self.uri)
        self._experiment_id = self._find_experiment()
        study = self.store.identity
        query = f"tags.`{STUDY_TAG}` = '{study}'"
        runs = search_runs(self._client, self._experiment_id, query)
        parents = [run for run in runs if TRIAL_TAG not in run.data.tags]
        if parents:
            run = parents[0]
            self._ended = run.info.status == "FINISHED"
            if not self._ended:
                self._client.update_run(run.info.run_id, status="RUNNING")
        else:
            tags = {STUDY_TAG: study}
            run = self._client.create_run(self._experiment_id, run_name=self.name, tags=tags)
        self.run_id = run.info.run_id
        self._log_settings(run, dataset)
        self._log_dataset(dataset)
        common = {"dataset": dataset["name"], **model_setting(self.params)}
        self._children = Children(self._client, self._experiment_id, study, self.run_id, common)
        for run in runs:
            if TRIAL_TAG in run.data.tags:
                self._children.take_over(run)

    def _log_settings(self, run: Any, dataset: Mapping[str, str | int]) -> None:
        """Log the settings of the study as params, and what it is of, with and on as tags."""
        shared = study_facts(self.params, dataset)
        tags = {"dataset.digest": dataset["digest"], **shared, **model_setting(self.params)}
        tags |= origin_tags(self.store)
        self._log_facts({**shared, **self.params}, tags, run.data.params)

    def _log_facts(
        self, params: Mapping[str, Any], tags: Mapping[str, Any], known: Mapping[str, str]
    ) -> None:
        """Log tags, and those params that the parent run does not have."""
        from mlflow.entities import Param, RunTag

        self._client.log_batch(
            self.run_id,
            params=[Param(key, str(text)) for key, text in params.items() if key not in known],
            tags=[RunTag(key, str(text)) for key, text in tags.items()],
        )

    def _log_dataset(self, dataset: Mapping[str, str | int]) -> None:
        from mlflow.exceptions import MlflowException

        inputs = [dataset_input(dataset)]
        try:
            self._client.log_inputs(self.run_id, inputs)
        except MlflowException:
            # Of studies that begin at once on one data set, MLflow lets the first add it; for the
            # others it is there now.
            self._client.log_inputs(self.run_id, inputs)

    def _reopen(self) -> None:
        """Show a finished parent run as running while what it lacks is sent."""
        if self._ended:
            self._client.update_run(self.run_id, status="RUNNING")
            self._ended = False

    def _find_experiment(self) -> str:
        from mlflow.exceptions import MlflowException

        number = find_experiment(self._client, self.uri, self.experiment)
        if number is None:
            location = artifact_location(self.uri)
            try:
                made = self._client.create_experiment(self.experiment, location, {KIND: TRAINING})
                return str(made)
            except MlflowException:
                # Another study may have created it in between.
                number = find_experiment(self._client, self.uri, self.experiment)
                if number is None:
                    raise
        return number

    def _log_found(self, found: Found, params: Mapping[str, Any]) -> None:
        assert self._children is not None
        self._children.common |= model_setting(params)
        for candidate in found.candidates:
            self._log_child(ChildRun.of_candidate(candidate))
        known = self._client.get_run(self.run_id).data.params
        self._log_facts(params, {"search": found.sentence(), **model_setting(params)}, known)

    def _log_child(self, child: ChildRun) -> None:
        """Send a child run that is not there; of one that is there, only what it lacks."""
        assert self._children is not None
        if self._children.has(child.key):
            self._children.complete(child)
        else:
            self._reopen()
            self._children.send(child)

    def _finish(self, reference: Trained) -> None:
        from mlflow.entities import Metric, RunTag

        points = self._lacking(study_metrics(self.store, reference))
        if points:
            self._reopen()
        for first in range(0, len(points), MOST_METRICS):
            part = [Metric(*point) for point in points[first : first + MOST_METRICS]]
            self._client.log_batch(self.run_id, metrics=part)
        sentence = read_json(self.store / "results.json")["verdict"]["sentence"]
        self._client.log_batch(self.run_id, tags=[RunTag("mlflow.note.content", sentence)])
        for name in ARTIFACTS:
            self._client.log_artifact(self.run_id, str(self.store / name))
        for name in ARTIFACTS_OF_CHECK:
            if (self.store / name).exists():
                self._client.log_artifact(self.run_id, str(self.store / name))
        for name in ARTIFACT_FOLDERS:
            self._client.log_artifacts(self.run_id, str(self.store / name), name)
        if not self._ended:
            self._client.set_terminated(self.run_id, status="FINISHED")
            self._ended = True
        self._log_reference(reference)

    def _lacking(self, points: list[Point]) -> list[Point]:
        """Return those points that the parent run does not have."""
        names = set(self._client.get_run(self.run_id).data.metrics) & {name for name, *_ in points}
        there = [
            one for name in names for one in self._client.get_metric_history(self.run_id, name)
        ]
        return lacking(points, [(one.key, one.value, one.timestamp, one.step) for one in there])

    def _log_reference(self, reference: Trained) -> None:
        """Log the reference model last, since some stores accept no models; on error only warn."""
        try:
            run = self._client.get_run(self.run_id)
            if MODEL_TAG not in run.data.tags:
                params = {"dataset": run.data.tags["dataset"], **model_setting(run.data.params)}
                model = log_model(self._client, run, reference, params)
                self._client.set_tag(self.run_id, MODEL_TAG, f"models:/{model}")
            link_model(self._client, run)
        except Exception as error:  # noqa: BLE001 - the rest of the study is logged
            logger.warning(
                "the reference model was not logged to MLflow (%s); rayred upload %s tries again",
                error,
                self.store.path,
            )
