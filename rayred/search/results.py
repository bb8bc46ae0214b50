"""The result of a search for settings, as values and as a file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from rayred.errors import TrainingError

FOUND_FILE = "search.json"


@dataclass(frozen=True)
class Candidate:
    """Settings that were tried, and how well."""

    name: str
    """``search-`` and a digest of the settings."""
    settings: dict[str, Any]
    status: Literal["finished", "stopped", "failed"]
    accuracy: float | None = None
    """Share of the held-out images classified correctly, 0 to 1; of a stopped one, the last."""
    train_seconds: float | None = None
    reason: str = ""
    """Why the training failed."""
    curve: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    """Points of the training's curve, the accuracy being that on the held-out images."""


@dataclass(frozen=True)
class Found:
    """The result of a search."""

    settings: dict[str, Any]
    """Settings of the candidate with the highest accuracy among those trained to their end."""
    accuracy: float
    fraction: float
    """Share of the images that candidates were trained on: below 1, semantic subsets."""
    space: dict[str, Any]
    """The spaces searched, as in the experiment file."""
    candidates: tuple[Candidate, ...]

    def ranking(self) -> list[Candidate]:
        """Return the candidates, the best first, those last that were not trained to the end."""
        return sorted(
            self.candidates, key=lambda one: (one.status != "finished", -(one.accuracy or 0.0))
        )

    def sentence(self) -> str:
        """Return the result and how it was found, as a sentence."""
        count = len(self.candidates)
        stopped = sum(candidate.status == "stopped" for candidate in self.candidates)
        early = f", {stopped} of them stopped early" if stopped else ""
        subset = f" after training on semantic {100 * self.fraction:g} % subsets"
        return (
            f"Settings found: {describe(self.settings)} (best of {count} candidates{early}, by"
            f" {100 * self.accuracy:.2f} % accuracy on held-out training images"
            f"{subset if self.fraction < 1 else ''}). All trials of the verdict are trained to the"
            " end with them."
        )


def best_of(candidates: Sequence[Candidate], fraction: float, space: Mapping[str, Any]) -> Found:
    """Return the best candidate that was trained to its end; of equals, the first by name.

    Raises
    ------
    TrainingError
        No candidate was trained to its end.
    """
    finished = [c for c in candidates if c.status == "finished" and c.accuracy is not None]
    if not finished:
        reasons = (candidate.reason for candidate in candidates if candidate.reason)
        reason = next(reasons, "all were stopped early")
        raise TrainingError(f"search: no candidate was trained to the end: {reason}")
    best = min(finished, key=lambda candidate: (-(candidate.accuracy or 0.0), candidate.name))
    accuracy = best.accuracy or 0.0
    return Found(best.settings, accuracy, fraction, dict(space), tuple(candidates))


def describe(settings: Mapping[str, Any]) -> str:
    """Return settings in one line."""
    return ", ".join(
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in settings.items()
    )


def describe_candidate(candidate: Candidate) -> str:
    """Return settings and outcome of a candidate in one line."""
    if candidate.accuracy is None:
        return f"{describe(candidate.settings)}: failed: {candidate.reason}"
    accuracy = f"{100 * candidate.accuracy:.2f} % of the held-out images"
    early = ", stopped early" if candidate.status == "stopped" else ""
    return f"{describe(candidate.settings)}: {accuracy}{early}"


def load_candidate(stored: Mapping[str, Any]) -> Candidate:
    """Return the candidate that `dataclasses.asdict` was given; ValueError if it is none."""
    try:
        return Candidate(**{**stored, "curve": tuple(stored["curve"])})
    except (KeyError, TypeError) as error:
        raise ValueError(f"no candidate of a search: {error}") from error


def load_found(path: Path) -> Found:
    """Read what `save_found` wrote; raises ValueError if it is something else."""
    stored = json.loads(path.read_text())
    try:
        candidates = tuple(load_candidate(one) for one in stored["candidates"])
        return Found(**{**stored, "candidates": candidates})
    except (KeyError, TypeError) as error:
        raise ValueError(f"no result of a search: {error}") from error


def save_found(path: Path, found: Found) -> None:
    """Write settings and candidates as JSON."""
    path.write_text(json.dumps(asdict(found), indent=1) + "\n")
