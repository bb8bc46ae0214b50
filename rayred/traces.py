"""Errors for people: what happened in one line, and the whole trace in a file that the line names.

>>> reason_of(ValueError("row 3 is all zero"))
'ValueError: row 3 is all zero'
"""

from __future__ import annotations

import tempfile
import time
import traceback
from pathlib import Path


def reason_of(error: BaseException) -> str:
    """Return the last line of what Python prints of an error: its type and what it says."""
    lines = "".join(traceback.format_exception_only(error)).strip().splitlines()
    return lines[-1].strip()


def write_trace(error: BaseException, folder: Path | None = None) -> str:
    """Write the whole trace of an error into a new or growing file of its own.

    Parameters
    ----------
    error
        The error, with all that caused it.
    folder
        Folder to write to, made if missing; by default a new one in the folder for temporary files.

    Returns
    -------
    where
        Part of a sentence that names the file, or says why there is none.
    """
    try:
        folder = folder or Path(tempfile.mkdtemp(prefix="rayred-"))
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / time.strftime("failure-%Y%m%d-%H%M%S.log")
        with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(traceback.format_exception(error))
    except OSError as problem:
        return f"its trace cannot be written: {problem.strerror or problem}"
    return f"its whole trace is in {path}"
