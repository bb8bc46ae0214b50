"""Work on many items in threads that share those of torch."""

from __future__ import annotations

import threading

import pytest
import torch

from rayred.linkage.threads import side_by_side

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("threads", "items", "workers", "each"),
    [(1, 100, 1, 1), (2, 7, 1, 2), (2, 8, 2, 1), (8, 16, 4, 2), (8, 100, 8, 1), (4, 0, 1, 4)],
)
def test_threads_of_torch_are_shared(threads, items, workers, each):
    torch.set_num_threads(threads)
    meeting = threading.Barrier(workers)
    seen: list[tuple[int, int]] = []

    def work(item: int) -> int:
        if item < workers:
            meeting.wait(60)  # the first items need a thread each
        seen.append((threading.get_ident(), torch.get_num_threads()))
        return item * item

    assert side_by_side(work, range(items), CPU) == [item * item for item in range(items)]
    assert {number for _, number in seen} <= {each}
    assert len({thread for thread, _ in seen}) == min(workers, items)
    assert torch.get_num_threads() == threads


def test_an_error_is_raised_and_threads_are_as_before():
    torch.set_num_threads(2)
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda item: 1 // (item - 3), range(10), CPU)
    assert torch.get_num_threads() == 2
    after = []
    thread = threading.Thread(target=lambda: after.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert after == [2]


def test_on_a_gpu_there_is_one_thread():
    torch.set_num_threads(2)
    threads = side_by_side(lambda _: threading.get_ident(), range(8), torch.device("cuda"))
    assert set(threads) == {threading.get_ident()}
