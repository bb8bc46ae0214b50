"""The search for settings before the study: candidates tried with Ray Tune.

Every candidate is trained once, on the training images but for some of every class, by which it is
judged; where the linkage is searched for, on its own semantic subset of them. The test split is not
touched. The trials of the verdict are all trained to their end afterwards, with the settings found.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import ray
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.basic_variant import BasicVariantGenerator
from ray.tune.search.searcher import Searcher

from rayred import keys
from rayred.config import Candidate as Settings
from rayred.config import Sweep
from rayred.data.dataset import Dataset
from rayred.errors import ConfigError, DataError, TrainingError
from rayred.machines.connect import share
from rayred.machines.layout import Layout
from rayred.machines.tune import Config, Ended, Plan, Report, Runner, run_trials
from rayred.progress import progress_bar
from rayred.search.results import Candidate, Found, best_of, describe_candidate
from rayred.search.trial import Judgement, train_candidate, with_percent
from rayred.training import Checkpoints, Task, Worker
from rayred.training.on_ray import train_with_ray

logger = logging.getLogger(__name__)

GRACE_PERCENT = 20
"""Share of a training before which no candidate is stopped."""
REDUCTION = 3
"""One of so many candidates that get as far goes on."""
FEW_EPOCHS = 5
"""Candidates are judged at the end of epochs: with fewer, hardly any can be stopped early."""


@dataclass(frozen=True)
class Images:
    """The images that candidates are trained on and judged by, in Ray's object store."""

    dataset: ray.ObjectRef[Dataset]
    """The training images, with those held out in the test split's place."""
    digest: str
    """Content digest of the data set."""
    rows: ray.ObjectRef[NDArray[np.int64]]
    """(n,) int64: the training images that are not held out."""
    rows_digest: str
    n: int

    @classmethod
    def of(cls, dataset: Dataset, rows: NDArray[np.int64]) -> Self:
        """Take the two values of `rayred.search.trial.hold_out`."""
        return cls(share(dataset), dataset.digest, share(rows), keys.array(rows), len(rows))


@dataclass(frozen=True)
class CandidateTraining:
    """Trains the candidates of a search."""

    choose: Callable[[Mapping[str, Any]], Settings]
    """Return the settings of a candidate; raises `ValidationError` if they do not fit together."""
    judgement: Judgement
    images: Images
    numerics: keys.Numerics
    layout: Layout
    known: Mapping[str, Candidate]
    """Candidates of this or an earlier search, by key: they are not trained again."""

    def key(self, settings: Mapping[str, Any]) -> str:
        """Return the key of everything that decides a candidate's result."""
        try:
            chosen = self._chosen(settings)
        except ValidationError:
            return keys.digest("refused", 1, dict(settings))
        training = keys.training(
            dataset=self.images.digest,
            model=chosen.model,
            train=chosen.train.deciding(),
            subset=self.images.rows_digest,
            seed=self.judgement.seed,
            numerics=self.numerics,
        )
        fraction, asha = self.judgement.fraction, self.judgement.asha
        linkage = chosen.linkage.deciding()
        return keys.candidate(training=training, linkage=linkage, fraction=fraction, asha=asha)

    def _chosen(self, settings: Mapping[str, Any]) -> Settings:
        return self.judgement.recipe(self.choose(settings), self.images.n)

    def __call__(self, config: Config, report: Report) -> None:
        """Train a candidate, and report each evaluation and its end."""
        settings = _plain(config["settings"])
        known = self.known.get(self.key(settings))
        if known is not None:
            _report_again(known, report)
            return
        name = _run_name(self.key(settings), tune.get_context().get_trial_id())

        def progress(accuracy: float, point: dict[str, Any]) -> None:
            report({"accuracy": accuracy, "percent": point["percent"], "point": point})

        ended = self._ended(settings, name, progress)
        report({"accuracy": ended.get("accuracy", 0.0), "percent": 100, "ended": ended})

    def _ended(
        self,
        settings: Mapping[str, Any],
        name: str,
        progress: Callable[[float, dict[str, Any]], None],
    ) -> dict[str, Any]:
        """Return the fields of the ended candidate; one that fails by itself has ended as well."""
        try:
            chosen = self._chosen(settings)
            outcome = self._train(chosen, name, progress)
        except ValidationError as error:
            return {"status": "failed", "reason": error.errors()[0]["msg"]}
        except (TrainingError, DataError, ConfigError, ValueError, ImportError) as error:
            return {"status": "failed", "reason": str(error)}
        except torch.OutOfMemoryError as error:
            return {"status": "failed", "reason": str(error).splitlines()[0]}
        return {
            "status": "finished",
            "accuracy": outcome.test_accuracy,
            "train_seconds": outcome.train_seconds,
            "curve": tuple(with_percent(point, chosen.train.steps) for point in outcome.curve),
        }

    def _train(
        self, chosen: Settings, name: str, progress: Callable[[float, dict[str, Any]], None]
    ) -> Any:
        scaling, storage = self.layout.trials, self.layout.storage
        dataset, rows = ray.get([self.images.dataset, self.images.rows])
        if scaling.workers > 1:
            task = Task.for_dataset(chosen.model, dataset, chosen.train, self.judgement.seed)
            return train_with_ray(
                task, self.images.dataset, self.images.rows, scaling, storage, name
            )
        torch.set_num_threads(scaling.threads)
        worker = Worker(torch.device("cuda" if scaling.gpu else "cpu"))
        checkpoints = Checkpoints(storage, name)
        return train_candidate(chosen, self.judgement, dataset, rows, worker, checkpoints, progress)


