"""Every notebook in examples/ runs from its first cell to its last, and has no outputs."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import nbclient
import nbformat
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


@each
@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_a_notebook_runs_to_its_end(path, tmp_path, monkeypatch):
    """A cell that fails raises here; nothing is written beside the notebook's own folder."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    working = tmp_path / "working"
    working.mkdir()
    nbclient.execute(read(path), cwd=working, timeout=240, kernel_name="python3")
    assert list(working.iterdir()) == []


@each
def test_a_notebook_has_no_outputs_and_says_what_each_step_does(path):
    cells = read(path).cells
    for before, cell in pairwise(cells):
        if cell.cell_type == "code":
            assert before.cell_type == "markdown", cell.source
            assert cell.outputs == []
            assert cell.execution_count is None
    assert cells[0].source.startswith("# ")


def test_the_table_lists_every_notebook():
    text = (EXAMPLES / "README.md").read_text()
    assert sorted(re.findall(r"^\| \[(\w+\.ipynb)\]", text, re.MULTILINE)) == [
        path.name for path in NOTEBOOKS
    ]
