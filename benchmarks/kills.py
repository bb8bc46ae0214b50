"""`kill -9` at random moments of a small study, and the same command again.

A study of the digits is run once undisturbed. Then, for each moment, it is started in a new folder
in a process group of its own (the command, Ray's servers and what they start), the group is killed,
and the same command is run to its end. What it has made must equal what the undisturbed study has
made: subsets, embeddings and trees to the bit, results and verdict but for where and how long it
was trained, and as many runs in MLflow, finished, with no point logged twice. The moments are
spread over the time of the undisturbed study, one at random in each equal part of it.

    .venv/bin/python -m benchmarks.kills [MOMENTS]
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from benchmarks.record import print_table, write_results

EXPERIMENT = {
    "name": "kills",
    "dataset": "digits",
    "model": "resnet8",
    "train": {"steps": 10, "batch_size": 64, "augment": {"crop": "pad", "pad": 1, "flip": False}},
    "sweep": {"fractions": [1.0, 0.5], "trials": 2},
}


def start(experiment: Path, out: Path) -> subprocess.Popen[str]:
    """Start the study in a process group of its own; what it says goes to ``OUT.said``."""
    others = ("MLFLOW_TRACKING_URI", "RAY_ADDRESS")  # with a Ray of its own, which is killed too
    with out.with_suffix(".said").open("a") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "rayred", "run", str(experiment), "--out", str(out)],
            env={name: value for name, value in os.environ.items() if name not in others},
            stdout=subprocess.DEVNULL,
            stderr=said,
            text=True,
            start_new_session=True,
        )


def run_to_the_end(experiment: Path, out: Path) -> float:
    """Run the study; return its seconds.

    Raises
    ------
    RuntimeError
        It has failed.
    """
    started = time.monotonic()
    code = start(experiment, out).wait()
    if code != 0:
        raise RuntimeError(f"rayred run ended with {code}: {last_line(out)}")
    return time.monotonic() - started


def last_line(out: Path) -> str:
    """Return what the study has said last."""
    lines = out.with_suffix(".said").read_text().splitlines()
    return lines[-1] if lines else ""


def made_by(out: Path) -> dict[str, Any]:
    """Return what must be equal, by name."""
    results = json.loads((out / "results.json").read_text())
    del results["environment"], results["reference"]["train_seconds"]
    table = pd.read_parquet(out / "results.parquet").drop(columns="train_seconds")
    with np.load(out / "trees.npz") as trees:
        arrays = {name: trees[name].tobytes() for name in trees.files}
    return {
        "results": results,
        "table": table.to_dict("records"),
        "embeddings": (out / "embeddings.npy").read_bytes(),
        "trees": arrays,
        "subsets": {path.name: path.read_bytes() for path in (out / "subsets").iterdir()},
        "MLflow": _logged(out / "mlflow.db"),
    }


def _logged(database: Path) -> Counter[tuple[str, ...]]:
    """Count the runs by name and status, and the points by run, name and step."""
    runs = "SELECT name, status FROM runs WHERE lifecycle_stage = 'active'"
    # How often system metrics were sampled depends on the time that a study took.
    points = (
        "SELECT runs.name, key, step FROM metrics JOIN runs USING (run_uuid)"
        " WHERE key NOT LIKE 'system/%'"
    )
    with closing(sqlite3.connect(database)) as connection:
        rows = [*connection.execute(runs), *connection.execute(points)]
    return Counter(tuple(map(str, row)) for row in rows)


def main() -> None:
    """Kill the study at every moment, print a table and write JSON."""
    moments = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    rng = np.random.default_rng(0)
    rows = []
    with tempfile.TemporaryDirectory() as place:
        experiment = Path(place) / "kills.yaml"
        experiment.write_text(yaml.safe_dump(EXPERIMENT))
        undisturbed = Path(place) / "undisturbed"
        seconds = run_to_the_end(experiment, undisturbed)
        expected = made_by(undisturbed)
        for number in range(moments):
            out = Path(place) / f"killed-{number}"
            moment = seconds * (number + rng.random()) / moments
            process = start(experiment, out)
            time.sleep(moment)
            ended = process.poll() is not None
            if not ended:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            made = sorted((out / "made").glob("*"), key=lambda entry: entry.stat().st_mtime)
            last = "ended before" if ended else made[-1].name.rpartition("-")[0] if made else "–"
            run_to_the_end(experiment, out)
            found = made_by(out)
            different = [name for name in expected if found[name] != expected[name]]
            rows.append([f"{moment:.1f}", str(len(made)), last, ", ".join(different) or "nothing"])
            print(f"{number + 1} of {moments}: {rows[-1]}", file=sys.stderr)
    header = ["killed after, s", "made by then", "the last of it", "different in the end"]
    print_table(header, rows)
    figures = {"undisturbed_seconds": round(seconds, 1), "header": header, "rows": rows}
    path = write_results("kills", figures)
    print(f"written to {path}")


if __name__ == "__main__":
    main()
