from pathlib import Path

import pytest

from tests.data.examples import Loader


@pytest.fixture
def load(tmp_path: Path) -> Loader:
    return Loader(tmp_path / "root")
