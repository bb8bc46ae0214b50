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
            stack.enter_context(_ieee(products))
        yield


@contextmanager
def _ieee(products: Any) -> Iterator[None]:
    before = products.fp32_precision
    products.fp32_precision = "none"  # so that it is what all of torch has
    was_own = products.fp32_precision != before
    products.fp32_precision = "ieee"
    try:
        yield
    finally:
        products.fp32_precision = before if was_own else "none"