def search_settings(
    sweep: Sweep,
    train: CandidateTraining,
    before: Sequence[Candidate],
    keep: Callable[[str, Candidate], None],
    runner: Runner,
) -> Found:
    """Try candidates, and return the best; of equals, the one whose name is first.

    Parameters
    ----------
    sweep
        The space that is searched, and how.
    train
        Trains a candidate.
    before
        Candidates of this search that an earlier run has finished.
    keep
        Called with every candidate and its key as it ends.
    runner
        Runs several trainings at a time.

    Raises
    ------
    TrainingError
        No candidate was trained to the end.
    RayredError
        Candidates lost their process again and again.
    """
    total = count_candidates(sweep)
    if sweep.search.asha:
        _warn_of_few_epochs(train.choose({}), train.images.n)
    candidates = {candidate.name: candidate for candidate in before}
    if before:
        logger.info("search: %d of %d candidates are already done", len(before), total)
    with (
        progress_bar("search", "candidate", total, len(before)) as bar,
        closing(_ended_candidates(sweep, train, before, runner)) as ended,
    ):
        for key, candidate in ended:
            keep(key, candidate)
            if candidate.name not in candidates:
                count = len(candidates) + 1
                outcome = describe_candidate(candidate)
                logger.info("search: %*d/%d %s", len(str(total)), count, total, outcome)
                bar.update()
            candidates[candidate.name] = candidate
    return best_of(list(candidates.values()), train.judgement.fraction, sweep.space)


def _ended_candidates(
    sweep: Sweep, train: CandidateTraining, before: Sequence[Candidate], runner: Runner
) -> Generator[tuple[str, Candidate], None, None]:
    """Yield candidates with their keys as they end, those that are known as well."""
    grid = _method(sweep) == "grid"
    options = _options(sweep, train.judgement.seed, before)
    if options["num_samples"] < 1:
        return
    space = {key: _domain(values, grid) for key, values in sweep.space.items()}
    plan = Plan(
        unit="candidate",
        total=count_candidates(sweep),
        space={"settings": space},
        names=lambda config: [candidate_name(train.key(_plain(config["settings"])))],
        left=count_candidates(sweep) - len(before),
        options=options,
    )
    with closing(run_trials(plan, train, runner)) as all_ended:
        for ended in all_ended:
            yield _candidate(train, ended)


