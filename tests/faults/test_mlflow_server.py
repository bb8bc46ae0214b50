"""Many studies and one server, and a disk that is full in the middle of logging."""

from __future__ import annotations

import json
import resource
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from rayred.tracking.client import create_store
from rayred.tracking.failures import explain
from tests.tracking.test_tracker import begun, dead_server, names_of, runs_of, server  # noqa: F401 - fixtures
from tests.tracking.writers import count_children, write_study


@pytest.mark.slow
def test_studies_that_begin_at_once_lose_nothing_on_one_server(server, tmp_path):  # noqa: F811
    folders = [tmp_path / f"writer-{number}" for number in range(4)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write_study, [server.address] * 4, folders, [5] * 4))
    assert count_children(server.address) == 20
    found = create_store(server.address).search_experiments()
    assert sorted(one.name for one in found) == ["Default", "rayred"]


LOG = """
import json, sys
from pathlib import Path
from tests.faults.test_mlflow_deleted import log
from rayred.store import Store
print(json.dumps(log(sys.argv[1], Store(Path(sys.argv[2])), points=1000).failure))
"""


def log_in_another_process(uri: str, folder: Path, limit: int | None = None) -> str | None:
    """Log a study where no file can grow beyond a size, and return what has failed."""

    def small_files() -> None:
        if limit is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    command = [sys.executable, "-B", "-c", LOG, uri, str(folder)]
    done = subprocess.run(
        command, preexec_fn=small_files, stdout=subprocess.PIPE, text=True, check=True
    )
    failure: str | None = json.loads(done.stdout)
    return failure


@pytest.mark.slow
def test_what_a_full_disk_has_kept_from_the_database_is_sent_later_once(tmp_path):
    database = tmp_path / "mlflow.db"
    uri, store = f"sqlite:///{database}", begun(tmp_path)
    create_store(uri)
    size = database.stat().st_size
    assert log_in_another_process(uri, store.path, size) is not None
    for _ in range(2):
        assert log_in_another_process(uri, store.path) is None
        assert names_of(uri) == ["semantic-0.9-00", "semantic-0.9-01", "tiny"]
        for run in runs_of(uri):
            if run.data.metrics:
                assert len(create_store(uri).get_metric_history(run.info.run_id, "lr")) == 1000


def test_a_full_disk_is_said_to_be_full(tmp_path):
    connection = sqlite3.connect(tmp_path / "x.db")
    connection.execute("PRAGMA max_page_count = 1")
    with pytest.raises(sqlite3.OperationalError) as raised:
        connection.execute("CREATE TABLE one (number INTEGER)")
    connection.close()
    assert explain("sqlite:///x.db", raised.value) == (
        "MLflow at sqlite:///x.db could not write (database or disk is full); make room"
    )


def test_a_data_set_that_another_study_adds_at_the_same_time_is_there(tmp_path, monkeypatch):
    """MLflow looks for it and adds it in two steps: of two studies, one was refused."""
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    log_inputs, calls = SqlAlchemyStore.log_inputs, []

    def refused_once(self, *arguments, **named):
        calls.append(arguments)
        if len(calls) == 1:
            raise MlflowException("UNIQUE constraint failed: datasets.experiment_id")
        return log_inputs(self, *arguments, **named)

    monkeypatch.setattr(SqlAlchemyStore, "log_inputs", refused_once)
    write_study(uri, tmp_path / "run", 1)
    assert len(calls) == 2
