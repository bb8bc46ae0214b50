"""Packs that do not fit into the memory, with a stand-in for the memory."""

import pytest
import torch

from rayred.config import Train
from rayred.data import load_dataset
from rayred.training import Task, fitting
from rayred.training.fitting import fitting_pack, train_what_fits


def test_a_pack_that_does_not_fit_is_trained_in_parts(tmp_path, monkeypatch):
    trained = []

    def of_little_memory(tasks, dataset, indices, *, save, worker, resume):
        del dataset, worker
        if resume is None:
            assert len(tasks) == 5
            save({"step": 7, "seconds": 10.0, "pack": [f"weights of {task}" for task in tasks]})
        if len(tasks) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        trained.append((resume["step"], resume["seconds"], *resume["pack"]))
        return [f"{task} on {rows}" for task, rows in zip(tasks, indices, strict=True)]

    monkeypatch.setattr(fitting, "train_pack", of_little_memory)
    tasks, subsets = list("abcde"), list(range(5))
    outcomes = train_what_fits(tasks, None, subsets, None, str(tmp_path), "trial")
    assert outcomes == ["a on 0", "b on 1", "c on 2", "d on 3", "e on 4"]
    assert trained == [
        (7, 4.0, "weights of a", "weights of b"),
        (7, 2.0, "weights of c"),
        (7, 4.0, "weights of d", "weights of e"),
    ]
    assert not list(tmp_path.iterdir())


def test_where_two_trainings_do_not_fit_a_pack_is_one(monkeypatch):
    def runs_out(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(fitting, "train_pack", runs_out)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda *_: (10, 20))
    digits = load_dataset("digits")
    task = Task.for_dataset("resnet8", digits, Train.model_validate({}), 0)
    assert fitting_pack(task, digits, 1.0) == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_pack_is_as_large_as_the_gpu_takes():
    digits = load_dataset("digits")
    task = Task.for_dataset("resnet8", digits, Train.model_validate({}), 0)
    assert 100 < fitting_pack(task, digits, 1.0) < 100_000