def _warn_of_few_epochs(settings: Settings, images: int) -> None:
    epochs = settings.train.steps * settings.train.batch_size / images
    if epochs < FEW_EPOCHS:
        logger.warning(
            "sweep.search.asha: candidates are judged at the end of epochs, and a training has"
            " %.1f: hardly any will be stopped early",
            epochs,
        )


def count_candidates(sweep: Sweep) -> int:
    """Return the number of candidates of a search."""
    if _method(sweep) == "grid":
        return math.prod(len(values) for values in sweep.space.values())
    return sweep.search.samples


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as Python's own numbers and text."""
    return {k: v.item() if isinstance(v, np.generic) else v for k, v in settings.items()}


def candidate_name(key: str) -> str:
    """Return the name of the candidate of a key."""
    return f"search-{key[:8]}"


def _run_name(key: str, trial_id: str) -> str:
    """Return the name of a candidate's checkpoints; a candidate may be drawn more than once."""
    return f"search-{key}-{trial_id.rpartition('_')[2]}"


def _candidate(train: CandidateTraining, ended: Ended) -> tuple[str, Candidate]:
    settings = _plain(ended.config["settings"])
    key, last = train.key(settings), ended.reports[-1]
    if key in train.known:
        return key, train.known[key]
    if "ended" in last:
        return key, Candidate(candidate_name(key), settings, **last["ended"])
    Checkpoints(train.layout.storage, _run_name(key, ended.trial_id)).remove()
    curve = tuple(report["point"] for report in ended.reports)
    accuracy = float(last["accuracy"])
    return key, Candidate(candidate_name(key), settings, "stopped", accuracy, curve=curve)


def _method(sweep: Sweep) -> str:
    if sweep.search.method != "auto":
        return sweep.search.method
    lists = all(isinstance(values, list) for values in sweep.space.values())
    return "grid" if lists else "random"


def _options(sweep: Sweep, seed: int, before: Sequence[Candidate]) -> dict[str, Any]:
    """Return the arguments of `ray.tune.TuneConfig` that decide which candidates are tried."""
    method = _method(sweep)
    samples = 1 if method == "grid" else sweep.search.samples
    algorithm: Searcher | BasicVariantGenerator
    if method == "optuna":
        samples -= len(before)
        algorithm = _optuna(seed, before)
    else:
        # The same candidates each time: those that are known end at once.
        algorithm = BasicVariantGenerator(random_state=seed)
    scheduler = None
    if sweep.search.asha:
        scheduler = ASHAScheduler(
            time_attr="percent",
            max_t=100,
            grace_period=GRACE_PERCENT,
            reduction_factor=REDUCTION,
        )
    return {
        "metric": "accuracy",
        "mode": "max",
        "num_samples": samples,
        "search_alg": algorithm,
        "scheduler": scheduler,
    }


def _domain(values: Any, grid: bool) -> Any:
    """Return a list or search space of the experiment file as one of Ray Tune."""
    if isinstance(values, list):
        return tune.grid_search(values) if grid else tune.choice(values)
    ((name, arguments),) = values.items()
    return tune.choice(arguments) if name == "choice" else getattr(tune, name)(*arguments)


def _optuna(seed: int, before: Sequence[Candidate]) -> Searcher:
    """Return Ray's Optuna search, which knows the candidates that there are."""
    # Imported here: most studies have no need of it.
    import optuna
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if not before:
        return OptunaSearch(seed=seed)
    return OptunaSearch(
        # Not the seed of the first time, which would suggest the same candidates again.
        seed=seed + len(before),
        points_to_evaluate=[
            {f"settings/{key}": value for key, value in candidate.settings.items()}
            for candidate in before
        ],
        evaluated_rewards=[candidate.accuracy or 0.0 for candidate in before],
    )


def _report_again(known: Candidate, report: Report) -> None:
    """Report a candidate as when it was trained, so that others are compared with it."""
    for point in known.curve:
        if point["test_accuracy"] is not None:
            report({"accuracy": point["test_accuracy"], "percent": point["percent"]})
    if known.accuracy is None:
        report({"accuracy": 0.0, "percent": 100})
