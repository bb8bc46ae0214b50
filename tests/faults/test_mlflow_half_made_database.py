"""A database that a full disk or a kill has left half made, and one that is damaged."""

from __future__ import annotations

import resource
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rayred.tracking.client import create_store
from rayred.tracking.tracker import Tracker
from tests.tracking.test_tracker import begun
from tests.tracking.writers import DATASET, count_children, write_study

MAKE = "import sys; from rayred.tracking.client import create_store; create_store(sys.argv[1])"


def initial_tables(database: Path) -> None:
    """What MLflow makes first: tables without rows, and no version."""
    import sqlalchemy
    from mlflow.store.tracking.dbmodels.initial_models import Base

    engine = sqlalchemy.create_engine(f"sqlite:///{database}")
    Base.metadata.create_all(engine)
    engine.dispose()


def half_migrated(database: Path) -> None:
    """A step of MLflow's making that is done, but not yet noted as done."""
    from alembic import command
    from mlflow.store.db.utils import _get_alembic_config

    initial_tables(database)
    command.upgrade(_get_alembic_config(f"sqlite:///{database}"), "bf29a5ff90ea")
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '3da73c924c2f'")
    connection.close()


def one_table(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE experiments (experiment_id INTEGER)")
    connection.close()


@pytest.mark.parametrize("make", [Path.touch, one_table, initial_tables, half_migrated])
def test_a_half_made_database_is_made_again(make, tmp_path, caplog):
    database = tmp_path / "mlflow.db"
    make(database)
    write_study(f"sqlite:///{database}", tmp_path / "study", 2)
    assert count_children(f"sqlite:///{database}") == 2
    assert ("only half made and held nothing" in caplog.text) == (make is not Path.touch)


def test_the_journal_of_a_database_that_is_gone_is_not_played_into_the_new_one(tmp_path):
    database = tmp_path / "mlflow.db"
    one_table(database)
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("PRAGMA cache_spill = 1")
        connection.execute("BEGIN IMMEDIATE")
        rows = ((number,) for number in range(5000))
        connection.executemany("INSERT INTO experiments VALUES (?)", rows)
        journal = Path(f"{database}-journal").read_bytes()
        connection.rollback()
    connection.close()
    assert journal
    database.unlink()
    Path(f"{database}-journal").write_bytes(journal)
    write_study(f"sqlite:///{database}", tmp_path / "study", 2)
    assert count_children(f"sqlite:///{database}") == 2


def test_a_database_appears_whole_or_not_at_all_when_its_maker_is_killed(tmp_path):
    database = tmp_path / "mlflow.db"
    maker = subprocess.Popen([sys.executable, "-c", MAKE, f"sqlite:///{database}"])
    while maker.poll() is None and not database.exists():
        time.sleep(0.005)
    maker.kill()
    maker.wait()
    with sqlite3.connect(database) as connection:
        assert connection.execute("SELECT name FROM experiments").fetchall() == [("Default",)]
    connection.close()


def test_a_full_disk_leaves_no_database_and_the_next_command_makes_it(tmp_path):
    def small_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    database = tmp_path / "mlflow.db"
    command = [sys.executable, "-B", "-c", MAKE, f"sqlite:///{database}"]
    made = subprocess.run(command, preexec_fn=small_files, stderr=subprocess.PIPE, check=False)
    assert made.returncode == 1, made.stderr
    assert [path.name for path in tmp_path.iterdir()] == [".mlflow.db.lock"]
    write_study(f"sqlite:///{database}", tmp_path / "study", 2)
    assert count_children(f"sqlite:///{database}") == 2


def test_a_file_that_is_no_database_is_left_alone_and_the_advice_helps(tmp_path, caplog):
    database, uri = tmp_path / "mlflow.db", f"sqlite:///{tmp_path / 'mlflow.db'}"
    database.write_bytes(b"runs, one would hope " * 1000)
    tracker = Tracker(uri, "rayred", begun(tmp_path), "tiny", {})
    tracker.start(DATASET)
    assert tracker.failure == (
        f"MLflow's database {uri} is damaged (file is not a database); move the file away, and a"
        " new one is made"
    )
    assert tracker.failure in caplog.text
    assert database.read_bytes() == b"runs, one would hope " * 1000
    database.rename(tmp_path / "away.db")
    write_study(uri, tmp_path / "study", 2)
    assert count_children(uri) == 2


def test_a_database_damaged_in_the_middle_is_left_there_and_the_advice_helps(tmp_path):
    database, uri = tmp_path / "mlflow.db", f"sqlite:///{tmp_path / 'mlflow.db'}"
    write_study(uri, tmp_path / "study", 2)
    content = database.read_bytes()
    half = len(content) // 8192 * 4096
    database.write_bytes(content[:4096] + b"\xff" * half + content[4096 + half :])
    tracker = Tracker(uri, "rayred", begun(tmp_path), "tiny", {})
    tracker.start(DATASET)
    assert tracker.failure is not None
    assert "is damaged (database disk image is malformed); move the file away" in tracker.failure
    database.rename(tmp_path / "away.db")
    # In the same process, whose MLflow has connections to the file that was moved away.
    write_study(uri, tmp_path / "again", 2)
    assert count_children(uri) == 2


def test_a_complete_database_is_opened_without_a_lock_file_beside_it(tmp_path):
    create_store(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (tmp_path / ".mlflow.db.lock").unlink()
    create_store(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]
