"""The main job, top to bottom: from a labelled data set to what is redundant in it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayred import keys
from rayred.buckets import is_url
from rayred.checking.detectors import Limits
from rayred.checking.pictures import Pictures
from rayred.checking.summary import leak_notes
from rayred.checking.tables import CHECKED, check_images
from rayred.clustering.exploring import explore
from rayred.clustering.on_ray import RayMap
from rayred.clustering.scores import ScoredImages, Scores
from rayred.clustering.trees import ClassTrees
from rayred.config import Experiment
from rayred.config.file import load_experiment
from rayred.config.shipped import experiment_path
from rayred.data import Dataset, EncodedImages, Split, load_dataset
from rayred.data.loading import memory_to_use
from rayred.job import Job, begin, open_job
from rayred.machines.connect import connect, share
from rayred.machines.failures import LOGS, ray_failures
from rayred.machines.tune import Runner
from rayred.places import check_experiment_file, check_places
from rayred.references import (
    cluster_classes,
    compare_references,
    embed_by_each,
    groups_of,
    scores_of,
    space_of,
    train_references,
)
from rayred.results.trial import TrialResult
from rayred.review import Study, finished_study
from rayred.search.on_ray import CandidateTraining, Images, search_settings
from rayred.search.results import Candidate, Found
from rayred.search.trial import Judgement, hold_out
from rayred.selection import Candidates, Subset, make_subsets
from rayred.selection.given import read_given
from rayred.stages import (
    EXPLORATION,
    SCORES,
    SEARCH,
    SUBSETS,
    TRIAL,
    candidate_stage,
    kept_candidates,
    trial_stage,
)
from rayred.store import Made, Store, working_folder
from rayred.study import (
    emptied_classes,
    keep_report,
    report_of,
    start_tracking,
    trials_so_far,
)
from rayred.sweep.on_ray import PackTraining, run_sweep
from rayred.sweep.plan import plan_trials
from rayred.tracking.on_ray import monitoring
from rayred.tracking.tracker import Tracker

logger = logging.getLogger(__name__)


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
        The experiment, its YAML file, or the name of a shipped one.
    out
        Run folder, or its URL in a bucket (``s3://BUCKET/runs/NAME``, ``gs://…``); by default
        ``runs/NAME``. What is already there is not made again.
    address
        Ray cluster to work on; by default RAY_ADDRESS, else this machine.
    fresh
        Start over in a folder that holds an earlier run.
    update
        Go on in a folder that holds another config: only what depends on the changes is made again.

    Raises
    ------
    RayredError
        Something cannot be used as given, or failed; the message says what to do.
    """
    given = experiment
    if not isinstance(experiment, Experiment):
        experiment = load_experiment(experiment_path(experiment))
    out = Path("runs") / experiment.name if out is None else out
    if not isinstance(given, Experiment) and not is_url(out):
        check_experiment_file(experiment_path(given), Path(out))
    return run_study(experiment, out, address=address, fresh=fresh, update=update)


def run_study(
    experiment: Experiment,
    out: Path | str,
    *,
    address: str | None,
    fresh: bool,
    update: bool,
    check: Callable[[Dataset], None] | None = None,
) -> Study:
    """Run an experiment in a folder; `check` may refuse the data set before any work.

    Other parameters and errors are those of `run`.
    """
    check_places(experiment, out)
    path = working_folder(out)
    experiment = experiment.with_absolute_paths()
    experiment = begin(experiment, path, fresh=fresh, update=update)
    whole = experiment.needs_whole_images()
    dataset = load_dataset(experiment.dataset, experiment.data, whole=whole)
    if check is not None:
        check(dataset)
    given = given_images(experiment, dataset)
    if not fresh:
        of_given = None if given is None else keys.array(given)
        finished = finished_study(experiment, path, dataset, update=update, given=of_given)
        if finished is not None:
            return finished
    with (
        connect(address) as cluster,
        open_job(
            experiment, path, dataset, cluster, fresh=fresh, update=update, given=given
        ) as job,
        ray_failures(job.store.place(LOGS)),
    ):
        tracker = start_tracking(job.experiment, job.store, dataset.facts())
        metrics = job.experiment.tracking.system_metrics
        with _failing(tracker), monitoring(tracker, metrics):
            find_leaks(job)
            job, found = _find_settings(job, tracker)
            references = train_references(job)
            embeddings = embed_by_each(job, references)
            space = space_of(job, embeddings)
            with job.class_map() as map:
                trees = cluster_classes(job, space, map)
                score_images(job.store, dataset.train, trees)
                explore_groups(job, space, trees)
                compare_references(job, embeddings, trees, map)
                scores = scores_of(job, references)
                subsets = choose_subsets(job, space, trees, scores, map)
            results = _sweep(job, subsets, tracker)
            report = report_of(job.store, job.experiment, dataset, results)
            keep_report(job.store, report)
            job.store.finish()
            tracker.finish(references[0].value)
            if tracker.failure is None:
                job.store.track(tracker.uri, tracker.experiment)
    failed = tuple(result for result in results if result.status == "failed")
    uri, failure = tracker.uri, tracker.failure
    return Study(job.store.path, report.verdict, failed, uri, failure, found)


@contextmanager
def _failing(tracker: Tracker) -> Iterator[None]:
    """End the parent run as failed if the study does not get to its end."""
    try:
        yield
    except BaseException:
        tracker.fail()
        raise


