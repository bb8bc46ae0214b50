"""Networks compiled by torch.compile: fused operations, on a GPU also as a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

import torch

from rayred.errors import ConfigError

P = ParamSpec("P")
T = TypeVar("T")


def compiled(forward: Callable[P, T], *, as_cuda_graph: bool) -> Callable[P, T]:
    """Return a forward pass compiled for the shapes of its first call.

    Parameters
    ----------
    forward
        The pass.
    as_cuda_graph
        Launch all kernels at once, as launching them takes most of the time of small networks.
    """
    mode = "reduce-overhead" if as_cuda_graph else "default"
    return torch.compile(forward, dynamic=False, mode=mode)


@contextmanager
def compile_errors() -> Iterator[None]:
    """Turn errors of the compiler, in forward and backward passes, into an error of the settings.

    Raises
    ------
    ConfigError
        The network cannot be compiled, for example because there is no C++ compiler.
    torch.OutOfMemoryError
        Memory ran out while the network was compiled.
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
