import pytest
import torch

from rayred.training import resolved_precision
from rayred.training.numerics import autocast, numerics

CPU = torch.device("cpu")


@pytest.mark.parametrize("setting", ["float32", "tf32", "bfloat16"])
def test_precision_that_is_given_stays(setting):
    assert resolved_precision(setting, CPU) == setting
    assert resolved_precision(setting, torch.device("cuda")) == setting


def test_auto_is_float32_on_a_cpu():
    assert resolved_precision("auto", CPU) == "float32"


@pytest.mark.parametrize(("has_it", "expected"), [(True, "bfloat16"), (False, "float32")])
def test_auto_is_bfloat16_on_gpus_that_compute_in_it(monkeypatch, has_it, expected):
    def is_supported(including_emulation):
        assert not including_emulation
        return has_it

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_supported)
    assert resolved_precision("auto", torch.device("cuda")) == expected


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("auto", torch.float32), ("float32", torch.float32), ("bfloat16", torch.bfloat16)],
)
def test_products_are_computed_in_the_precision(precision, dtype):
    x = torch.ones(2, 2)
    with autocast(CPU, precision):
        assert (x @ x).dtype == dtype


@pytest.mark.parametrize(("precision", "products"), [("tf32", "tf32"), ("float32", "ieee")])
def test_settings_of_torch_are_put_back(precision, products):
    def settings():
        return (
            torch.backends.cudnn.conv.fp32_precision,
            torch.backends.cuda.matmul.fp32_precision,
            torch.backends.cudnn.benchmark,
            torch.are_deterministic_algorithms_enabled(),
        )

    before = settings()
    with numerics(precision, deterministic=True):
        assert settings() == (products, products, False, True)
    assert settings() == before


def test_what_all_of_torch_has_is_not_made_a_setting_of_products():
    products, before = torch.backends.cuda.matmul, torch.backends.fp32_precision
    products.fp32_precision = "none"
    torch.backends.fp32_precision = "tf32"
    try:
        with numerics("float32"):
            assert products.fp32_precision == "ieee"
        assert products.fp32_precision == "tf32"
    finally:
        torch.backends.fp32_precision = before
    assert products.fp32_precision == before
