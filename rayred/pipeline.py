"""The main job, top to bottom: from a labelled data set to what is redundant in it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray

from rayred.clustering.array_files import read_embeddings
from rayred.clustering.on_ray import (
    ClassActors,
    check_backend,
    cluster_classes,
    find_representatives,
)
from rayred.clustering.trees import ClassTrees
from rayred.config import Experiment
from rayred.config.file import load_experiment, override_experiment
from rayred.data import Dataset, load_dataset, load_train_split
from rayred.errors import ConfigError
from rayred.machines.connect import connect
from rayred.machines.environment import Environment
from rayred.machines.layout import Execution
from rayred.progress import progress_bar
from rayred.pruning import write_pruned
from rayred.results.trial import TrialResult, plan_trials, save_results
from rayred.search.on_ray import CANDIDATES, search_settings
from rayred.search.results import Found
from rayred.search.trial import judged_fraction
from rayred.selection import FULL, Candidates, Subset, make_subsets, subset_name
from rayred.stages import EMBEDDINGS, REFERENCE, SEARCH, SUBSETS, TREES
from rayred.store import (
    SWEEP_RECORD,
    Made,
    RunFolder,
    check_run_folder,
    open_run_folder,
    write_json,
)
from rayred.sweep.on_ray import SweepInputs, remove_stale_trials, run_sweep
from rayred.tracking.on_ray import monitoring
from rayred.tracking.review import emptied_classes, start_tracking, study_params, write_study
from rayred.tracking.tracker import Tracker
from rayred.training.embedding import embed_with_ray
from rayred.training.embedding_parts import EMBEDDING_PARTS, EmbeddingParts
from rayred.training.loop import Task
from rayred.training.on_ray import train_with_ray
from rayred.training.trained import Trained
from rayred.verdict.judge import Verdict, judge

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Study:
    """A finished study."""

    folder: Path
    """The run folder."""
    verdict: Verdict
    failed: tuple[TrialResult, ...]
    """Trials that failed by themselves."""
    tracking_uri: str
    tracking_failure: str | None
    """Why MLflow did not take all of the study; none if it did."""
    found: Found | None = None
    """What `sweep.space` was searched for; none without one."""


def run(
    experiment: Experiment | Path | str,
    out: Path | str | None = None,
    *,
    address: str | None = None,
    fresh: bool = False,
    update: bool = False,
) -> Study:
    """Find out how much of a data set is redundant.

    Parameters
    ----------
    experiment
        The experiment, or its YAML file.
    out
        Run folder; by default ``runs/NAME``. What is already there is not made again.
    address
        Ray cluster to work on; by default what RAY_ADDRESS says, else this machine.
    fresh
        Start over in a folder that holds an earlier run.
    update
        Go on in a folder that holds another config: only what depends on the changes is redone.

    Raises
    ------
    RayredError
        Something cannot be used as given, or failed; the message says what to do.
    """
    if not isinstance(experiment, Experiment):
        experiment = load_experiment(Path(experiment))
    path = Path(out) if out is not None else Path("runs") / experiment.name
    check_run_folder(path, experiment, fresh=fresh, update=update)
    dataset = load_dataset(experiment.dataset, experiment.data)
    with connect(address) as cluster:
        execution = Execution.plan(experiment, cluster, path)
        for linkage in experiment.linkages():
            check_backend(linkage, execution.clustering)
        with open_run_folder(path, experiment, fresh=fresh, update=update) as folder:
            folder.hold(dataset.digest)
            execution = execution.within(folder.identity)
            Environment.describe(cluster).save(folder)
            tracker = start_tracking(experiment, folder, dataset.facts())
            with _failing(tracker), monitoring(tracker, experiment.tracking.system_metrics):
                found = _find_settings(experiment, folder, dataset, execution, tracker)
                if found is not None:
                    experiment = experiment.with_settings(found.settings)
                job = _Job(experiment, folder, dataset, execution)
                reference = _train_reference(job)
                embeddings = _embed(job, reference)
                with ClassActors(embeddings.value, *job.clustering) as actors:
                    trees = _grow_trees(job, embeddings, actors)
                    subsets = _choose_subsets(job, embeddings, trees, actors)
                results = _sweep(job, subsets, tracker)
                verdict = judge(experiment.dataset_name, results, experiment.verdict.margin)
                write_study(experiment, folder, dataset, verdict, results, found)
                tracker.finish(reference.value)
    failed = tuple(result for result in results if result.status == "failed")
    return Study(folder.path, verdict, failed, tracker.uri, tracker.failure, found)


@contextmanager
def _failing(tracker: Tracker) -> Iterator[None]:
    """End the parent run as failed if the study does not get to its end."""
    try:
        yield
    except BaseException:
        tracker.fail()
        raise


@dataclass(frozen=True)
class Pruned:
    """A data set made smaller."""

    folder: Path
    """Where `kept.npy`, `groups.parquet` and, of an image folder, `images/` lie."""
    kept: Subset
    n_images: int
    """Images of the whole data set."""


def prune(
    dataset: str,
    keep: float,
    out: Path | str,
    *,
    embeddings: Path | None = None,
    overrides: Sequence[str] = (),
    address: str | None = None,
    fresh: bool = False,
    update: bool = False,
) -> Pruned:
    """Return the smaller data set without proving anything: one image of every redundant group.

    Parameters
    ----------
    dataset
        Name of the data set; of a ``folder:PATH``, PATH/CLASS/* will do.
    keep
        Fraction of every class to keep, in (0, 1].
    out
        Folder for what is made.
    embeddings
        File with one embedding an image, in data set order; by default those of a reference
        model that is trained now.
    overrides
        ``key.path=value`` settings of the reference training and the linkage.
    address, fresh, update
        As of `run`.

    Raises
    ------
    RayredError
        Something cannot be used as given, or failed; the message says what to do.
    """
    sweep = {"fractions": [keep], "selectors": ["semantic"], "trials": 1}
    settings: dict[str, Any] = {"dataset": dataset, "sweep": sweep}
    if dataset.startswith("parquet:"):
        settings["data"] = {"test": dataset}
    experiment = override_experiment(settings, "prune", overrides)
    if experiment.sweep.space:
        raise ConfigError("prune: sweep.space: nothing is searched for here; use rayred run")
    check_run_folder(Path(out), experiment, fresh=fresh, update=update)
    images = load_train_split(dataset, experiment.data)
    # There is no test split to speak of: the reference is tested on what it was trained on.
    whole = Dataset(dataset, images, images)
    given = None if embeddings is None else read_embeddings(embeddings)
    if given is not None and len(given) != len(images):
        raise ConfigError(f"{embeddings}: has {len(given)} rows for {len(images)} images")
    with connect(address) as cluster:
        execution = Execution.plan(experiment, cluster, Path(out))
        check_backend(experiment.linkage, execution.clustering)
        with open_run_folder(Path(out), experiment, fresh=fresh, update=update) as folder:
            job = _Job(experiment, folder, whole, execution.within(folder.identity))
            if given is None:
                space = _embed(job, _train_reference(job))
            else:
                rows = np.ascontiguousarray(given, np.float32)
                space = Made(rows, hashlib.sha256(rows.data).hexdigest())
            with ClassActors(space.value, *job.clustering) as actors:
                trees = _grow_trees(job, space, actors)
                kept = _choose_subsets(job, space, trees, actors).value
            chosen = kept[subset_name("semantic" if keep < 1 else FULL, keep, 0)]
            write_pruned(folder, images, chosen, trees.value.groups(keep))
    return Pruned(folder.path, chosen, len(images))


class _Job:
    """What every stage of one run needs."""

    def __init__(
        self, experiment: Experiment, folder: RunFolder, dataset: Dataset, execution: Execution
    ) -> None:
        self.experiment = experiment
        self.folder = folder
        self.dataset = dataset
        self.dataset_ref = ray.put(dataset)
        for name in dataset.skipped():
            logger.warning("left out, as it cannot be decoded: %s", name)
        self.execution = execution
        self.clustering = experiment.linkage, execution.clustering
        self.task = Task.for_dataset(experiment.model, dataset, experiment.train, experiment.seed)


def _find_settings(
    experiment: Experiment,
    folder: RunFolder,
    dataset: Dataset,
    execution: Execution,
    tracker: Tracker,
) -> Found | None:
    """Search for the settings that `sweep.space` leaves open; none if it leaves none."""
    if not experiment.sweep.space:
        return None
    inputs = {
        "dataset": dataset.digest,
        "model": experiment.model,
        "train": experiment.train.decisive(),
        "linkage": experiment.linkage.model_dump(mode="json"),
        "fraction": judged_fraction(experiment),
        "space": experiment.sweep.space,
        "search": experiment.sweep.search.model_dump(mode="json"),
        "seed": experiment.seed,
        "workers": experiment.resources.workers,
    }

    def search(key: str) -> Found:
        candidates = folder / CANDIDATES
        told = tracker.log_candidate
        return search_settings(experiment, dataset, execution, candidates, key, told)

    found = folder.run(SEARCH, inputs, search).value
    logger.info("search: %s", found.sentence())
    tracker.log_found(found, study_params(experiment.with_settings(found.settings)))
    return found


def _train_reference(job: _Job) -> Made[Trained]:
    settings = job.experiment
    inputs = {
        "dataset": job.dataset.digest,
        "model": settings.model,
        "train": settings.train.decisive(),
        "seed": settings.seed,
        "workers": settings.resources.workers,
    }

    def train(key: str) -> Trained:
        everything = ray.put(np.arange(len(job.dataset.train)))
        run_name = f"reference-{key}"
        scaling, storage = job.execution.reference, job.execution.storage
        return train_with_ray(job.task, job.dataset_ref, everything, scaling, storage, run_name)

    reference = job.folder.run(REFERENCE, inputs, train)
    tested = "training" if job.dataset.test is job.dataset.train else "test"
    accuracy = 100 * reference.value.test_accuracy
    logger.info("reference: accuracy %.2f %% on the %s images", accuracy, tested)
    return reference


def _embed(job: _Job, reference: Made[Trained]) -> Made[NDArray[np.float32]]:
    def embed(key: str) -> EmbeddingParts:
        parts = EmbeddingParts(job.folder / EMBEDDING_PARTS / key, len(job.dataset.train))
        weights, scaling = reference.value.weights, job.execution.embedding
        missing = parts.missing()
        done = parts.n_images - sum(end - first for first, end in missing)
        with progress_bar("embeddings", "image", parts.n_images, done) as bar:
            found = embed_with_ray(job.task.spec, weights, job.dataset_ref, missing, scaling)
            for part, embeddings in found:
                parts.keep(part, embeddings)
                bar.update(len(embeddings))
        return parts

    embeddings = job.folder.run(EMBEDDINGS, {"reference": reference.key}, embed)
    job.folder.remove(EMBEDDING_PARTS)
    return embeddings


def _grow_trees(
    job: _Job, embeddings: Made[NDArray[np.float32]], actors: ClassActors
) -> Made[ClassTrees]:
    smallest = min(job.experiment.sweep.fractions)
    inputs = {
        "embeddings": embeddings.key,
        "linkage": job.experiment.linkage.model_dump(mode="json"),
        "smallest": smallest,
    }

    def grow(_: str) -> ClassTrees:
        return cluster_classes(actors, job.dataset.train.labels, smallest)

    return job.folder.run(TREES, inputs, grow)


def _choose_subsets(
    job: _Job,
    embeddings: Made[NDArray[np.float32]],
    trees: Made[ClassTrees],
    actors: ClassActors,
) -> Made[dict[str, Subset]]:
    sweep, seed = job.experiment.sweep, job.experiment.seed
    chosen = sweep.model_dump(mode="json", include={"fractions", "selectors", "trials"})
    inputs = {"trees": trees.key, "sweep": chosen, "seed": seed}
    for note in emptied_classes(job.dataset, sweep.fractions):
        logger.warning("%s", note)

    def choose(_: str) -> dict[str, Subset]:
        smaller = [fraction for fraction in sweep.fractions if fraction < 1]
        wanted = smaller if "semantic" in sweep.selectors else []
        images = find_representatives(actors, trees.value, wanted)
        labels = job.dataset.train.labels
        candidates = Candidates(labels, embeddings.value, trees.value, images)
        return make_subsets(candidates, sweep, seed)

    return job.folder.run(SUBSETS, inputs, choose)


def _sweep(job: _Job, subsets: Made[dict[str, Subset]], tracker: Tracker) -> list[TrialResult]:
    plan = plan_trials(job.experiment.sweep, job.experiment.seed)
    inputs = SweepInputs(job.task, job.dataset_ref, job.dataset.digest, subsets.value)
    remove_stale_trials(plan, inputs, job.execution, job.folder / "trials")
    write_json(job.folder / SWEEP_RECORD, {"study": job.folder.identity})
    results = run_sweep(plan, inputs, job.execution, job.folder / "trials", tracker.log_trial)
    save_results(job.folder / "results.parquet", results)
    return results
