"""A study in MLflow: one parent run per study, one child run per trial and candidate.

Everything logged is in the run folder as well, so nothing is lost if the server does not answer:
`rayred.review.upload` sends the missing runs later. Runs are found again by the tags `rayred.study`
(the run folder's identity) and `rayred.trial`.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from rayred.files import read_json
from rayred.results.trial import TrialResult
from rayred.search.results import Candidate, Found
from rayred.store import Store
from rayred.tracking.client import (
    ARTIFACTS_FOLDER,
    artifact_location,
    create_store,
    dataset_input,
    log_model,
)
from rayred.tracking.runs import ChildRun, origin_tags, study_metrics

if TYPE_CHECKING:
    from rayred.training import Trained

logger = logging.getLogger(__name__)

STUDY_TAG = "rayred.study"
TRIAL_TAG = "rayred.trial"
PARENT_TAG = "mlflow.parentRunId"
NAME_TAG = "mlflow.runName"
MODEL_TAG = "rayred.reference_model"
ARTIFACTS = ("config.yaml", "results.json", "results.parquet", "report.html")
ARTIFACT_FOLDERS = ("figures", "subsets")


def tracking_uri(setting: str, store: Store) -> str:
    """Return the tracking URI for the setting `tracking.uri`.

    ``auto`` is resolved when a study begins, and saved in its folder: to MLFLOW_TRACKING_URI if
    set, else to a database in the folder.
    """
    if setting != "auto":
        return setting
    chosen = store.manifest.tracking
    if not chosen:
        chosen = os.environ.get("MLFLOW_TRACKING_URI") or "here"
        store.resolve_tracking(chosen)
    if chosen != "here":
        return chosen
    store.place(ARTIFACTS_FOLDER)
    return f"sqlite:///{store.place('mlflow.db')}"


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
    """

    def __init__(
        self, uri: str, experiment: str, store: Store, name: str, params: Mapping[str, Any]
    ) -> None:
        self.uri = uri
        self.experiment = experiment
        self.store = store
        self.name = name
        self.params = params
        self.failure: str | None = None
        """The error after which nothing more is sent; `None` if there was none."""
        self._client: Any = None
        self._experiment_id = ""
        self.run_id = ""
        """Id of the parent run; empty if it has not been created."""
        self._sent: set[str] = set()

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
        if result.trial.name not in self._sent:
            self._attempt(lambda: self._log_child(ChildRun.of_trial(result)))

    def log_candidate(self, candidate: Candidate) -> None:
        """Log a candidate as a child run, unless that is done already."""
        if candidate.name not in self._sent:
            self._attempt(lambda: self._log_child(ChildRun.of_candidate(candidate)))

    def log_found(self, found: Found, params: Mapping[str, Any]) -> None:
        """Log the result of a search: missing candidates, `params`, and a tag with the result."""
        self._attempt(lambda: self._log_found(found, params))

    def finish(self, reference: Trained) -> None:
        """Log results, files, figures and the reference model, and end the parent run."""
        self._attempt(lambda: self._finish(reference))

    def fail(self) -> None:
        """End the parent run with status FAILED."""
        self._attempt(lambda: self._client.set_terminated(self.run_id, status="FAILED"))

    def _attempt(self, send: Callable[[], None]) -> None:
        if self.failure is not None:
            return
        try:
            send()
        except Exception as error:  # noqa: BLE001 - no error of MLflow ends the study
            self.failure = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
            logger.warning(
                "MLflow at %s does not answer (%s); the study goes on without it",
                self.uri,
                self.failure,
            )

    def _start(self, dataset: Mapping[str, str | int]) -> None:
        self._client = create_store(self.uri)
        self._experiment_id = self._find_experiment()
        study = self.store.identity
        runs = self._search(f"tags.`{STUDY_TAG}` = '{study}'")
        parents = [run for run in runs if TRIAL_TAG not in run.data.tags]
        if parents:
            run = parents[0]
            self._client.update_run(run.info.run_id, status="RUNNING")
        else:
            tags = {STUDY_TAG: study}
            run = self._client.create_run(self._experiment_id, run_name=self.name, tags=tags)
        self.run_id = run.info.run_id
        from mlflow.entities import Param, RunTag

        facts = {
            "dataset": dataset["name"],
            "dataset.digest": dataset["digest"],
            **origin_tags(self.store),
        }
        known = run.data.params
        self._client.log_batch(
            self.run_id,
            params=[Param(key, str(text)) for key, text in self.params.items() if key not in known],
            tags=[RunTag(key, str(text)) for key, text in facts.items()],
        )
        self._client.log_inputs(self.run_id, [dataset_input(dataset)])
        for run in runs:
            name = run.data.tags.get(TRIAL_TAG)
            if name is None:
                continue
            if run.info.status in ("FINISHED", "FAILED", "KILLED"):
                self._sent.add(name)
            else:
                # The run is incomplete: delete it, so that it is logged again.
                self._client.delete_run(run.info.run_id)

    def _find_experiment(self) -> str:
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(self.experiment)
        if found is None:
            location = artifact_location(self.uri)
            try:
                return str(self._client.create_experiment(self.experiment, location))
            except MlflowException:
                # Another study may have created it in between.
                found = self._client.get_experiment_by_name(self.experiment)
                if found is None:
                    raise
        return str(found.experiment_id)

    def _search(self, query: str) -> list[Any]:
        runs: list[Any] = []
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment_id], query, max_results=1000, page_token=token
            )
            runs += page
            token = page.token
            if not token:
                return runs

    def _log_found(self, found: Found, params: Mapping[str, Any]) -> None:
        from mlflow.entities import Param, RunTag

        for candidate in found.candidates:
            if candidate.name not in self._sent:
                self._log_child(ChildRun.of_candidate(candidate))
        known = self._client.get_run(self.run_id).data.params
        self._client.log_batch(
            self.run_id,
            params=[Param(key, str(text)) for key, text in params.items() if key not in known],
            tags=[RunTag("search", found.sentence())],
        )

    def _log_child(self, child: ChildRun) -> None:
        """Create a child run with its params, tags, curve and status."""
        from mlflow.entities import Metric, Param

        now = int(time.time() * 1000)
        tags = {
            STUDY_TAG: self.store.identity,
            TRIAL_TAG: child.name,
            PARENT_TAG: self.run_id,
            NAME_TAG: child.name,
            "mlflow.source.name": "rayred",
            **{key: str(value) for key, value in child.facts.items()},
        }
        if child.reason:
            tags["reason"] = child.reason
        started = now - int(1000 * (child.seconds or 0))
        run = self._client.create_run(self._experiment_id, start_time=started, tags=tags)
        metrics = [
            Metric(metric, float(value), now, step)
            for step, values in child.curve
            for metric, value in values.items()
            if value is not None
        ]
        if child.seconds is not None:
            metrics.append(Metric("train_seconds", child.seconds, now, 0))
        params = [Param(key, str(value)) for key, value in child.facts.items()]
        for first in range(0, max(1, len(metrics)), 1000):
            self._client.log_batch(
                run.info.run_id,
                metrics=metrics[first : first + 1000],
                params=params if first == 0 else [],
            )
        self._client.set_terminated(run.info.run_id, status=child.status, end_time=now)
        self._sent.add(child.name)

    def _finish(self, reference: Trained) -> None:
        from mlflow.entities import Metric, RunTag

        sent = [Metric(*point) for point in study_metrics(self.store, reference)]
        for first in range(0, len(sent), 1000):
            self._client.log_batch(self.run_id, metrics=sent[first : first + 1000])
        sentence = read_json(self.store / "results.json")["verdict"]["sentence"]
        self._client.log_batch(self.run_id, tags=[RunTag("mlflow.note.content", sentence)])
        for name in ARTIFACTS:
            self._client.log_artifact(self.run_id, str(self.store / name))
        for name in ARTIFACT_FOLDERS:
            self._client.log_artifacts(self.run_id, str(self.store / name), name)
        self._client.set_terminated(self.run_id, status="FINISHED")
        if MODEL_TAG not in self._client.get_run(self.run_id).data.tags:
            self._log_reference(reference)

    def _log_reference(self, reference: Trained) -> None:
        """Log the reference model last, since some stores accept no models; on error only warn."""
        model_id = ""
        try:
            made = self._client.create_logged_model(
                self._experiment_id, name="reference", source_run_id=self.run_id
            )
            model_id = made.model_id
            log_model(self._client, model_id, reference)
            self._client.finalize_logged_model(model_id, "READY")
            self._client.set_tag(self.run_id, MODEL_TAG, f"models:/{model_id}")
        except Exception as error:  # noqa: BLE001 - the rest of the study is logged
            logger.warning(
                "the reference model was not logged to MLflow (%s); rayred upload %s tries again",
                error,
                self.store.path,
            )
            if model_id:
                self._client.delete_logged_model(model_id)
