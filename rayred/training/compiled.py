"""Networks compiled by torch.compile: fused kernels, and on GPUs one launch for all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

from rayred.errors import TrainingError

P = ParamSpec("P")
T = TypeVar("T")


def compiled(forward: Callable[P, T], *, as_cuda_graph: bool) -> Callable[P, T]:
    """Return the same pass, compiled for the shapes of its first call.

    As a CUDA graph, all of its kernels are launched at once, which is what small networks spend
    their time on.

    Raises
    ------
    TrainingError
        In a call: it cannot be compiled, as where there is no C++ compiler.
    """
    mode = "reduce-overhead" if as_cuda_graph else "default"
    fast = torch.compile(forward, dynamic=False, mode=mode)
    from torch._dynamo.exc import TorchDynamoException  # with the compiler: 145 MB, and a second

    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return fast(*args, **kwargs)
        except TorchDynamoException as error:
            reason = str(error).partition("\n")[0]
            raise TrainingError(
                f"train.compile: torch cannot compile the network: {reason}; set it to false"
            ) from error

    return run
