"""Which method each back end has."""

import numpy as np
import pytest

from rayred.linkage import linkage_trees


@pytest.mark.parametrize(
    ("backend", "method", "has", "choice"),
    [
        ("torch", "single", "complete", "scipy"),
        ("torch", "average", "complete", "scipy"),
        ("cuml", "complete", "single", "torch"),
        ("cuml", "average", "single", "scipy"),
    ],
)
def test_method_that_a_back_end_does_not_have_is_an_error(backend, method, has, choice):
    message = f"{backend} has {has} linkage only, not {method}; choose auto or {choice}"
    with pytest.raises(ValueError, match=message):
        next(linkage_trees(np.eye(3), [np.arange(3)], [1], method=method, backend=backend))
