"""The main job, top to bottom: from a labelled data set to what is redundant in it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import ray
from numpy.typing import NDArray

from rayred.class_trees import ClassTrees, kept_images, load_trees, save_trees
from rayred.cluster import Cluster, connect
from rayred.clustering import cluster_classes
from rayred.config import Experiment
from rayred.data import Dataset, load_dataset
from rayred.errors import RunFolderError
from rayred.execution import Execution
from rayred.experiment_file import flatten, load_experiment
from rayred.report.study import StudyReport, write_report
from rayred.results import TrialResult, load_trials, save_results
from rayred.run_folder import CONFIG_FILE, Made, RunFolder, Stage, open_run_folder, read_json
from rayred.selection import Candidates, Subset, load_subsets, make_subsets, save_subsets
from rayred.sweep import SweepInputs, plan_trials, run_sweep
from rayred.tracking import Tracker, tracking_uri
from rayred.training.embedding import embed_with_ray
from rayred.training.loop import Task
from rayred.training.ray_train import Trained, load_trained, save_trained, train_with_ray
from rayred.verdict import Verdict, judge

logger = logging.getLogger(__name__)

REFERENCE = Stage[Trained]("reference", "reference.pt", 1, save_trained, load_trained)
EMBEDDINGS = Stage[NDArray[np.float32]]("embeddings", "embeddings.npy", 1, np.save, np.load)
TREES = Stage[ClassTrees]("trees", "trees.npz", 1, save_trees, load_trees)
SUBSETS = Stage[dict[str, Subset]]("subsets", "subsets", 1, save_subsets, load_subsets)


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
    dataset = load_dataset(experiment.dataset, experiment.data)
    with open_run_folder(path, experiment, fresh=fresh, update=update) as folder:
        tracker = _start_tracking(experiment, folder, dataset.digest)
        with connect(address) as cluster:
            job = _Job(experiment, folder, dataset, cluster)
            reference = _train_reference(job)
            embeddings = _embed(job, reference)
            trees = _grow_trees(job, embeddings)
            subsets = _choose_subsets(job, embeddings, trees)
            results = _sweep(job, subsets, tracker)
        verdict = judge(experiment.name, results, experiment.verdict.margin)
        _report(experiment, folder, dataset, verdict, results)
        tracker.finish()
    failed = tuple(result for result in results if result.status == "failed")
    return Study(folder.path, verdict, failed, tracker.uri, tracker.failure)


class _Job:
    """What every stage of one run needs."""

    def __init__(
        self, experiment: Experiment, folder: RunFolder, dataset: Dataset, cluster: Cluster
    ) -> None:
        self.experiment = experiment
        self.folder = folder
        self.dataset = dataset
        self.dataset_ref = ray.put(dataset)
        self.execution = Execution.plan(experiment, cluster, folder.path)
        self.task = Task.for_dataset(experiment.model, dataset, experiment.train, experiment.seed)


def _train_reference(job: _Job) -> Made[Trained]:
    settings = job.experiment
    inputs = {
        "dataset": job.dataset.digest,
        "model": settings.model,
        "train": settings.train.model_dump(mode="json"),
        "seed": settings.seed,
        "workers": settings.resources.workers,
    }

    def train(key: str) -> Trained:
        everything = ray.put(np.arange(len(job.dataset.train)))
        run_name = f"reference-{key}"
        scaling, storage = job.execution.reference, job.execution.storage
        return train_with_ray(job.task, job.dataset_ref, everything, scaling, storage, run_name)

    reference = job.folder.run(REFERENCE, inputs, train)
    logger.info("reference: test accuracy %.2f %%", 100 * reference.value.test_accuracy)
    return reference


def _embed(job: _Job, reference: Made[Trained]) -> Made[NDArray[np.float32]]:
    def embed(_: str) -> NDArray[np.float32]:
        return embed_with_ray(
            job.task.spec,
            reference.value.weights,
            job.dataset_ref,
            len(job.dataset.train),
            job.execution.embedding,
        )

    return job.folder.run(EMBEDDINGS, {"reference": reference.key}, embed)


def _grow_trees(job: _Job, embeddings: Made[NDArray[np.float32]]) -> Made[ClassTrees]:
    linkage = job.experiment.linkage
    smallest = min(job.experiment.sweep.fractions)
    inputs = {
        "embeddings": embeddings.key,
        "linkage": linkage.model_dump(mode="json"),
        "smallest": smallest,
    }

    def grow(_: str) -> ClassTrees:
        labels = job.dataset.train.labels
        return cluster_classes(
            embeddings.value, labels, smallest, linkage, job.execution.clusterers
        )

    return job.folder.run(TREES, inputs, grow)


def _choose_subsets(
    job: _Job, embeddings: Made[NDArray[np.float32]], trees: Made[ClassTrees]
) -> Made[dict[str, Subset]]:
    sweep, seed = job.experiment.sweep, job.experiment.seed
    inputs = {"trees": trees.key, "sweep": sweep.model_dump(mode="json"), "seed": seed}
    for note in _emptied_classes(job.dataset, sweep.fractions):
        logger.warning("%s", note)

    def choose(_: str) -> dict[str, Subset]:
        candidates = Candidates(job.dataset.train.labels, embeddings.value, trees.value)
        return make_subsets(candidates, sweep, seed)

    return job.folder.run(SUBSETS, inputs, choose)


def _sweep(job: _Job, subsets: Made[dict[str, Subset]], tracker: Tracker) -> list[TrialResult]:
    plan = plan_trials(job.experiment.sweep, job.experiment.seed)
    inputs = SweepInputs(job.task, job.dataset_ref, job.dataset.digest, subsets.value)
    results = run_sweep(plan, inputs, job.execution, job.folder / "trials", tracker.log_trial)
    save_results(job.folder / "results.parquet", results)
    return results


def report(out: Path | str) -> Verdict:
    """Make results.json, the figures and the page again from what a run left.

    Raises
    ------
    RunFolderError
        There is no run, or it has not got as far as its sweep.
    """
    folder, experiment = _open_finished(Path(out))
    results = _trials_so_far(folder, experiment)
    if not results or not (folder / TREES.file).exists():
        raise RunFolderError(f"{out}: no trial has ended yet; finish it with 'rayred run'")
    dataset = load_dataset(experiment.dataset, experiment.data)
    verdict = judge(experiment.name, results, experiment.verdict.margin)
    save_results(folder / "results.parquet", results)
    _report(experiment, folder, dataset, verdict, results)
    return verdict


def results(out: Path | str) -> Verdict:
    """Return the verdict on the trials that a run has finished so far.

    Raises
    ------
    RunFolderError
        There is no run, or no trial of it has ended.
    """
    folder, experiment = _open_finished(Path(out))
    trials = _trials_so_far(folder, experiment)
    if not trials:
        raise RunFolderError(f"{out}: no trial has ended yet; finish it with 'rayred run'")
    return judge(experiment.name, trials, experiment.verdict.margin)


def tracking_of(out: Path | str) -> tuple[str, str]:
    """Return the MLflow store of a run, and its experiment there."""
    folder, experiment = _open_finished(Path(out))
    return tracking_uri(experiment.tracking.uri, folder), experiment.tracking.experiment


def upload(out: Path | str, uri: str | None = None) -> Tracker:
    """Send to MLflow what it has not got of a finished run; see `Tracker.failure` afterwards.

    Parameters
    ----------
    out
        Run folder.
    uri
        Tracking server or database; by default the run's own.

    Raises
    ------
    RunFolderError
        There is no finished run.
    """
    folder, experiment = _open_finished(Path(out))
    if not (folder / "results.json").exists():
        raise RunFolderError(f"{out}: the run is not finished; finish it with 'rayred run'")
    digest = read_json(folder / "results.json")["dataset"]["digest"]
    tracker = _start_tracking(experiment, folder, digest, uri)
    for result in _trials_so_far(folder, experiment):
        tracker.log_trial(result)
    tracker.finish()
    return tracker


def _open_finished(path: Path) -> tuple[RunFolder, Experiment]:
    folder = RunFolder(path.resolve())
    if not (folder / CONFIG_FILE).is_file():
        raise RunFolderError(f"{path}: no run folder (it has no {CONFIG_FILE})")
    return folder, load_experiment(folder / CONFIG_FILE)


def _trials_so_far(folder: RunFolder, experiment: Experiment) -> list[TrialResult]:
    plan = plan_trials(experiment.sweep, experiment.seed)
    return load_trials(folder / "trials", plan)


def _emptied_classes(dataset: Dataset, fractions: list[float]) -> list[str]:
    """Say which classes a subset would leave without an image, were one not kept all the same."""
    sizes = dataset.train.class_sizes()
    return [
        f"fraction {fraction:g} of class {name!r} ({size} images) rounds to no image; one is kept"
        for fraction in fractions
        for name, size in zip(dataset.classes, sizes, strict=True)
        if int(fraction * size + 0.5) < kept_images(size, fraction)
    ]


def _report(
    experiment: Experiment,
    folder: RunFolder,
    dataset: Dataset,
    verdict: Verdict,
    results: list[TrialResult],
) -> None:
    reference = REFERENCE.load(folder / REFERENCE.file)
    skipped = [*dataset.train.skipped, *dataset.test.skipped]
    notes = _emptied_classes(dataset, experiment.sweep.fractions)
    notes += [f"left out, as it cannot be decoded: {name}" for name in skipped]
    notes += [
        f"trial {result.trial.name} failed: {result.reason}"
        for result in results
        if result.status == "failed"
    ]
    write_report(
        folder,
        StudyReport(
            experiment=experiment,
            dataset=dataset,
            reference_accuracy=reference.test_accuracy,
            reference_seconds=reference.train_seconds,
            embeddings=EMBEDDINGS.load(folder / EMBEDDINGS.file),
            trees=TREES.load(folder / TREES.file),
            verdict=verdict,
            notes=notes,
        ),
    )


def _start_tracking(
    experiment: Experiment, folder: RunFolder, digest: str, uri: str | None = None
) -> Tracker:
    tracker = Tracker(
        uri or tracking_uri(experiment.tracking.uri, folder),
        experiment.tracking.experiment,
        folder,
        experiment.name,
        flatten(experiment.model_dump(mode="json")),
    )
    tracker.start({"dataset": experiment.dataset, "dataset.digest": digest})
    return tracker
