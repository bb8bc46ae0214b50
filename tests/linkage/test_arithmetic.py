"""What is set in torch (products, dtypes, devices) changes no tree, and stays as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch
from torch import backends

from rayred.linkage import complete_linkage, representatives
from tests.linkage.example_rows import make_rows


@contextmanager
def changed(get: Callable[[], Any], change: Callable[[Any], None], value: Any) -> Iterator[None]:
    """Change a setting of torch, and see that it is still changed in the end."""
    before = get()
    change(value)
    try:
        yield
        assert get() == value
    finally:
        change(before)


def fp32_precision(products: Any, value: str) -> AbstractContextManager[None]:
    def change(value: str) -> None:
        products.fp32_precision = value

    return changed(lambda: products.fp32_precision, change, value)


def matmul_precision(value: str) -> AbstractContextManager[None]:
    return changed(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, value)


def default_dtype(value: torch.dtype) -> AbstractContextManager[None]:
    return changed(torch.get_default_dtype, torch.set_default_dtype, value)


SETTINGS = {
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "tf32": lambda: fp32_precision(backends.cuda.matmul, "tf32"),
    "bf16": lambda: fp32_precision(backends.mkldnn.matmul, "bf16"),
    "any": lambda: fp32_precision(backends, "tf32"),
    "medium": lambda: matmul_precision("medium"),
    "float64": lambda: default_dtype(torch.float64),
    "float16": lambda: default_dtype(torch.float16),
    "meta": lambda: torch.device("meta"),  # any device that is not the CPU
    "inference": torch.inference_mode,
}


@pytest.fixture(autouse=True)
def no_settings_of_products() -> None:
    """Let products have no setting of their own; `set_float32_matmul_precision` leaves one."""
    for products in (backends.cuda.matmul, backends.mkldnn.matmul):
        products.fp32_precision = "none"


def test_what_all_of_torch_has_is_not_made_a_setting_of_products():
    products = backends.cuda.matmul
    before = products.fp32_precision
    with fp32_precision(backends, "tf32"):
        complete_linkage(make_rows("uniform", 100, 4, 0))
        assert products.fp32_precision == "tf32"
    assert products.fp32_precision == before


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("kind", ["uniform", "collapsed"])
def test_what_is_set_in_torch_changes_no_tree(name, kind):
    x = make_rows(kind, 700, 24, 0)
    expected = complete_linkage(x, 20)
    with SETTINGS[name]():
        tree = complete_linkage(x, 20)
        chosen = representatives(x, tree.labels(100))
    assert tree == expected
    assert np.array_equal(chosen, representatives(x, expected.labels(100)))


def test_tensors_are_read_as_arrays_are():
    x = make_rows("uniform", 60, 8, 0).astype(np.float32)
    tensor = torch.from_numpy(x)
    expected = complete_linkage(x)
    assert complete_linkage(tensor) == expected
    assert complete_linkage(tensor.requires_grad_()) == expected
    half = torch.from_numpy(x).bfloat16()
    assert complete_linkage(half) == complete_linkage(half.float().numpy())
    eighth = torch.from_numpy(x).to(torch.float8_e4m3fn)
    assert complete_linkage(eighth) == complete_linkage(eighth.float().numpy())
    lazily_negative = torch.complex(tensor, tensor.neg()).detach().conj().imag
    assert lazily_negative.is_neg()
    assert complete_linkage(lazily_negative) == expected


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (np.ma.masked_array(np.eye(3), np.eye(3) == 1), "masked array"),
        (np.ma.masked_array(np.eye(3)), "masked array"),
        (scipy.sparse.csr_array(np.eye(3)), "csr_array"),
        (scipy.sparse.coo_matrix(np.eye(3)), "coo_matrix"),
        (torch.eye(3).to_sparse(), "sparse or quantized tensor"),
        (torch.eye(3).to_sparse_csr(), "sparse or quantized tensor"),
    ],
)
def test_what_would_lose_its_meaning_as_an_array_is_refused(x, said):
    for function in (complete_linkage, lambda x: representatives(x, [0, 1, 2])):
        with pytest.raises(ValueError, match=said):
            function(x)
