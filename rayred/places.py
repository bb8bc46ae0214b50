"""Where a job writes, against what it reads."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path

import psutil

from rayred.buckets import check_url, is_url, shown_url
from rayred.config import Experiment
from rayred.data.cache import home_expanded
from rayred.data.sources import sources_of
from rayred.errors import ConfigError
from rayred.outputs import Sources, check_folder_above, check_output
from rayred.store import CONFIG_FILE

logger = logging.getLogger(__name__)

SHORT_LIVED = {
    "tmpfs": "it is in memory (tmpfs)",
    "ramfs": "it is in memory (ramfs)",
    "overlay": "it is in a container's own layer (overlay)",
}
"""File systems that end with a machine or a container, and what they are."""
LOCAL = ("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs")
"""File systems on disks of one machine."""


def check_places(experiment: Experiment, out: Path | str, *files: Path) -> None:
    """Refuse a job that would write to, into or above something that it was given to read.

    Places in buckets have to be there, and to be writable.

    Parameters
    ----------
    experiment
        The job's settings: its data set, and where checkpoints, copies and MLflow's runs go.
    out
        The folder for its results, or its URL.
    files
        What else it reads, such as embeddings.

    Raises
    ------
    ConfigError
        The job would change its sources, or read its results as such the next time.
    """
    dataset = sources_of(experiment.dataset, experiment.data)
    if experiment.sweep.subset is not None:
        files = (*files, Path(experiment.sweep.subset))
    if is_url(out):
        _check_bucket(str(out), experiment, "--out")
    else:
        check_output(Path(out), dataset + Sources(files))
    if is_url(experiment.storage) and not experiment.storage.startswith("file://"):
        _check_bucket(experiment.storage, experiment, "storage")
    given_by_user = replace(dataset, downloads=())
    for folder in ("scans", "parquet"):
        check_output(home_expanded(experiment.data.root) / folder, given_by_user, "data.root")
    storage = _on_this_machine(experiment.storage, "file://", "")
    if storage is not None:
        # Each study has a folder of its own there, so that the storage may hold the data set.
        check_output(storage / "study", dataset, "storage")
    uri = experiment.tracking.uri
    if uri == "auto":
        uri = os.environ.get("MLFLOW_TRACKING_URI", "auto")
    check_tracking(experiment, uri, "tracking.uri")


def _check_bucket(url: str, experiment: Experiment, name: str) -> None:
    """Refuse a place in a bucket that is, holds or lies in what is read, or cannot be written."""
    ours = shown_url(url)
    for place in (experiment.dataset, experiment.data.test or ""):
        scheme, _, theirs = place.partition(":")
        if not is_url(theirs) and scheme != "s3":
            continue
        folder = shown_url(theirs).partition("*")[0].rpartition("/")[0]
        if f"{ours}/".startswith(f"{folder}/") or f"{folder}/".startswith(f"{ours}/"):
            raise ConfigError(f"{name}: {ours}: images are read from {folder}; choose another")
    check_url(url, name)


def check_lasts(out: Path) -> None:
    """Refuse a folder that is lost with a machine or a container; say so of a disk of its own.

    Raises
    ------
    ConfigError
        The folder is in memory, or in a container's own layer.
    """
    folder = out.resolve()
    mounts = {Path(one.mountpoint): one.fstype for one in psutil.disk_partitions(all=True)}
    kind = next(mounts[one] for one in (folder, *folder.parents) if one in mounts)
    if kind in SHORT_LIVED:
        raise ConfigError(
            f"--out {out}: is lost with this node of the cluster: {SHORT_LIVED[kind]}; use a"
            " bucket, as in --out s3://BUCKET/runs/NAME, or a folder on a file system that lasts"
        )
    if kind in LOCAL:
        logger.warning(
            "%s is on a disk of this node: without that the study cannot go on; a run folder in a"
            " bucket (--out s3://...) is not lost with a node",
            out,
        )


def check_report(experiment: Experiment, out: Path) -> None:
    """Refuse a folder for a report that is not new or empty, or is where the images are.

    Raises
    ------
    ConfigError
        Something would be overwritten, or the report read as images the next time.
    """
    if os.path.lexists(out) and not (out.is_dir() and not any(out.iterdir())):
        raise ConfigError(f"--out {out}: not empty; choose another --out")
    check_output(out, sources_of(experiment.dataset, experiment.data))
    check_folder_above(out)


def check_tracking(experiment: Experiment, uri: str, name: str) -> None:
    """Refuse an MLflow database among the images.

    Parameters
    ----------
    experiment
        Names the images.
    uri
        Tracking server or database.
    name
        Option or setting that it comes from, for the message.

    Raises
    ------
    ConfigError
        The database would be in what is read.
    """
    database = _on_this_machine(uri, "sqlite:///", "file://", "file:")
    if database is not None:
        check_output(database, sources_of(experiment.dataset, experiment.data), name)


def check_experiment_file(file: Path, out: Path) -> None:
    """Refuse a run folder that is or holds the experiment file.

    The folder's own `config.yaml` may be given, to go on with the run.

    Raises
    ------
    ConfigError
        The file might be overwritten.
    """
    if os.path.realpath(file) != os.path.realpath(out / CONFIG_FILE):
        check_output(out, Sources((file,)))


def _on_this_machine(address: str, *schemes: str) -> Path | None:
    """Return the path in an address that begins with one of the schemes; None for others."""
    for scheme in schemes:
        path = address.removeprefix(scheme)
        if address.startswith(scheme) and "://" not in path and path != "auto":
            return Path(path).expanduser()
    return None
