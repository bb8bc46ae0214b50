"""`pytest -p tests.quick`: without the tests that start Ray or train through the command line.

Left out are tests marked `slow` and those that use a fixture that starts Ray or a study.
"""

from __future__ import annotations

import pytest

SLOW_FIXTURES = {"cluster", "finished", "run_folder"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    slow = [item for item in items if is_slow(item)]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if item not in slow]


def is_slow(item: pytest.Item) -> bool:
    uses = SLOW_FIXTURES & set(getattr(item, "fixturenames", ()))
    return bool(uses) or item.get_closest_marker("slow") is not None
