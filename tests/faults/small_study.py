"""A study of all the kinds of stages that `rayred run` has, without images, torch and Ray."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rayred.store import Made, Stage, Store, json_stage, open_store, path_stage

ENVIRONMENT = {"cpus": 2}


@dataclass(frozen=True)
class Settings:
    """What a study is of."""

    rate: str
    margin: str
    data: str
    trials: int

    @property
    def study(self) -> str:
        """The study's key: however many trials it has."""
        return key(self.rate, self.margin, self.data)


def key(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content))


def _read(path: Path) -> Any:
    return json.loads(path.read_text())


def _write_two(folder: Path, content: Any) -> None:
    folder.mkdir()
    for name in ("full.npy", "half.npy"):
        _write(folder / name, {**content, "file": name})


def _read_two(folder: Path) -> Any:
    return _read(folder / "full.npy")


def _write_report(folder: Path, content: Any) -> None:
    _write(folder / "results.json", content)
    (folder / "figures").mkdir()
    _write(folder / "figures" / "accuracy.png", {**content, "file": "figure"})


CONFIG: Stage[Any, Any] = path_stage("config", "config.yaml", _write, _read)
DATASET = json_stage("dataset", "dataset.json", shown=False)
LEFT_OUT: Stage[Any, Any] = path_stage("left-out", "left-out.csv", _write, _read)
REFERENCE: Stage[Any, Any] = path_stage("reference", "reference.pt", _write, _read)
SUBSETS: Stage[Any, Any] = path_stage("subsets", "subsets", _write_two, _read_two)
REPORT: Stage[Any, Any] = Stage("report", _write_report, lambda _: None)


def run(folder: Path, settings: Settings, fresh: bool, made: Callable[[str], int]) -> None:
    """Run a study to its end, in the order of `rayred run`.

    `made` is told each entry that is made, and returns a number that makes its content unlike any
    other, as trainings on another day may be.
    """
    with open_store(folder, ENVIRONMENT, make=True) as store:
        store.begin(settings.study, fresh=fresh)
        _Work(store, settings, made).all()
        store.finish()


@dataclass(frozen=True)
class _Work:
    store: Store
    settings: Settings
    made: Callable[[str], int]

    def all(self) -> None:
        given = self.settings
        config = {"rate": given.rate, "margin": given.margin, "trials": given.trials}
        if self.store.parts.get("config") != key(config):
            self.store.take({}, instead_of="report")
        self._keep(CONFIG, key(config), config)
        self._keep(DATASET, given.data, {"data": given.data})
        self._keep(LEFT_OUT, given.data, {"data": given.data})
        decides = {"rate": given.rate, "data": given.data}
        reference = self._run(REFERENCE, key(decides), decides)
        subsets = self._run(SUBSETS, key(reference.digest), decides)
        self._sweep(subsets, decides)
        parts = {s: k for s, k in self.store.parts.items() if s not in ("config", "report")}
        report_key = key(given.study, self.store.digests(parts))
        self._keep(REPORT, report_key, asdict(given))

    def _sweep(self, subsets: Made[Any], decides: dict[str, str]) -> None:
        trial_keys = {
            f"trial-{number}": key(number, subsets.digest, decides)
            for number in range(self.settings.trials)
        }
        self.store.take(trial_keys, instead_of="trial-")
        for name, trial_key in trial_keys.items():
            stage = json_stage(name, "trial.json", shown=False)
            if self.store.current(stage) is None:
                content = {**decides, "number": self.made(f"{name}-{trial_key}")}
                self.store.put(stage, trial_key, content)

    def _keep(self, stage: Stage[Any, Any], stage_key: str, content: dict[str, Any]) -> None:
        self.store.keep(stage, stage_key, lambda: self._making(stage, stage_key, content))

    def _run(self, stage: Stage[Any, Any], stage_key: str, content: dict[str, Any]) -> Made[Any]:
        return self.store.run(stage, stage_key, lambda: self._making(stage, stage_key, content))

    def _making(
        self, stage: Stage[Any, Any], stage_key: str, content: dict[str, Any]
    ) -> dict[str, Any]:
        number = self.made(f"{stage.name}-{stage_key}")
        return content if stage in (CONFIG, DATASET, LEFT_OUT) else {**content, "number": number}
