"""Names, params, tags and metrics that MLflow gets of a study, its trials and candidates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rayred.files import read_json
from rayred.machines.environment import Environment
from rayred.results.classes import worst_class
from rayred.results.trial import TestSplit, TrialResult
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

    name: str
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
        return cls(trial.name, facts, curve, result.train_seconds, status, result.reason)

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
        seconds, reason = candidate.train_seconds, candidate.reason
        return cls(candidate.name, facts, curve, seconds, STATUS[candidate.status], reason)


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


def study_metrics(store: Store, reference: Trained) -> list[Point]:
    """Return the metrics of a finished study; their times are those of the files they are in."""
    results: dict[str, Any] = read_json(store / "results.json")
    metrics = {
        "reference/train_seconds": reference.train_seconds,
        "trials": max(cell["trials"] for cell in results["cells"]),
    }
    if results["verdict"]["redundant_fraction"] is not None:
        metrics["redundant_fraction"] = results["verdict"]["redundant_fraction"]
    for cell in results["cells"]:
        if cell["mean"] is not None:
            metrics[f"accuracy/{cell['selector']}-{cell['fraction']}"] = cell["mean"] / 100
        worst = cell.get("worst_class_accuracy")  # which files of older versions lack
        if worst is not None:
            name = f"worst_class_accuracy/{cell['selector']}-{cell['fraction']}"
            metrics[name] = worst / 100
    for one in results.get("overlaps", ()):  # which files of older versions lack
        metrics[f"jaccard/semantic-{one['fraction']}"] = one["jaccard"]["mean"]
        metrics[f"adjusted_rand/semantic-{one['fraction']}"] = one["adjusted_rand"]["mean"]
    then, trained = (
        int(1000 * (store / name).stat().st_mtime) for name in ("results.json", "reference.pt")
    )
    points = [(name, float(value), then, 0) for name, value in metrics.items()]
    return points + [
        (f"reference/{name}", value, trained, point.step)
        for point in reference.curve
        for name in ("train_loss", "lr", "test_accuracy")
        if (value := getattr(point, name)) is not None
    ]
