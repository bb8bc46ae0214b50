"""The run folder: what a study has made so far, so that a killed run goes on where it stopped.

Every stage leaves one file or folder and, last, a record of the key that it was made under. A
key is a digest of all that the stage's outcome depends on. What is written appears whole: it is
made under a temporary name and renamed.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from rayred.config import OF_CHECKPOINTS, Experiment
from rayred.config.file import dump_experiment, flatten, parse_experiment, parse_yaml
from rayred.errors import ConfigError, RunFolderError

M = TypeVar("M")
T = TypeVar("T")
logger = logging.getLogger(__name__)

CONFIG_FILE = "config.yaml"
IDENTITY_FILE = "identity"
TRIALS = "sweep.trials"
SWEEP_RECORD = "stages/sweep.json"
"""Says whose trials lie in the folder: written when all others have been removed."""
DATASET_RECORD = "stages/dataset.json"
"""Digest of the data set."""
TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}(\.\w+)?")
MADE_HERE = (
    CONFIG_FILE,
    "embedding-parts",
    "embeddings.npy",
    "environment.json",
    "figures",
    "groups.parquet",
    "images",
    "kept.npy",
    "mlartifacts",
    "mlflow.db",
    "ray",
    "reference.pt",
    "report.html",
    "results.json",
    "results.parquet",
    "search",
    "search.json",
    "stages",
    "subsets",
    "tracking.json",
    "trees.npz",
    "trials",
)
"""What rayred writes into a run folder, and what `--fresh` removes from it."""


@dataclass(frozen=True)
class Stage(Generic[M, T]):
    """A stage's name, and how what it makes (M) is kept, and loaded again (T)."""

    name: str
    file: str
    """File or folder within the run folder."""
    version: int
    """Raised whenever the code changes what the stage makes of the same inputs."""
    save: Callable[[Path, M], None]
    load: Callable[[Path], T]


@dataclass(frozen=True)
class Made(Generic[T]):
    """The outcome of a stage, and the key that stands for it in the keys of later stages."""

    value: T
    key: str


@dataclass(frozen=True)
class RunFolder:
    """A folder that holds one study."""

    path: Path

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @property
    def identity(self) -> str:
        """A name for this study that no other has, made with the folder."""
        return (self / IDENTITY_FILE).read_text().strip()

    def hold(self, dataset_digest: str) -> None:
        """Take a new identity if the data set is another than the one that was worked on."""
        known = read_json(self / DATASET_RECORD).get("digest", dataset_digest)
        if known != dataset_digest:
            _renew_identity(self)
        write_json(self / DATASET_RECORD, {"digest": dataset_digest})

    def run(
        self, stage: Stage[M, T], inputs: Mapping[str, Any], make: Callable[[str], M]
    ) -> Made[T]:
        """Return a stage's outcome as loaded from its file, made now if its inputs are others.

        `make` is handed the stage's key.
        """
        key = digest({"stage": stage.name, "version": stage.version, **inputs})
        record = self / "stages" / f"{stage.name}.json"
        target = self / stage.file
        if target.exists() and read_json(record).get("key") == key:
            logger.info("%s: already done", stage.name)
            return Made(stage.load(target), key)
        started = time.perf_counter()
        with replacing(target) as temporary:
            stage.save(temporary, make(key))
        seconds = round(time.perf_counter() - started, 2)
        write_json(record, {"key": key, "seconds": seconds})
        logger.info("%s: done in %.1f s", stage.name, seconds)
        return Made(stage.load(target), key)

    def remove(self, name: str) -> None:
        """Remove a file or folder, if it is there."""
        _remove(self / name)


