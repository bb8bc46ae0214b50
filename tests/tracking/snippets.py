"""The program on docs/mlflow.md, run part by part."""

from __future__ import annotations

import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "mlflow.md"


def parts() -> list[tuple[str, str]]:
    """The code blocks of the page, each with the output that stands below it, if any."""
    block = r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?"
    return re.findall(block, PAGE.read_text(), re.DOTALL)


def run(uri: str) -> list[str]:
    """Return what each part prints with a store."""
    known: dict[str, Any] = {}
    printed = []
    for code, _ in parts():
        with redirect_stdout(StringIO()) as out:
            exec(code.replace("sqlite:///mlflow.db", uri), known)
        printed.append("\n".join(line.rstrip() for line in out.getvalue().splitlines()))
    return printed
