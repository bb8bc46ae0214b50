"""A study as its folder has it: experiment, trials, verdict, report, and its run in MLflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from rayred import keys
from rayred.checking.partners import Relation
from rayred.checking.summary import SUMMARY, leak_notes
from rayred.clustering.exploration import Exploration
from rayred.clustering.trees import ClassTrees, kept_images
from rayred.config import SEARCHED, Experiment, Sweep
from rayred.config.file import dump_experiment
from rayred.config.sweep import GIVEN
from rayred.errors import RunFolderError
from rayred.machines.environment import Environment
from rayred.results.trial import TestSplit, Trial, TrialResult, subject
from rayred.search.results import Found
from rayred.selection import subset_name
from rayred.stages import (
    CONFIG,
    DATASET,
    EXPLORATION,
    OVERLAP,
    REFERENCE_RESULT,
    REPORT,
    SEARCH,
    SUBSETS,
    TEST_SPLIT,
    TREES,
    trial_stage,
)
from rayred.store import ENVIRONMENT, MANIFEST, Made, Stage, Store
from rayred.sweep.plan import plan_trials
from rayred.tracking.tracker import Tracker, tracking_uri
from rayred.verdict import Verdict, judge

if TYPE_CHECKING:
    import pandas

    from rayred.data import Dataset, Split
    from rayred.report.study import StudyReport

T = TypeVar("T")


def stored_experiments(path: Path) -> list[Experiment]:
    """Return the experiments of a run folder, that of the current study first."""
    if not (path / MANIFEST).exists():
        return []
    store = Store(path)
    current = store.parts.get(CONFIG.name)
    configs = sorted(store.every(f"{CONFIG.name}-"), key=lambda one: one.key != current)
    found = [store.get(CONFIG, one.key) for one in configs]
    return [one.value for one in found if one is not None]


def keep_config(store: Store, experiment: Experiment, *, finished: bool = False) -> None:
    """Make an experiment the config of the current study.

    Unless that is finished, a report of another config, with fewer trials for example, is no part
    of it any more.
    """
    key = keys.digest("config", 1, {"text": dump_experiment(experiment)})
    if not finished and store.parts.get(CONFIG.name) != key:
        store.take({}, instead_of=REPORT)
    store.keep(CONFIG, key, lambda: experiment)


def experiment_of(store: Store) -> Experiment:
    """Return the current study's experiment, with the settings found where any were searched.

    Raises
    ------
    RunFolderError
        There is none that is whole.
    """
    stored, found = store.current(CONFIG), found_by(store)
    if stored is None:
        raise RunFolderError(f"{store.name}: has no study yet, or none whose config can be read")
    return stored.value if found is None else stored.value.with_settings(found.settings)


def found_by(store: Store) -> Found | None:
    """Return the result of the current study's search; None if there is none."""
    found = store.current(SEARCH)
    return None if found is None else found.value


def trials_so_far(store: Store, plan: Sequence[Trial]) -> list[TrialResult]:
    """Return the results of all trials of a plan that have ended."""
    found = [store.current(trial_stage(trial.name)) for trial in plan]
    return [made.value for made in found if made is not None]


def ended_trials(store: Store, experiment: Experiment) -> list[TrialResult]:
    """Return the results of all trials that have ended.

    Raises
    ------
    RunFolderError
        None has.
    """
    trials = trials_so_far(store, plan_trials(experiment.sweep, experiment.seed))
    if not trials:
        raise RunFolderError(f"{store.name}: no trial has ended yet; finish it with 'rayred run'")
    return trials


def verdict_of(store: Store, experiment: Experiment, trials: Sequence[TrialResult]) -> Verdict:
    """Return the verdict on some trials of the current study."""
    test = test_split(store)
    return judge(experiment.dataset_name, trials, experiment.verdict.margin, test)


def test_split(store: Store) -> TestSplit | None:
    """Return the test images of the current study; without classes in folders of older versions."""
    kept = store.current(TEST_SPLIT)
    if kept is not None:
        return kept.value
    dataset = store.current(DATASET)
    return None if dataset is None else TestSplit(tuple(dataset.value["test_class_sizes"]))


