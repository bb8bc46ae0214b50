"""Work on many items in threads that share those of torch."""

from __future__ import annotations

import threading

import pytest
import torch

from rayred.linkage.threads import FEWEST_ENTRIES, side_by_side

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

    done = side_by_side(work, range(items), CPU, FEWEST_ENTRIES)
    assert done == [item * item for item in range(items)]
    assert {number for _, number in seen} <= {each}
    assert len({thread for thread, _ in seen}) == min(workers, items)
    assert torch.get_num_threads() == threads


def test_small_items_are_worked_on_by_this_thread_alone():
    torch.set_num_threads(4)

    def work(_: int) -> tuple[int, int]:
        return threading.get_ident(), torch.get_num_threads()

    seen = side_by_side(work, range(100), CPU, FEWEST_ENTRIES - 1)
    assert set(seen) == {(threading.get_ident(), 1)}
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize("entries", [1, FEWEST_ENTRIES])
def test_an_error_is_raised_and_threads_are_as_before(entries):
    torch.set_num_threads(2)
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda item: 1 // (item - 3), range(10), CPU, entries)
    assert torch.get_num_threads() == 2
    after = []
    thread = threading.Thread(target=lambda: after.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert after == [2]


def test_on_a_gpu_there_is_one_thread():
    torch.set_num_threads(2)
    cuda = torch.device("cuda")
    threads = side_by_side(lambda _: threading.get_ident(), range(8), cuda, FEWEST_ENTRIES)
    assert set(threads) == {threading.get_ident()}
