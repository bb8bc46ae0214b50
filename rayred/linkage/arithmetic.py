"""What the engine's arithmetic depends on in torch, set and restored around its work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import backends


@contextmanager
def full_float32() -> Iterator[None]:
    """Multiply float32 matrices in float32, whatever the caller has set.

    The bounds of the engine's rounding errors are those of float32: neither those of TensorFloat-32
    or bfloat16, which torch's ``fp32_precision`` and `torch.set_float32_matmul_precision` allow,
    nor those of `torch.autocast`. A default dtype or device is not looked at: the engine names both
    wherever it makes a tensor.
    """
    with ExitStack() as stack:
        # Parts of the work are done by threads, and inference mode is that of one thread.
        stack.enter_context(torch.inference_mode(False))
        for device in ("cpu", "cuda"):
            stack.enter_context(torch.autocast(device, enabled=False))
        for products in (backends.cuda.matmul, backends.mkldnn.matmul):  # type: ignore[attr-defined]
            stack.enter_context(products_in(products, "ieee"))
        yield


@contextmanager
def products_in(holder: Any, precision: str) -> Iterator[None]:
    """Compute some products of float32 numbers in a precision of torch, ``ieee`` or ``tf32``.

    What was set before is restored; also that nothing was, and the setting of all of torch holds.

    Parameters
    ----------
    holder
        What has the attribute ``fp32_precision``, for example ``torch.backends.cuda.matmul``.
    precision
        The precision.
    """
    before = holder.fp32_precision
    holder.fp32_precision = "none"  # so that it is what all of torch has
    was_own = holder.fp32_precision != before
    holder.fp32_precision = precision
    try:
        yield
    finally:
        holder.fp32_precision = before if was_own else "none"