def report_key(store: Store, study: str, name: str, parts: Mapping[str, str]) -> str:
    """Return the key of a study's report: of all that it may show.

    Parameters
    ----------
    store, study, name
        The folder, and key and name of the study.
    parts
        Keys of the study's entries by stage.
    """
    others = {CONFIG.name, ENVIRONMENT.name, REPORT}
    shown = {stage: key for stage, key in parts.items() if stage not in others}
    return keys.report(study=study, name=name, parts=store.digests(shown))


def keep_report(store: Store, report: StudyReport, *, again: bool = False) -> None:
    """Make the report of the current study a part of it: anew, if that is wanted."""
    # Imported here: printing the table of a run needs no matplotlib.
    from rayred.report.study import write_report

    stage: Stage[StudyReport, None] = Stage(REPORT, write_report, lambda _: None)
    key = report_key(store, store.manifest.study, report.name, store.parts)
    if again:
        store.put(stage, key, report)
    else:
        store.keep(stage, key, lambda: report)


def report_of(
    store: Store, experiment: Experiment, dataset: Dataset, trials: Sequence[TrialResult]
) -> StudyReport:
    """Return the contents of the current study's report.

    Raises
    ------
    RunFolderError
        What it takes is not there, or not whole.
    """
    # Imported here: printing the table of a run needs no matplotlib.
    from rayred.report.study import StudyReport, shown_fraction

    reference, trees = _needed(store, REFERENCE_RESULT), _needed(store, TREES)
    overlaps = store.current(OVERLAP)
    verdict = verdict_of(store, experiment, trials)
    notes = emptied_classes(dataset.train, experiment.sweep)
    notes += dataset.notices() + leaks_of(store, dataset)
    notes += [
        f"trial {result.trial.name} failed: {result.reason}"
        for result in trials
        if result.status == "failed"
    ]
    notes += _other_environments(store, reference, trials)
    fraction = shown_fraction(verdict, experiment.sweep.fractions)
    return StudyReport(
        name=experiment.name,
        dataset_setting=experiment.dataset,
        dataset=dataset,
        model=experiment.model,
        steps=experiment.train.steps,
        linkage=experiment.linkage.method,
        reference_accuracy=reference.value.test_accuracy,
        reference_seconds=reference.value.train_seconds,
        reference_curve=reference.value.curve,
        fraction=fraction,
        trees=trees.value,
        kept=_shown_subset(store, experiment, dataset, trees.value, fraction),
        given=subject(experiment.sweep.selectors) == GIVEN,
        exploration=_exploration(store, experiment, trees.value),
        twice=_twice(store),
        trials=trials,
        test=test_split(store),
        verdict=verdict,
        selection=experiment.selection,
        overlaps=() if overlaps is None else overlaps.value,
        environment=Environment.of_study(store),
        found=found_by(store),
        notes=notes,
        config=dump_experiment(experiment),
    )


def leaks_of(store: Store, dataset: Dataset) -> list[str]:
    """Return a note on test images that are also in training: by all ways, or by bytes alone."""
    checked = store.current(SUMMARY)
    if checked is not None:
        return leak_notes(checked.value)
    train, test = dataset.train.digests, dataset.test.digests
    if train is None or test is None or dataset.test is dataset.train:
        return []
    known = {digest.tobytes() for digest in train}
    leaks = sum(digest.tobytes() in known for digest in test)
    if not leaks:
        return []
    return [
        f"{leaks:,} of {len(test):,} test images have the same bytes as a training image:"
        " accuracies are too high; see rayred check"
    ]


def _twice(store: Store) -> Mapping[Relation, pandas.DataFrame]:
    """Return the pairs of images that look the same, by relation; none if none were looked for."""
    from rayred.checking.pairs import FILES, read_pairs

    is_there = all((store / name).exists() for name in FILES.values())
    return read_pairs(store.path) if is_there else {}


def _needed(store: Store, stage: Stage[Any, T]) -> Made[T]:
    made = store.current(stage)
    if made is None:
        raise RunFolderError(f"{store.name}: has no {stage.name}; finish it with 'rayred run'")
    return made


