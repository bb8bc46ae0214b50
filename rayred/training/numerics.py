"""How exactly a training computes: precision of products, and the same bits every time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch


@contextmanager
def numerics(
    device: torch.device, precision: str, deterministic: bool = False
) -> Iterator[torch.autocast]:
    """Set torch up, and back at the end; yields the context for forward passes.

    TF32 rounds the factors of products to 10 bits of mantissa on GPUs, and torch uses it for
    convolutions by default. Here it is used if `precision` is ``tf32``, and never otherwise.

    Parameters
    ----------
    device
        Where the work is done.
    precision, deterministic
        As of `rayred.config.Train`.
    """
    backends: Any = torch.backends  # its stubs lack half of it
    tf32 = precision == "tf32"
    with ExitStack() as stack:
        stack.enter_context(_set(backends.cudnn.conv, "fp32_precision", "tf32" if tf32 else "ieee"))
        stack.enter_context(
            _set(backends.cuda.matmul, "fp32_precision", "tf32" if tf32 else "ieee")
        )
        stack.enter_context(_set(backends.cudnn, "benchmark", not deterministic))
        if deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            before = torch.are_deterministic_algorithms_enabled()
            torch.use_deterministic_algorithms(True)
            stack.callback(torch.use_deterministic_algorithms, before)
        yield torch.autocast(device.type, torch.bfloat16, enabled=_uses_bfloat16(device, precision))


def _uses_bfloat16(device: torch.device, precision: str) -> bool:
    if precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return precision == "bfloat16"


@contextmanager
def _set(holder: Any, name: str, value: object) -> Iterator[None]:
    before = getattr(holder, name)
    setattr(holder, name, value)
    try:
        yield
    finally:
        setattr(holder, name, before)
