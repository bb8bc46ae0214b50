"""Networks compiled by torch.compile: fused operations, on a GPU launched all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

import torch

from rayred.errors import ConfigError

P = ParamSpec("P")
T = TypeVar("T")


def compiled(forward: Callable[P, T], *, as_cuda_graph: bool) -> Callable[P, T]:
    """Return the same pass, compiled for the shapes of its first call.

    As a CUDA graph, all of its kernels are launched at once, which is what small networks spend
    their time on.
    """
    mode = "reduce-overhead" if as_cuda_graph else "default"
    return torch.compile(forward, dynamic=False, mode=mode)


@contextmanager
def compile_errors() -> Iterator[None]:
    """Tell of what cannot be compiled in a sentence: forward and backward passes alike.

    Raises
    ------
    ConfigError
        The network cannot be compiled, as where there is no C++ compiler.
    """
    from torch._dynamo.exc import TorchDynamoException  # with the compiler: 145 MB, and a second

    try:
        yield
    except TorchDynamoException as error:
        inner = getattr(error, "inner_exception", error)
        if isinstance(inner, torch.OutOfMemoryError):
            raise inner from None
        reason = f"{type(inner).__name__}: {inner}".partition("\n")[0]
        raise ConfigError(
            f"train.compile: torch cannot compile the network: {reason}; set it to false"
        ) from error
