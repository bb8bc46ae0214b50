"""Names, params, tags and metrics that MLflow gets of a study, its trials and candidates.

What a study has found at several sizes is one metric a selector, such as ``accuracy_semantic``,
whose step is the kept percentage. Accuracies and indices are 0 to 1.

>>> kept_percent(0.9), kept_percent(0.285), kept_percent(0.875)
(90, 29, 88)
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rayred.files import read_json
from rayred.machines.environment import Environment
from rayred.results.classes import worst_class
from rayred.results.trial import FULL, TestSplit, TrialResult
from rayred.search.results import Candidate
from rayred.store import Store

if TYPE_CHECKING:
    from rayred.training import Trained

CURVES = ("train_loss", "lr", "test_accuracy", "epoch")
STATUS = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}
"""MLflow's run status by the status of a training."""

Point = tuple[str, float, int, int]
"""A point of a metric: name, value, time in milliseconds, step."""


@dataclass(frozen=True)
class ChildRun:
    """One training, as a child run of the study's run."""

    key: str
    """What it is found again by: the name of the trial or candidate."""
    name: str
    """What MLflow shows; names of trials sort by selector, fraction and number."""
    facts: Mapping[str, object]
    """Values that are logged as params and as tags."""
    curve: tuple[tuple[int, Mapping[str, float | None]], ...]
    """Pairs of a step and its metrics by name."""
    seconds: float | None
    status: str
    reason: str
    """Why it failed; empty if it did not."""

    @classmethod
    def of_trial(cls, result: TrialResult, test: TestSplit | None) -> ChildRun:
        """Return the run of a trial of the sweep, with its worst class where that is known."""
        trial = result.trial
        facts = {
            "selector": trial.selector,
            "fraction": trial.fraction,
            "trial": trial.trial,
            "seed": trial.seed,
            "n_train": result.n_train,
            "subset": trial.subset,
        }
        curve = tuple((int(p["step"]), {name: p[name] for name in CURVES}) for p in result.curve)
        worst = worst_class(result, test)
        if worst is not None and curve:
            curve += ((curve[-1][0], {"worst_class_accuracy": worst[1]}),)
        status = STATUS[result.status]
        name = f"{trial.selector}-{trial.fraction!r}-{trial.trial:02d}"
        return cls(trial.name, name, facts, curve, result.train_seconds, status, result.reason)

    @classmethod
    def of_candidate(cls, candidate: Candidate) -> ChildRun:
        """Return the run of a candidate of the search, whose accuracy is on held-out images."""
        facts = {"selector": "search", **candidate.settings}
        curve = tuple(
            (
                int(p["step"]),
                {
                    "train_loss": p["train_loss"],
                    "lr": p["lr"],
                    "validation_accuracy": p["test_accuracy"],
                },
            )
            for p in candidate.curve
        )
        name, status = candidate.name, STATUS[candidate.status]
        return cls(name, name, facts, curve, candidate.train_seconds, status, candidate.reason)


def origin_tags(store: Store) -> dict[str, str]:
    """Return tags for the versions, hardware, user and git commit of a study."""
    made = Environment.of_study(store)
    tags: dict[str, object] = {
        "mlflow.user": made.user,
        "mlflow.source.name": "rayred",
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": made.git_commit,
        "mlflow.source.git.dirty": str(made.git_dirty).lower() if made.git_commit else "",
        "hardware": made.hardware(),
        "hardware.nodes": made.nodes,
        "hardware.cpus": made.cpus,
        "hardware.gpus": made.gpus,
        "hardware.gpu_types": ", ".join(made.gpu_types),
    }
    tags |= {f"version.{package}": text for package, text in made.versions.items()}
    return {key: str(text) for key, text in tags.items() if text != ""}


def study_facts(
    params: Mapping[str, Any], dataset: Mapping[str, str | int]
) -> Mapping[str, object]:
    """Return what a study's run has under the names that its trials have it under.

    Parameters
    ----------
    params
        Settings of the study by dotted key.
    dataset
        Name, digest and sizes of the data set: `rayred.data.Dataset.facts`.
    """
    facts: dict[str, object] = {"dataset": dataset["name"], "n_train": dataset["n_train"]}
    fractions = sorted(params.get("sweep.fractions", ()), reverse=True)
    selectors = params.get("sweep.selectors", ())
    if fractions:
        facts["fraction"] = ", ".join(map(str, fractions))
        facts["selector"] = ", ".join([FULL, *selectors] if fractions[0] == 1 else selectors)
    return facts


def model_setting(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the model among some settings; nothing while it is searched for."""
    return {"model": str(settings["model"])} if "model" in settings else {}


def kept_percent(fraction: float) -> int:
    """Return the step of a metric at a fraction: whole percent, halves up; steps are integers."""
    return math.floor(round(100 * fraction, 6) + 0.5)


def study_metrics(store: Store, reference: Trained) -> list[Point]:
    """Return the metrics of a finished study; their times are those of the files they are in."""
    results: dict[str, Any] = read_json(store / "results.json")
    then, trained = (
        int(1000 * (store / name).stat().st_mtime) for name in ("results.json", "reference.pt")
    )
    points = [(name, float(value), then, step) for name, value, step in _findings(results)]
    points += [("reference_train_seconds", reference.train_seconds, trained, 0)]
    points += [
        (f"reference_{name}", value, trained, point.step)
        for point in reference.curve
        for name in ("train_loss", "lr", "test_accuracy")
        if (value := getattr(point, name)) is not None
    ]
    # Without those that are there twice: fractions that are the same in whole percent.
    return list(dict.fromkeys(points))


def lacking(points: list[Point], logged: list[Point]) -> list[Point]:
    """Return the points of metrics that are not the last ones that are logged at their step.

    A value that is not finite is lacking only where it takes back an earlier one.
    """
    last: dict[tuple[str, int], tuple[int, set[str]]] = {}
    for name, value, time, step in logged:
        until, values = last.get((name, step), (0, set()))
        if time >= until:
            last[name, step] = time, {str(value)} | (values if time == until else set())
    return [
        (name, value, time, step)
        for name, value, time, step in points
        if (math.isfinite(value) or (name, step) in last)
        and str(value) not in last.get((name, step), (0, ()))[1]
    ]


def _findings(results: Mapping[str, Any]) -> Iterator[tuple[str, float, int]]:
    """Yield name, value and step of what ``results.json`` says of a study and of its cells."""
    cells, redundant = results["cells"], results["verdict"]["redundant_fraction"]
    yield "redundant_percent", math.nan if redundant is None else round(100 * redundant, 6), 0
    yield "trials", max(cell["trials"] for cell in cells), 0
    yield "failed_trials", sum(cell["failed"] for cell in cells), 0
    for cell in cells:
        step = kept_percent(cell["fraction"])
        if cell["mean"] is not None:
            yield f"accuracy_{cell['selector']}", _share(cell["mean"]), step
        worst = cell.get("worst_class_accuracy")  # which files of older versions lack
        if worst is not None:
            yield f"worst_class_accuracy_{cell['selector']}", _share(worst), step
    for one in results.get("overlaps", ()):  # which files of older versions lack
        step = kept_percent(one["fraction"])
        yield "jaccard_semantic", one["jaccard"]["mean"], step
        yield "adjusted_rand_semantic", one["adjusted_rand"]["mean"], step


def _share(percent: float) -> float:
    """Return percent as 0 to 1, without the digits that rounding has left, which MLflow shows."""
    return round(percent / 100, 12)
