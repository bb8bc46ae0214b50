"""MLflow's databases: URIs of SQLite files with any name, made whole or not at all, never migrated.

>>> sqlite_uri(Path("/runs/digits/mlflow.db"))
'sqlite:////runs/digits/mlflow.db'
"""

from __future__ import annotations

import logging
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from filelock import FileLock

from rayred.errors import TrackingError
from rayred.files import replacing

logger = logging.getLogger(__name__)

ARTIFACTS_FOLDER = "mlartifacts"
"""Folder of artifacts, in the same folder as a SQLite database."""
_OPTIONS = re.compile(
    r"\?(uri|timeout|isolation_level|detect_types|check_same_thread|cached_statements)=[^/]*$"
)
"""Options of SQLAlchemy's driver at the end of a URI; any other question mark is of the path."""
_SEEDED = {"alembic_version", "workspaces"}
"""Tables that have rows before anything is logged."""


def sqlite_uri(path: Path) -> str:
    """Return the URI of a SQLite database in a file, whatever characters its path has.

    SQLAlchemy ends a path at a question mark, and from version 2.1 on decodes ``%20`` in it; MLflow
    makes the folders of a ``sqlite:///`` URI as they are written. Such paths are given as a file
    URI of SQLite, with the name of the driver, which MLflow takes for no path.
    """
    from sqlalchemy import URL, make_url

    plain = f"sqlite:///{path}"
    if plain.isprintable() and make_url(plain).database == str(path):
        return plain
    escaped = f"file:{quote(os.fsencode(path.absolute()))}"
    url = URL.create("sqlite+pysqlite", database=escaped, query={"uri": "true"})
    return url.render_as_string()


def mlflow_uri(uri: str) -> str:
    """Return the URI to give to MLflow for one that a user has given.

    What follows ``sqlite:///`` is the path of a file as it stands, unless it is a file URI of
    SQLite or ends in options of the driver, as in ``?timeout=60``.
    """
    path = uri.removeprefix("sqlite:///")
    if path in (uri, "", ":memory:") or path.startswith("file:") or _OPTIONS.search(path):
        return uri
    return sqlite_uri(Path(path))


def database_file(uri: str) -> Path | None:
    """Return the file of a SQLite database; `None` for any other store."""
    if not uri.startswith("sqlite"):
        return None
    from sqlalchemy import make_url

    url = make_url(uri)
    name = url.database or ":memory:"
    if name.startswith("file:") and "uri" in url.query:
        name = os.fsdecode(unquote_to_bytes(name.removeprefix("file:")))
    return None if name == ":memory:" else Path(name).resolve()


def artifact_location(uri: str) -> str | None:
    """Return the URI of a SQLite database's artifacts; `None` if a server chooses it.

    Raises
    ------
    TrackingError
        The name of the database's folder is not UTF-8, which MLflow requires of artifacts.
    """
    database = database_file(uri)
    if database is None:
        return None
    folder = database.parent / ARTIFACTS_FOLDER
    try:
        str(folder).encode()
    except UnicodeEncodeError as error:
        raise TrackingError(
            f"MLflow cannot keep files in {str(database.parent)!r}, whose name is not UTF-8; rename"
            " the folder, or choose another place with tracking.uri"
        ) from error
    return folder.as_uri()


def prepare_database(uri: str) -> None:
    """See to it that MLflow can open a database: make a SQLite file that is missing or half made.

    A half-made file is what a full disk or a kill leaves of MLflow's making of a database: tables
    without rows. A database that holds anything is not changed: MLflow by itself would migrate an
    older one, which cannot be undone, and which other programs of that age could not open again.

    Parameters
    ----------
    uri
        Tracking server or database, as MLflow is given it; nothing is done for a server.

    Raises
    ------
    TrackingError
        The database is of another version of MLflow, or holds something else.
    """
    from mlflow.store.db.db_types import DATABASE_ENGINES

    database = database_file(uri)
    if database is None:
        if uri.startswith(tuple(DATABASE_ENGINES)) and not uri.startswith("sqlite"):
            _check_version(uri)
        return
    # A complete file needs no lock, which could not be made beside one that is only to be read.
    if not _is_complete(uri, database):
        database.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(database.with_name(f".{database.name}.lock")):
            if not _is_complete(uri, database):
                _make(uri, database)


def _is_complete(uri: str, database: Path) -> bool:
    """Whether MLflow can open a file; False if it is not there or has nothing that could be lost.

    Raises
    ------
    TrackingError
        It holds something that MLflow cannot open.
    """
    if not database.exists() or database.stat().st_size == 0:
        return False
    return _check_version(uri)


def _check_version(uri: str) -> bool:
    """Whether the schema of a database is this MLflow's; False if there is nothing in it.

    Raises
    ------
    TrackingError
        It holds something, and is of another version of MLflow or not MLflow's.
    """
    import mlflow
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    with _connection(uri) as connection:
        found = MigrationContext.configure(connection).get_current_revision()
        if found in script.get_heads():
            return True
        if _holds_nothing(connection):
            return False
    shown, version = shlex.quote(uri), mlflow.__version__
    if found is None:
        raise TrackingError(f"{uri} holds something else than MLflow's runs; choose another file")
    if found in {revision.revision for revision in script.walk_revisions()}:
        raise TrackingError(
            f"MLflow's database {uri} was made by an older MLflow than {version}, which is"
            f" installed; make a copy of it, then bring it up to date with: mlflow db upgrade"
            f" {shown}"
        )
    raise TrackingError(
        f"MLflow's database {uri} was made by a newer MLflow than {version}, which is installed;"
        " install that newer one"
    )


@contextmanager
def _connection(uri: str) -> Iterator[Any]:
    """Connect to a database by an engine of our own, which leaves no connection open."""
    from mlflow.store.db.utils import create_sqlalchemy_engine

    engine = create_sqlalchemy_engine(uri)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def _holds_nothing(connection: Any) -> bool:
    """Whether no table has a row that anybody has written."""
    from sqlalchemy import MetaData, Table, func, inspect, select

    tables = set(inspect(connection).get_table_names()) - _SEEDED
    return not any(
        connection.scalar(select(func.count()).select_from(Table(name, MetaData())))
        for name in tables
    )


def _make(uri: str, database: Path) -> None:
    """Make a database elsewhere, and put it in its place when it is complete."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    location = artifact_location(uri)
    if database.exists() and database.stat().st_size > 0:
        logger.warning("%s was only half made and held nothing: it is made again", database)
    with tempfile.TemporaryDirectory() as folder, replacing(database) as temporary:
        whole = Path(folder) / "mlflow.db"
        store = SqlAlchemyStore(sqlite_uri(whole), location)
        store.engine.dispose()
        shutil.copyfile(whole, temporary)
        # SQLite would play the journal of the file that was there into the new one.
        for suffix in ("-journal", "-wal", "-shm"):
            Path(f"{database}{suffix}").unlink(missing_ok=True)
    # MLflow keeps connections by URI, which would go on writing to a file moved away.
    SqlAlchemyStore._get_or_create_engine(uri).dispose()
