"""The child runs of a study in MLflow: those that are there, and those that are sent."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rayred.tracking.runs import ChildRun

STUDY_TAG = "rayred.study"
TRIAL_TAG = "rayred.trial"
PARENT_TAG = "mlflow.parentRunId"
NAME_TAG = "mlflow.runName"
MOST_METRICS = 1000
"""Points that MLflow takes in one request."""


class Children:
    """The trials and candidates of a study as child runs of its run.

    Parameters
    ----------
    client, experiment_id
        MLflow's client, and the experiment.
    study, parent
        Identity of the study, and id of its run.
    common
        Values that all child runs have as params and tags, such as the data set.
    """

    def __init__(
        self, client: Any, experiment_id: str, study: str, parent: str, common: Mapping[str, object]
    ) -> None:
        self._client = client
        self._experiment_id = experiment_id
        self._study = study
        self._parent = parent
        self.common = dict(common)
        self._there: dict[str, tuple[str, set[str]]] = {}
        # Id of each run, and the names of its params.

    def take_over(self, run: Any) -> None:
        """Note a child run as sent if it is complete; else delete it, so that it is sent again."""
        if run.info.status not in ("FINISHED", "FAILED", "KILLED"):
            self._client.delete_run(run.info.run_id)
            return
        self._there[run.data.tags[TRIAL_TAG]] = run.info.run_id, set(run.data.params)
        if run.data.tags.get(PARENT_TAG) != self._parent:
            # Its parent run has been deleted.
            self._client.set_tag(run.info.run_id, PARENT_TAG, self._parent)

    def has(self, key: str) -> bool:
        """Whether a trial or candidate has its run."""
        return key in self._there

    def complete(self, child: ChildRun) -> None:
        """Add params and tags that a child run lacks, as those of older versions do."""
        from mlflow.entities import Param, RunTag

        run_id, known = self._there[child.key]
        facts = [fact for fact in self._facts(child).items() if fact[0] not in known]
        if facts:
            params, tags = ([kind(*fact) for fact in facts] for kind in (Param, RunTag))
            self._client.log_batch(run_id, params=params, tags=tags)
            known.update(key for key, _ in facts)

    def send(self, child: ChildRun) -> None:
        """Create a child run with its params, tags, curve and status."""
        from mlflow.entities import Metric, Param

        now = int(time.time() * 1000)
        facts = self._facts(child)
        tags = {
            STUDY_TAG: self._study,
            TRIAL_TAG: child.key,
            PARENT_TAG: self._parent,
            NAME_TAG: child.name,
            "mlflow.source.name": "rayred",
            **facts,
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
        for first in range(0, max(1, len(metrics)), MOST_METRICS):
            self._client.log_batch(
                run.info.run_id,
                metrics=metrics[first : first + MOST_METRICS],
                params=[Param(*fact) for fact in facts.items()] if first == 0 else [],
            )
        self._client.set_terminated(run.info.run_id, status=child.status, end_time=now)
        self._there[child.key] = run.info.run_id, set(facts)

    def _facts(self, child: ChildRun) -> dict[str, str]:
        """Return the params of a child run, which are tags as well."""
        return {key: str(value) for key, value in {**self.common, **child.facts}.items()}
