"""A database that another version of MLflow has made is not changed, and the remedy works."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from rayred.tracking.tracker import Tracker
from tests.tracking.test_tracker import begun
from tests.tracking.writers import DATASET, count_children, write_study


def migrated_to(database: Path, revision: str) -> None:
    """A database of an older MLflow with an experiment of somebody's."""
    import sqlalchemy
    from alembic import command
    from mlflow.store.db.utils import _get_alembic_config
    from mlflow.store.tracking.dbmodels.initial_models import Base

    engine = sqlalchemy.create_engine(f"sqlite:///{database}")
    Base.metadata.create_all(engine)
    engine.dispose()
    command.upgrade(_get_alembic_config(f"sqlite:///{database}"), revision)
    change(database, "INSERT INTO experiments (name, lifecycle_stage) VALUES ('mine', 'active')")


def change(database: Path, statement: str) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute(statement)
    connection.close()


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def failure_of(uri: str, folder: Path) -> str:
    tracker = Tracker(uri, "rayred", begun(folder), "tiny", {})
    tracker.start(DATASET)
    assert tracker.failure is not None
    return tracker.failure


# The second lacks tables, and MLflow would migrate it without being asked.
@pytest.mark.parametrize("revision", ["75868b020152", "bf29a5ff90ea"])
def test_an_older_database_is_not_migrated_and_can_be_upgraded_as_advised(revision, tmp_path):
    database, uri = tmp_path / "a b.db", f"sqlite:///{tmp_path}/a b.db"
    migrated_to(database, revision)
    before = digest(database)
    failure = failure_of(uri, tmp_path / "one")
    assert "was made by an older MLflow than" in failure
    assert digest(database) == before
    advice = failure.rpartition("up to date with: ")[2]
    assert advice == f"mlflow db upgrade '{uri}'"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        advice, shell=True, env=os.environ | {"PATH": path}, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    write_study(uri, tmp_path / "study", 2)
    assert count_children(uri) == 2


def test_a_newer_database_is_not_touched_and_said_to_need_a_newer_mlflow(tmp_path):
    database, uri = tmp_path / "mlflow.db", f"sqlite:///{tmp_path}/mlflow.db"
    write_study(uri, tmp_path / "study", 2)
    change(database, "UPDATE alembic_version SET version_num = 'ffff00000000'")
    before = digest(database)
    assert "was made by a newer MLflow than" in failure_of(uri, tmp_path / "one")
    assert digest(database) == before


def test_a_database_of_another_program_is_not_filled_with_tables(tmp_path):
    database, uri = tmp_path / "photos.db", f"sqlite:///{tmp_path}/photos.db"
    change(database, "CREATE TABLE photos AS SELECT 1 AS number")
    before = digest(database)
    assert "holds something else than MLflow's runs" in failure_of(uri, tmp_path / "one")
    assert digest(database) == before