@contextmanager
def open_run_folder(
    path: Path, experiment: Experiment, *, fresh: bool = False, update: bool = False
) -> Iterator[RunFolder]:
    """Open or make the run folder of an experiment, for this process alone.

    Parameters
    ----------
    path
        The folder.
    experiment
        The study that it is to hold.
    fresh
        Remove what an earlier run has left there.
    update
        Go on although the config has changed: only what depends on the changes is made again.

    Raises
    ------
    RunFolderError
        The folder cannot be written, holds something else or another config, or is in use.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = (path / ".lock").open("w")
    except OSError as error:
        raise RunFolderError(f"{path}: cannot write the run folder: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RunFolderError(f"{path}: another rayred is at work in this run folder") from error
        folder = RunFolder(path.resolve())
        _claim(folder, experiment, fresh, update)
        yield folder


def check_run_folder(
    path: Path, experiment: Experiment, *, fresh: bool = False, update: bool = False
) -> None:
    """Raise what `open_run_folder` would for what a folder holds, and touch nothing.

    Raises
    ------
    RunFolderError
        The folder holds something else or another config.
    """
    try:
        held = {entry.name for entry in path.iterdir()}
    except FileNotFoundError:
        return
    except OSError as error:
        raise RunFolderError(f"{path}: cannot read the run folder: {error.strerror}") from error
    if IDENTITY_FILE not in held:
        foreign = [name for name in held if not name.startswith(".")]
        if foreign:
            raise RunFolderError(
                f"{path}: not empty and no run folder (it holds {min(foreign)!r}); choose another"
                " --out"
            )
    elif not (fresh or update):
        changes = _changes(path / CONFIG_FILE, experiment)
        if changes:
            raise RunFolderError(
                f"{path}: holds a run of another config: {'; '.join(changes)}. Choose another"
                " --out, start over with --fresh, or redo only what depends on the change with"
                " --update"
            )


def digest(inputs: Mapping[str, Any]) -> str:
    """Return a key of 16 hexadecimal digits for JSON-like inputs."""
    text = json.dumps(inputs, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target` that takes its place when all went well."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}{target.suffix}")
    try:
        yield temporary
        if target.is_dir():
            shutil.rmtree(target)
        temporary.replace(target)
    finally:
        _remove(temporary)


def write_json(path: Path, content: Any) -> None:
    """Write JSON; the file appears whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file, or an empty one where there is no readable file."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _claim(folder: RunFolder, experiment: Experiment, fresh: bool, update: bool) -> None:
    """Make the folder this experiment's, or say why it cannot be."""
    check_run_folder(folder.path, experiment, fresh=fresh, update=update)
    config = folder / CONFIG_FILE
    if not (folder / IDENTITY_FILE).exists():
        # The identity is written first: a folder without one is no run folder, whatever it holds.
        _renew_identity(folder)
    elif fresh:
        for name in MADE_HERE:
            _remove(folder / name)
        _renew_identity(folder)
    elif _changes(config, experiment):
        _renew_identity(folder)
    _sweep_up(folder)
    with replacing(config) as temporary:
        temporary.write_text(dump_experiment(experiment))


def _changes(config: Path, experiment: Experiment) -> list[str]:
    """Return what makes the experiment another than that in the folder.

    More trials do not, nor when checkpoints are taken.
    """
    if not config.exists():
        return []
    free = {f"train.{name}" for name in OF_CHECKPOINTS}
    before, now = (
        {key: value for key, value in settings.items() if key not in free}
        for settings in _settings(config, experiment)
    )
    if {**before, TRIALS: None} == {**now, TRIALS: None} and before.get(TRIALS, 0) < now[TRIALS]:
        return []
    return [
        f"{key} ({before.get(key)!r} there, {now.get(key)!r} now)"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    ]


def _settings(config: Path, experiment: Experiment) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings in the folder and those of the experiment, flat."""
    stored = parse_yaml(config.read_text(), str(config))
    if not isinstance(stored, dict):
        raise RunFolderError(f"{config}: holds no settings; start over with --fresh")
    # With defaults for settings that are newer than the folder; of another version: as it is.
    with suppress(ConfigError):
        stored = parse_experiment(stored, str(config)).model_dump(mode="json")
    return flatten(stored), flatten(experiment.model_dump(mode="json"))


def _renew_identity(folder: RunFolder) -> None:
    with replacing(folder / IDENTITY_FILE) as temporary:
        temporary.write_text(uuid.uuid4().hex + "\n")


def _sweep_up(folder: RunFolder) -> None:
    """Remove what a run that was killed was just writing."""
    for place in (
        folder.path,
        *(folder / name for name in ("figures", "search", "stages", "trials")),
    ):
        for path in place.glob(".*") if place.is_dir() else ():
            if TEMPORARY.fullmatch(path.name):
                _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
