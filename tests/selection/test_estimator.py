"""Selectors as a scikit-learn estimator: the rows of a study, and scikit-learn's contract."""

import doctest
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.estimator_checks import check_estimator

from rayred import SubsetSelector
from rayred.clustering.groups import redundant_groups
from rayred.config import Sweep
from rayred.selection import SELECTORS, Candidates, estimator, make_subsets
from tests.selection.examples import odd_candidates, rows

CANDIDATES = odd_candidates()
X, Y, SCORES = CANDIDATES.embeddings, CANDIDATES.labels, CANDIDATES.scores
NAMES = np.array(["ant", "bee", "cat", "dog", "eel"])[Y]


def table(x: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(x, columns=list("abcde"))


def kept_by_a_study(by: str, keep: float, seed: int) -> list[int]:
    """The rows that the first trial of a study keeps."""
    groups = redundant_groups(X, Y, [keep], zero_rows="apart")
    sweep = Sweep(fractions=[keep], selectors=[by], trials=3)
    return next(iter(make_subsets(Candidates(Y, X, groups, SCORES), sweep, seed).values())).tolist()


@pytest.mark.parametrize("keep", [0.9, 0.5, 1.0, 1])
@pytest.mark.parametrize("by", SELECTORS)
def test_the_rows_kept_are_those_of_a_study(by, keep):
    selector = SubsetSelector(by, keep, random_state=3).fit(X, Y, scores=SCORES)
    assert selector.get_support(indices=True).tolist() == kept_by_a_study(by, keep, 3)


def test_rows_of_another_seed_are_others_where_a_selector_draws():
    first, second = (
        SubsetSelector("random", 0.5, random_state=seed).fit(X, Y).get_support() for seed in (0, 1)
    )
    assert (first != second).any()


@pytest.mark.parametrize("labels", [NAMES, NAMES.astype(object), NAMES.tolist(), pd.Series(NAMES)])
def test_classes_may_have_names(labels):
    numbered, named = (SubsetSelector(keep=0.5).fit(X, y).get_support() for y in (Y, labels))
    assert numbered.tolist() == named.tolist()


def test_a_categorical_column_may_be_the_classes():
    numbered = SubsetSelector(keep=0.5).fit(X, Y)
    named = SubsetSelector(keep=0.5).fit(X, pd.Series(NAMES, dtype="category"))
    assert numbered.get_support().tolist() == named.get_support().tolist()


def test_without_labels_all_rows_are_one_class():
    alone, together = (SubsetSelector(keep=0.3).fit(X, y) for y in (None, np.zeros(len(X), int)))
    assert alone.get_support().tolist() == together.get_support().tolist()
    assert alone.get_support().sum() == round(0.3 * len(X))


def test_support_is_a_mask_or_row_numbers():
    selector = SubsetSelector(keep=0.5).fit(X, Y)
    mask, places = selector.get_support(), selector.get_support(indices=True)
    assert (mask.dtype, mask.shape) == (bool, (len(X),))
    assert np.flatnonzero(mask).tolist() == places.tolist()


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor, table])
def test_kept_rows_come_back_as_what_was_given(kind):
    x, y = kind(X), pd.Series(NAMES) if kind is table else NAMES
    selector = SubsetSelector(keep=0.5)
    transformed = selector.fit_transform(x, y)
    resampled, labels = selector.fit_resample(x, y)
    mask = SubsetSelector(keep=0.5).fit(X, Y).get_support()
    for found in (transformed, resampled, selector.transform(x)):
        assert type(found) is type(x)
        assert np.array_equal(np.asarray(found), X[mask])
    assert type(labels) is type(y)
    assert list(labels) == NAMES[mask].tolist()
    if kind is table:
        assert resampled.index.tolist() == labels.index.tolist() == np.flatnonzero(mask).tolist()
        assert selector.feature_names_in_.tolist() == ["a", "b", "c", "d", "e"]


def test_what_belongs_to_the_rows_can_be_made_smaller_too():
    selector = SubsetSelector(keep=0.5).fit(X, Y)
    images = np.arange(len(X) * 12).reshape(len(X), 2, 2, 3)
    names = [f"{row}.png" for row in range(len(X))]
    places = selector.get_support(indices=True)
    assert np.array_equal(selector.transform(images), images[places])
    assert selector.transform(names) == [names[row] for row in places]


def test_other_rows_than_those_of_fit_are_refused():
    selector = SubsetSelector(keep=0.5).fit(X, Y)
    with pytest.raises(ValueError, match=f"X has {len(X) - 1} rows, and fit saw {len(X)}"):
        selector.transform(X[1:])


