"""Compiled networks against the same networks as they are."""

import shutil
import tempfile

import numpy as np
import pytest
import torch

from rayred.config import Train
from rayred.data import load_dataset
from rayred.errors import ConfigError
from rayred.training import Outcome, Task, train_pack
from rayred.training.compiled import compile_errors, compiled


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each kind of processor a cache of its own: torch shares one between them."""
    kind = torch.backends.cpu.get_cpu_capability()
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", f"{tempfile.gettempdir()}/rayred-tests-{kind}")


@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")
@pytest.mark.usefixtures("float64", "cache")
@pytest.mark.parametrize("packs", [[[3], [5]], [[3, 5]]], ids=["alone", "packed"])
def test_compiled_networks_have_the_weights_of_plain_ones(packs):
    digits, rows = load_dataset("digits"), np.arange(100)
    for seeds in packs:  # alone, the second network reuses the code compiled for the first
        of = {}
        for is_compiled in (False, True):
            recipe = Train.model_validate({"steps": 6, "batch_size": 32, "compile": is_compiled})
            tasks = [Task.for_dataset("resnet8", digits, recipe, seed) for seed in seeds]
            of[is_compiled] = train_pack(tasks, digits, [rows] * len(tasks))
        for plain, fast in zip(of[False], of[True], strict=True):
            assert isinstance(plain, Outcome)
            assert isinstance(fast, Outcome)
            state = fast.model.state_dict()
            for name, value in plain.model.state_dict().items():
                torch.testing.assert_close(state[name], value, rtol=1e-10, atol=1e-10)


def test_missing_compiler_is_a_config_error(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    pass_on = compiled(torch.nn.ELU(), as_cuda_graph=False)
    with (
        pytest.raises(ConfigError, match=r"train\.compile: .*(ompiler|g\+\+).*set it to false"),
        compile_errors(),
    ):
        pass_on(torch.zeros(2, 3))


def test_memory_error_while_compiling_is_no_config_error():
    def runs_out(graph, inputs):
        del graph, inputs
        raise torch.OutOfMemoryError("CUDA out of memory")

    pass_on = torch.compile(torch.nn.ELU(), backend=runs_out)
    with pytest.raises(torch.OutOfMemoryError), compile_errors():
        pass_on(torch.zeros(2, 3))
