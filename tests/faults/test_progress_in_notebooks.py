"""A notebook shows progress: as tqdm's widget where ipywidgets is installed, else as text."""

from __future__ import annotations

from pathlib import Path

import nbclient
import nbformat

HIDE_WIDGETS = """
import sys
sys.modules["ipywidgets"] = None
"""
WORK = """
from rayred.progress import progress_bar
with progress_bar("sweep", "trial", 2) as bar:
    bar.update(2)
    bar.set_postfix_str("1 running")
"""
INTO_A_FILE = """
import io
from contextlib import redirect_stderr
with redirect_stderr(io.StringIO()) as file, progress_bar("sweep", "trial", 2) as bar:
    bar.update(2)
print(repr(file.getvalue()))
"""
OTHERS_BARS = "import tqdm.auto"
WIDGETS = '''
class Widget:
    """What tqdm needs of a widget, and shows itself as its name."""

    def __init__(self, children=(), **values):
        self.children = children
        self.layout = type("Layout", (), {})()
        self.style = type("Style", (), {})()
        self.bar_style = self.value = ""

    def close(self):
        print("closed")

    def _repr_html_(self):
        return f"<b>{type(self).__name__}</b>"


class HTML(Widget): ...
class FloatProgress(Widget): ...
class HBox(Widget): ...
'''


def outputs(folder: Path, *cells: str) -> list[list[dict]]:
    """What each cell of a notebook shows that is run in a folder."""
    new = nbformat.v4
    notebook = new.new_notebook(cells=[new.new_code_cell(cell) for cell in cells])
    nbclient.execute(notebook, cwd=folder, timeout=120, kernel_name="python3")
    return [cell.outputs for cell in notebook.cells]


def printed(shown: list[dict], stream: str) -> str:
    return "".join(one["text"] for one in shown if one.get("name") == stream)


def test_without_ipywidgets_progress_is_text_and_nobody_is_warned(tmp_path):
    _, shown, redirected, others = outputs(tmp_path, HIDE_WIDGETS, WORK, INTO_A_FILE, OTHERS_BARS)
    assert {one["output_type"] for one in shown} == {"stream"}
    text = printed(shown, "stderr")
    assert "sweep:   0%" in text
    assert "1 running" in text
    assert "Warning" not in text
    assert printed(redirected, "stdout") == "''\n"
    assert others == []


def test_with_ipywidgets_progress_is_a_widget(tmp_path):
    (tmp_path / "ipywidgets.py").write_text(WIDGETS)
    (shown,) = outputs(tmp_path, WORK)
    (widget,) = [one for one in shown if one["output_type"] == "display_data"]
    assert widget["data"]["text/html"] == "<b>TqdmHBox</b>"
    assert printed(shown, "stdout") == "closed\n"
    assert printed(shown, "stderr") == ""
