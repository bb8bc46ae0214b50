"""Keys: they hold everything that decides a result, and nothing that does not."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rayred import keys
from rayred.config import Experiment
from rayred.config.base import Mark, Settings
from rayred.job import StudyKeys, reference_seed
from rayred.sweep.plan import plan_trials

FIXED = {
    "resources.device": "cpu",
    "resources.threads": 2,
    "resources.reference_threads": 2,
    "train.precision": "float32",
}
START = Experiment.model_validate({"dataset": "cifar10", "model": "fastnet"}).with_fixed(FIXED)


def all_keys(experiment: Experiment, dataset: str = "digest") -> dict[str, str]:
    """The keys of everything that a study makes, the contents of subsets given."""
    of = StudyKeys(experiment, dataset)
    reference = of.reference("all rows")
    trees = of.trees(reference)
    found = {
        "study": of.study(),
        "reference": reference,
        "subsets": of.subsets(trees, reference, {}),
    }
    for trial in plan_trials(experiment.sweep, experiment.seed)[:3]:
        found[trial.name] = of.trial(trial, "rows")
    return found


OTHER = {
    "data.test": "x.parquet",
    "linkage.backend": "scipy",
    "sweep.space": {"train.lr": [0.1, 0.2]},
    "train.checkpoint_steps": 7,
    "data.image_size": 24,
    "data.cache_gb": 2.5,
    "data.memory_gb": 2.5,
    "sweep.search.method": "grid",
    "train.steps": 700,
    "sweep.fractions": [1.0, 0.9],
    "sweep.selectors": ["semantic"],
    "model": "resnet8",
    "dataset": "cifar100",
    "resources.device": "cuda",
    "train.precision": "tf32",
    "resources.min_workers": 1,
    "resources.concurrent_trials": 3,
    "resources.trials_per_pack": 4,
}
"""Other values of settings for which none can be made from the default."""


def other_value(key: str, value: Any, annotation: Any) -> Any:
    if key in OTHER:
        return OTHER[key]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value / 2
    if get_origin(annotation) is Literal:
        return next(other for other in get_args(annotation) if other != value)
    return f"{value}-other"


def annotations(group: type[Settings], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, field in group.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            found |= annotations(field.annotation, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = field.annotation
    return found


def replaced(experiment: Experiment, key: str, value: Any) -> Experiment:
    """Replace one setting and no other, without what a recipe would fill in."""

    def inner(group: Settings, names: list[str]) -> Settings:
        new = value if len(names) == 1 else inner(getattr(group, names[0]), names[1:])
        return group.model_copy(update={names[0]: new})

    changed = inner(experiment, key.split("."))
    assert isinstance(changed, Experiment)
    return changed


@pytest.mark.parametrize("key", sorted(Experiment.marks()))
def test_a_setting_alters_keys_exactly_if_its_mark_says_so(key):
    mark = Experiment.marks()[key]
    value = START.flat()[key]
    changed = replaced(START, key, other_value(key, value, annotations(Experiment)[key]))
    assert changed.flat()[key] != value
    decides = mark.decides == "result"
    alters_keys = decides and not mark.by_content
    before, after = all_keys(START), all_keys(changed)
    assert (before != after) == alters_keys
    # The study is another one unless a setting only grows: then it goes on, with more in it.
    assert (before["study"] != after["study"]) == (alters_keys and not mark.grows)
    assert bool(changed.differences(START)) == (decides and not mark.grows)


def test_a_setting_that_grows_makes_another_study_only_if_it_is_smaller():
    fewer = replaced(START, "sweep.trials", 4)
    assert fewer.differences(START) == ["sweep.trials (5 there, 4 now)"]
    assert START.differences(fewer) == []
    assert all_keys(fewer)["study"] == all_keys(START)["study"]


def test_one_reference_leaves_keys_as_they_were_before_there_could_be_several():
    assert not [key for key in START.deciding() if key.startswith("selection.")]
    several = replaced(START, "selection.references", 3)
    assert several.deciding()["selection.references"] == 3
    before, after = all_keys(START), all_keys(several)
    assert {name for name in before if before[name] != after[name]} == {"study"}


def test_references_have_seeds_of_their_own_and_the_first_is_that_of_the_study():
    of = StudyKeys(START, "digest")
    assert of.reference("all rows", 0) == of.reference("all rows")
    assert len({of.reference("all rows", number) for number in range(10)}) == 10
    seeds = {reference_seed(START.seed, number) for number in range(10)}
    assert len(seeds) == 10
    assert reference_seed(7, 0) == 7
    assert not seeds & {trial.seed for trial in plan_trials(START.sweep, START.seed)}


def test_the_data_set_stands_in_keys_by_its_content():
    moved = replaced(START, "dataset", "folder:/elsewhere")
    assert all_keys(moved) == all_keys(START)
    before, other = all_keys(START), all_keys(START, "another digest")
    assert all(before[name] != other[name] for name in before)


@pytest.mark.parametrize("key", [k for k, m in Experiment.marks().items() if m.fixed])
def test_auto_is_fixed_when_a_study_begins_and_kept(key):
    fresh = Experiment.model_validate({"dataset": "cifar10", "model": "fastnet"})
    assert fresh.flat()[key] == "auto"
    fixed = fresh.with_fixed(FIXED)
    assert fixed.flat()[key] == FIXED[key]
    assert fresh.fixed_as(fixed) == fixed
    with pytest.raises(ValueError, match="fixed when a study begins"):
        all_keys(fresh)


def test_what_is_fixed_for_one_device_is_not_taken_over_for_another():
    fresh = Experiment.model_validate({"dataset": "cifar10", "resources": {"device": "cuda"}})
    assert fresh.fixed_as(START) == fresh


def test_every_setting_carries_exactly_one_mark():
    def check(group: type[Settings]) -> None:
        for name, field in group.model_fields.items():
            if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
                check(field.annotation)
            else:
                assert sum(isinstance(one, Mark) for one in field.metadata) == 1, name

    check(Experiment)
    assert Experiment.marks().keys() == START.flat().keys()


@pytest.mark.parametrize(
    "value",
    [Path("x"), np.float64(0.5), np.int64(1), {1, 2}, b"x", Decimal(1), object, {1: 2}, [Path()]],
    ids=lambda value: type(value).__name__,
)
def test_a_value_without_a_canonical_form_raises(value):
    with pytest.raises(TypeError, match="a key depends on"):
        keys.digest("kind", 1, {"value": value})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_raises(value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        keys.digest("kind", 1, {"value": value})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_the_order_of_a_mapping_does_not_matter(inputs):
    def reverse(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: reverse(value[name]) for name in reversed(list(value))}
        return [reverse(one) for one in value] if isinstance(value, list) else value

    assert keys.digest("kind", 1, inputs) == keys.digest("kind", 1, reverse(inputs))
    assert keys.digest("kind", 1, inputs) != keys.digest("kind", 2, inputs)
    assert keys.digest("kind", 1, inputs) != keys.digest("other", 1, inputs)


def test_arrays_are_told_apart_by_type_shape_and_values():
    x = np.arange(6)
    others = [x + 1, x[:5], x.reshape(2, 3), x.astype(np.int32)]
    assert len({keys.array(one) for one in (x, *others)}) == 5
    assert keys.array(x[::2]) == keys.array(x[::2].copy())
    assert keys.array(np.asfortranarray(others[2])) == keys.array(others[2])
    head = f"{x.dtype.str} {x.shape}\n".encode()
    assert keys.array(x) == hashlib.sha256(head + x.tobytes()).hexdigest()


def test_a_setting_without_a_mark_cannot_be_declared():
    class Unmarked(Settings):
        value: int = 0

    with pytest.raises(ValueError, match="not enough values"):
        Unmarked.marks()


def test_settings_stay_checked():
    with pytest.raises(ValidationError):
        START.with_settings({"train.lr": -1})
