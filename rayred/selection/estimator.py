"""Selectors as a scikit-learn estimator.

Legend: N rows, D embedding dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils import Tags, TransformerTags, _safe_indexing
from sklearn.utils._param_validation import Interval, InvalidParameterError, StrOptions
from sklearn.utils.validation import _num_samples, check_is_fitted, validate_data
from torch import Tensor

from rayred.clustering.groups import redundant_groups
from rayred.clustering.labels import rows_of_classes
from rayred.config import Sweep
from rayred.linkage.rows import as_matrix
from rayred.selection import SELECTORS, Candidates, make_subsets


class SubsetSelector(BaseEstimator):  # type: ignore[misc]
    """Selection of rows (samples) of a labelled data set, by one of rayred's selectors.

    It chooses rows, not columns as the estimators of `sklearn.feature_selection` do: what it
    returns has fewer samples, and all features.

    Parameters
    ----------
    by : str, default="semantic"
        Name of the selector, one of `rayred.selection.SELECTORS`.
    keep : float, default=0.9
        Share of every class to keep, in (0, 1]; rounded, and at least one row. The selectors that
        rank all classes together keep as many rows in all, and at least one of each class.
    random_state : int, default=0
        Seed of the selectors that draw rows: the `seed` of a study.

    Attributes
    ----------
    support_ : ndarray of shape (n_samples,), dtype bool
        Whether each row is kept.
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features seen during `fit`; defined only if all names of `X` are strings.

    See Also
    --------
    rayred.prune : A smaller data set of images, with tables and pictures of what goes.
    rayred.redundant_groups : The groups that ``by="semantic"`` keeps one row of.

    Notes
    -----
    The rows kept are those of the first trial of a study with the same embeddings, selector, share
    and seed. Rows that are all zero count as equal to each other and as far from all others.

    A `sklearn.pipeline.Pipeline` cannot take labels away, so that this estimator is no step of one.
    `fit_resample` is what the samplers of imbalanced-learn have, whose pipelines can.

    Examples
    --------
    >>> import numpy as np
    >>> from rayred import SubsetSelector
    >>> X = np.array([[1, 0], [1, 0.1], [1, 0.2], [0, 1], [0.1, 1], [0.5, 1]])
    >>> y = np.array(["cat", "cat", "cat", "dog", "dog", "dog"])
    >>> selector = SubsetSelector(keep=0.67).fit(X, y)
    >>> selector.get_support()
    array([ True,  True, False,  True, False,  True])
    >>> X_kept, y_kept = selector.fit_resample(X, y)
    >>> y_kept
    array(['cat', 'cat', 'dog', 'dog'], dtype='<U3')
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "by": [StrOptions(SELECTORS.keys())],
        "keep": [Interval(Real, 0, 1, closed="right")],
        "random_state": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(self, by: str = "semantic", keep: float = 0.9, *, random_state: int = 0) -> None:
        self.by = by
        self.keep = keep
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        scores: Mapping[str, ArrayLike] | None = None,
    ) -> Self:
        """Choose the rows to keep.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Embeddings: real numbers, all of them finite.
        y : array-like of shape (n_samples,), default=None
            Classes: integers, booleans or text, none missing. By default all rows are one class.
        scores : mapping of str to array-like of shape (n_samples,), default=None
            Numbers that some selectors choose by: ``el2n`` (`el2n`, `ccs` and `d2`), ``forgetting``
            (`forgetting`; infinite where an image was never learned).

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        InvalidParameterError
            There is no such selector, `keep` is not in (0, 1], or `random_state` is no integer of 0
            or more.
        ValueError
            `X`, `y` or `scores` cannot be used, or scores are missing.
        """
        for name in ("keep", "random_state"):
            value = getattr(self, name)
            if isinstance(value, bool | np.bool_):  # True is a number to scikit-learn
                raise InvalidParameterError(f"{name} must be a number. Got {value} instead.")
        given = as_matrix(X) if isinstance(X, Tensor) else X
        rows = validate_data(self, given, dtype=[np.float64, np.float32])
        keep = float(self.keep)
        labels = _labels(y, len(rows))
        groups = None
        if self.by == "semantic":
            groups = redundant_groups(rows, labels, [keep], zero_rows="apart")
        candidates = Candidates(labels, rows, groups, self._scores(scores, len(rows)))
        sweep = Sweep(fractions=[keep], selectors=[self.by], trials=1)
        (kept,) = make_subsets(candidates, sweep, int(self.random_state)).values()
        self.support_ = np.zeros(len(rows), dtype=bool)
        self.support_[kept] = True
        return self

    def get_support(self, indices: bool = False) -> NDArray[np.bool_] | NDArray[np.int64]:
        """Return which rows are kept.

        Parameters
        ----------
        indices : bool, default=False
            Whether to return row numbers in place of a mask.

        Returns
        -------
        support : ndarray of shape (n_samples,), dtype bool, or (n_kept,), dtype int64, ascending
            The mask, or the numbers of the rows that are kept.
        """
        check_is_fitted(self)
        return np.flatnonzero(self.support_) if indices else self.support_

    def transform(self, X: Any) -> Any:
        """Return the kept rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            The rows that `fit` saw, or anything else with one entry a row, such as their images or
            file names: a NumPy array, a pandas object, a torch tensor or a list.

        Returns
        -------
        X_kept : array-like of shape (n_kept, ...)
            The entries of the kept rows, of the type of `X`.

        Raises
        ------
        ValueError
            `X` has another number of rows.
        """
        support = self.get_support(indices=True)
        n_rows = _num_samples(X)
        if n_rows != len(self.support_):
            raise ValueError(f"X has {n_rows} rows, and fit saw {len(self.support_)}")
        return _safe_indexing(X, support)

    def fit_transform(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        scores: Mapping[str, ArrayLike] | None = None,
    ) -> Any:
        """Choose the rows to keep, and return them: `fit`, then `transform`."""
        return self.fit(X, y, scores=scores).transform(X)

    def fit_resample(
        self, X: ArrayLike, y: ArrayLike, *, scores: Mapping[str, ArrayLike] | None = None
    ) -> tuple[Any, Any]:
        """Choose the rows to keep, and return them with their classes.

        Parameters and errors are those of `fit`.

        Returns
        -------
        X_kept : array-like of shape (n_kept, n_features)
            The kept rows, of the type of `X`.
        y_kept : array-like of shape (n_kept,)
            Their classes, of the type of `y`.
        """
        self.fit(X, y, scores=scores)
        return self.transform(X), self.transform(y)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags = TransformerTags()
        return tags

    def _scores(
        self, scores: Mapping[str, ArrayLike] | None, n_rows: int
    ) -> dict[str, NDArray[np.float64]]:
        """Return the scores that the selector chooses by."""
        given, needs = scores or {}, SELECTORS[self.by].needs
        missing = [name for name in needs if name not in given]
        if missing:
            call = ", ".join(f"{name!r}: ..." for name in missing)
            raise ValueError(
                f"by={self.by!r} chooses by the scores {', '.join(missing)}:"
                f" fit(X, y, scores={{{call}}})"
            )
        return {name: _numbers(name, given[name], n_rows) for name in needs}


def _labels(y: ArrayLike | None, n_rows: int) -> NDArray[np.int64]:
    """Return the number of each row's class, (N,) int64."""
    labels = np.zeros(n_rows, dtype=np.int64)
    if y is not None:
        for number, rows in enumerate(rows_of_classes(y, n_rows)):
            labels[rows] = number
    return labels


def _numbers(name: str, values: ArrayLike, n_rows: int) -> NDArray[np.float64]:
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.shape != (n_rows,):
        raise ValueError(
            f"scores {name!r}: expected {n_rows} numbers, one a row, got shape {numbers.shape}"
        )
    usable = np.isfinite(numbers) | (np.isposinf(numbers) & (name == "forgetting"))
    if not usable.all():
        row = int(np.argmin(usable))
        raise ValueError(f"scores {name!r}: row {row} is {numbers[row]}; expected a number")
    return numbers
