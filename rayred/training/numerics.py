"""How exactly a training computes: the precision of products, and the same bits every time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Literal, cast

import torch

from rayred.linkage.arithmetic import products_in

Precision = Literal["float32", "tf32", "bfloat16"]


def resolved_precision(setting: str, device: torch.device) -> Precision:
    """Return the precision that a setting stands for on a device.

    Parameters
    ----------
    setting
        A precision, or ``auto``: bfloat16 on GPUs that compute in it, else float32.
    device
        Where the training runs.
    """
    if setting != "auto":
        return cast(Precision, setting)
    on_gpu = device.type == "cuda"
    has_bfloat16 = on_gpu and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bfloat16" if has_bfloat16 else "float32"


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context for forward passes of a precision, which may be ``auto``."""
    enabled = resolved_precision(precision, device) == "bfloat16"
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


@contextmanager
def numerics(precision: str, deterministic: bool = False) -> Iterator[None]:
    """Set torch up for a training, and put its settings back at the end.

    TF32 rounds the factors of products to 10 bits of mantissa on GPUs, and torch uses it for
    convolutions by default. Here it is on if `precision` is ``tf32``, and off otherwise.

    Parameters
    ----------
    precision, deterministic
        The settings of `rayred.config.Train`.
    """
    backends: Any = torch.backends  # its stubs lack half of it
    products = "tf32" if precision == "tf32" else "ieee"
    with ExitStack() as stack:
        stack.enter_context(products_in(backends.cudnn.conv, products))
        stack.enter_context(products_in(backends.cuda.matmul, products))
        stack.callback(setattr, backends.cudnn, "benchmark", backends.cudnn.benchmark)
        backends.cudnn.benchmark = not deterministic
        if deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            before = torch.are_deterministic_algorithms_enabled()
            torch.use_deterministic_algorithms(True)
            stack.callback(torch.use_deterministic_algorithms, before)
        yield