@pytest.mark.parametrize("ask", ["get_support", "transform"])
def test_before_fit_there_are_no_rows(ask):
    with pytest.raises(NotFittedError):
        getattr(SubsetSelector(), ask)(*([X] if ask == "transform" else []))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"by": "best"}, "'by' .*'semantic'.*'d2'.* Got 'best'"),
        ({"keep": 0}, "'keep' .* Got 0 "),
        ({"keep": 1.01}, "'keep' .* Got 1.01 "),
        ({"keep": float("nan")}, "'keep' .* Got nan "),
        ({"keep": True}, "keep .* Got True"),
        ({"random_state": -1}, "'random_state' .* Got -1 "),
        ({"random_state": None}, "'random_state' .* Got None "),
    ],
)
def test_parameters_that_cannot_be_used_are_refused(parameters, message):
    with pytest.raises(InvalidParameterError, match=message):
        SubsetSelector(**parameters).fit(X, Y)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (None, r"by='d2' chooses by the scores el2n: fit\(X, y, scores=\{'el2n': \.\.\.\}\)"),
        ({"forgetting": SCORES["forgetting"]}, "by='d2' chooses by the scores el2n"),
        ({"el2n": SCORES["el2n"][1:]}, f"scores 'el2n': expected {len(X)} numbers.*shape"),
        ({"el2n": np.where(Y == 0, np.nan, 1.0)}, r"scores 'el2n': row \d+ is nan"),
        ({"el2n": np.where(Y == 0, np.inf, 1.0)}, r"scores 'el2n': row \d+ is inf"),
    ],
)
def test_scores_that_are_missing_or_cannot_be_used_are_refused(scores, message):
    with pytest.raises(ValueError, match=message):
        SubsetSelector("d2").fit(X, Y, scores=scores)


def test_an_image_that_was_never_learned_has_an_infinite_count_of_events():
    scores = {"forgetting": np.where(Y == 0, np.inf, 1.0)}
    selector = SubsetSelector("forgetting", 0.4).fit(X, Y, scores=scores)
    assert selector.get_support()[Y == 0].sum() > selector.get_support()[Y != 0].sum()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (NAMES[1:], f"expected {len(X)} labels"),
        (np.where(Y == 0, None, NAMES), "row .* has the label None"),
        (Y + 0.5, "dtype float64"),
    ],
)
def test_labels_that_cannot_be_used_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        SubsetSelector().fit(X, labels)


def test_parameters_are_those_of_the_constructor_and_a_copy_has_them():
    selector = SubsetSelector("k_center", 0.5, random_state=7)
    assert selector.get_params() == {"by": "k_center", "keep": 0.5, "random_state": 7}
    assert repr(clone(selector)) == "SubsetSelector(by='k_center', keep=0.5, random_state=7)"
    assert repr(clone(selector).set_params(by="semantic", keep=0.9, random_state=0)) == (
        "SubsetSelector()"
    )
    fitted = pickle.loads(pickle.dumps(selector.fit(X, Y)))
    assert fitted.get_support().tolist() == selector.get_support().tolist()


FEWER_ROWS = "fewer rows come back, and only those that fit saw have a place"
ANY_ROWS = "whatever belongs to the rows may be made smaller, such as images"


@pytest.mark.parametrize("by", ["semantic", "k_center"])
def test_the_estimator_keeps_scikit_learns_contract_where_it_is_not_about_columns(by):
    check_estimator(
        SubsetSelector(by),
        expected_failed_checks={
            "check_transformer_general": FEWER_ROWS,
            "check_methods_sample_order_invariance": FEWER_ROWS,
            "check_methods_subset_invariance": FEWER_ROWS,
            "check_fit_idempotent": FEWER_ROWS,
            "check_n_features_in_after_fitting": ANY_ROWS,
            "check_fit2d_predict1d": ANY_ROWS,
            "check_transformer_data_not_an_array": ANY_ROWS,
            "check_estimators_nan_inf": "classes are integers, booleans or text, and no floats",
        },
    )


def test_the_example_in_the_docstring_is_true():
    assert doctest.testmod(estimator).failed == 0


def test_a_single_row_is_kept():
    assert SubsetSelector(keep=0.5).fit(rows(1)).get_support().tolist() == [True]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tensors_of_a_network_are_taken_as_they_are(dtype):
    x = torch.tensor(np.random.default_rng(0).normal(size=(20, 4)), dtype=dtype)
    expected = SubsetSelector(keep=0.5).fit(x.float().numpy()).get_support()
    found = SubsetSelector(keep=0.5).fit(x.requires_grad_()).get_support()
    assert found.tolist() == expected.tolist()