def _shown_subset(
    store: Store, experiment: Experiment, dataset: Dataset, trees: ClassTrees, fraction: float
) -> NDArray[np.int64]:
    """Return the images of the given or semantic subset, also where the study has none."""
    ours = subject(experiment.sweep.selectors)
    kept = _needed(store, SUBSETS).value.get(subset_name(ours, fraction, 0))
    if kept is not None:
        return dataset.train.places(kept)
    # Imported here: torch is needed only where the study has no such subset.
    from rayred.clustering.groups import redundant_groups

    x, labels = _space(store, experiment), dataset.train.labels
    groups = redundant_groups(x, labels, [fraction], trees=trees, zero_rows="apart")
    return groups.kept[fraction]


def _exploration(store: Store, experiment: Experiment, trees: ClassTrees) -> Exploration:
    """Return what the group browser needs; it is found out now if an older version has not."""
    kept = store.current(EXPLORATION)
    if kept is not None:
        return kept.value
    # Imported here: torch is needed only for this.
    from rayred.clustering.exploring import explore

    return explore(_space(store, experiment), trees)


def _space(store: Store, experiment: Experiment) -> NDArray[Any]:
    """Return the embeddings by which subsets are chosen, (N, D)."""
    from rayred.training.stages import EMBEDDINGS, MEAN_SPACE

    space: Stage[Any, NDArray[Any]] = MEAN_SPACE if experiment.selection.average else EMBEDDINGS
    return _needed(store, space).value


def _other_environments(
    store: Store, reference: Made[Any], trials: Sequence[TrialResult]
) -> list[str]:
    """Return a note on trials that other versions or other hardware have made."""
    environments = [
        made.environment
        for result in trials
        if (made := store.current(trial_stage(result.trial.name))) is not None
    ]
    where = {
        key: (found.versions, found.hardware())
        for key in {reference.environment, *environments}
        if (found := Environment.read(store, key)) is not None
    }
    others = [key for key in environments if where.get(key) != where.get(reference.environment)]
    if not others:
        return []
    return [
        f"{len(others)} of {len(environments)} trials were made with other versions or on other"
        " hardware than the reference: made/trial-*/record.json names the environment of each"
    ]


def emptied_classes(train: Split, sweep: Sweep) -> list[str]:
    """Return notes on classes of which a fraction rounds to no image, so that one is kept.

    A subset that is given says itself how many it keeps of each class.
    """
    fractions = sweep.fractions if sweep.subset is None else []
    sizes = train.class_sizes()
    return [
        f"fraction {fraction:g} of class {name!r} ({size} images) rounds to no image; one is kept"
        for fraction in fractions
        for name, size in zip(train.classes, sizes, strict=True)
        if int(fraction * size + 0.5) < kept_images(size, fraction)
    ]


def zero_embeddings(train: Split, embeddings: NDArray[Any]) -> list[str]:
    """Return a note on images whose embedding is all zero, if there are some."""
    rows = np.flatnonzero(~embeddings.any(axis=1))
    if not len(rows):
        return []
    names = ", ".join(train.names[row] for row in rows[:3])
    more = ", …" if len(rows) > 3 else ""
    return [
        f"the embeddings of {len(rows):,} of {len(embeddings):,} images are all zero"
        f" ({names}{more}); those of a class are a group of their own"
    ]


def start_tracking(
    experiment: Experiment,
    store: Store,
    dataset: Mapping[str, str | int],
    uri: str | None = None,
    found: Found | None = None,
) -> Tracker:
    """Return a tracker whose parent run is there, or that has noted why MLflow does not answer.

    Parameters
    ----------
    experiment, store, dataset
        The study, and the facts of its data set.
    uri
        Tracking server or database; by default the experiment's own.
    found
        The search result that the experiment's settings come from; None while a search is to come.
    """
    params = experiment.params()
    if found is None and experiment.sweep.space:
        # Params cannot be changed in MLflow: these wait for the result of the search.
        params = {k: v for k, v in params.items() if not k.startswith(SEARCHED)}
    tracker = Tracker(
        uri or tracking_uri(experiment.tracking.uri, store),
        experiment.tracking.experiment,
        store,
        experiment.name,
        params,
        test_split(store),
    )
    tracker.start(dataset)
    return tracker