def _find_settings(job: Job, tracker: Tracker) -> tuple[Job, Found | None]:
    """Search for the settings that `sweep.space` leaves open, and go on with those found."""
    sweep, seed = job.experiment.sweep, job.experiment.seed
    if not sweep.space:
        return job, None
    train = CandidateTraining(
        choose=job.experiment.candidate,
        judgement=Judgement.of(sweep, seed),
        images=Images.of(*hold_out(job.dataset, sweep.search.validation, seed)),
        numerics=job.experiment.resources.trial_numerics(),
        layout=job.layout,
        known=kept_candidates(job.store),
    )
    key = keys.search(start=train.key({}), space=sweep.space, settings=sweep.search.deciding())

    def keep(candidate_key: str, candidate: Candidate) -> None:
        job.store.keep(candidate_stage(key, candidate.name), candidate_key, lambda: candidate)
        tracker.log_candidate(candidate)

    def search() -> Found:
        before = list(kept_candidates(job.store, key).values())
        return search_settings(sweep, train, before, keep, Runner("search", job.layout))

    found = job.store.run(SEARCH, key, search).value
    logger.info("search: %s", found.sentence())
    job = job.with_settings(found.settings)
    tracker.log_found(found, job.experiment.params())
    return job, found


def score_images(store: Store, train: Split, trees: Made[ClassTrees]) -> None:
    """Keep how redundant each image is, down to where the trees end."""

    def score() -> ScoredImages:
        classes = [train.classes[label] for label in train.labels]
        return ScoredImages(Scores.of(trees.value), train.rows, train.names, classes)

    key = keys.scores(images=train.named_digest, trees=trees.digest)
    store.keep(SCORES, key, score)


def explore_groups(job: Job, space: Made[NDArray[Any]], trees: Made[ClassTrees]) -> None:
    """Keep what it takes to look at the groups at any cut, once the embeddings are gone."""
    key = keys.exploration(space=space.digest, trees=trees.digest)
    job.store.run(EXPLORATION, key, lambda: explore(space.value, trees.value))


def find_leaks(job: Job) -> None:
    """Keep which images are there twice, if there is memory to hold and compare them."""
    splits, limits = job.dataset.splits(), Limits()
    if len(splits) < 2 or any(isinstance(one.images, EncodedImages) for one in splits.values()):
        return
    if Pictures.bytes_of(splits) > memory_to_use():
        logger.info("check: there is not enough memory here to compare all images")
        return
    digests = {name: one.named_digest for name, one in splits.items()}
    key = keys.check(splits=digests, x="", limits=asdict(limits))
    found = job.store.run(CHECKED, key, lambda: check_images(splits, limits)).value
    for note in leak_notes(found):
        logger.warning("%s", note)


def given_images(experiment: Experiment, dataset: Dataset) -> NDArray[np.int64] | None:
    """Return which training images the file `sweep.subset` keeps, if there is one."""
    sweep = experiment.sweep
    if sweep.subset is None:
        return None
    return read_given(Path(sweep.subset), dataset.train, min(sweep.fractions))


def choose_subsets(
    job: Job,
    space: Made[NDArray[Any]],
    trees: Made[ClassTrees],
    scores: Mapping[str, NDArray[np.float64]],
    map: RayMap,
) -> dict[str, Subset]:
    """Return the images that every selector keeps at every fraction, by name.

    They are compared in a `space`, (N, D); `scores` say how each was learned, (N,) each, by name.

    They are kept in files as rows of the user's data, some of which may be no images.
    """
    sweep, train = job.experiment.sweep, job.dataset.train
    smaller = [fraction for fraction in sweep.fractions if fraction < 1]
    for note in emptied_classes(train, sweep):
        logger.warning("%s", note)

    def choose() -> dict[str, Subset]:
        wanted = smaller if "semantic" in sweep.selectors else []
        groups = groups_of(job, space, trees, wanted, map)
        candidates = Candidates(train.labels, space.value, groups, scores, map, job.given)
        subsets = make_subsets(candidates, sweep, job.experiment.seed)
        return {name: train.rows[chosen] for name, chosen in subsets.items()}

    digests = {name: keys.array(values) for name, values in scores.items()}
    key = job.keys.subsets(trees.digest, space.digest, digests)
    kept = job.store.run(SUBSETS, key, choose).value
    return {name: train.places(rows) for name, rows in kept.items()}


def _sweep(job: Job, subsets: dict[str, Subset], tracker: Tracker) -> list[TrialResult]:
    """Run the trials that have no result yet, and return the results of all."""
    plan = plan_trials(job.experiment.sweep, job.experiment.seed)
    digests = {name: keys.array(rows) for name, rows in subsets.items()}
    trial_keys = {trial.name: job.keys.trial(trial, digests[trial.subset]) for trial in plan}
    stages = {trial.name: trial_stage(trial.name) for trial in plan}
    parts = {stages[name].name: key for name, key in trial_keys.items()}
    job.store.take(parts, instead_of=TRIAL)
    results = {result.trial.name: result for result in trials_so_far(job.store, plan)}
    for result in results.values():
        tracker.log_trial(result)
    if results:
        logger.info("sweep: %d of %d trials are already done", len(results), len(plan))
    missing = [trial for trial in plan if trial.name not in results]
    needed = {trial.subset: share(subsets[trial.subset]) for trial in missing}
    train = PackTraining(job.task, job.dataset_ref, needed, trial_keys, job.layout)
    with closing(run_sweep(missing, len(plan), train, Runner("sweep", job.layout))) as ended:
        for result in ended:
            name = result.trial.name
            job.store.put(stages[name], trial_keys[name], result, result.train_seconds or 0.0)
            results[name] = result
            tracker.log_trial(result)
            logger.info(
                "sweep: %*d/%d %-20s %s",
                len(str(len(plan))),
                len(results),
                len(plan),
                name,
                result.describe(),
            )
    return [results[trial.name] for trial in plan]
