"""A database by its URL: opened, brought to the present schema, and its errors said without passwords."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, column, create_engine, event, inspect, select, table, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from shoestring.errors import TaskStoreError, UsageError
from shoestring.paths import data_dir

URL_VARIABLE = "SHOESTRING_TASKS_URL"
HEAD = "0001"
"""The last step in `migrations/versions`, so that an ordinary start need not import alembic."""
VERSION_TABLE = "shoestring_tasks_version"
_BUSY_MS = 30_000  # how long a writer waits for another one
_LOCK_KEY = 0x5401E57  # PostgreSQL's advisory lock while migrating; any number that nobody else takes
_WAL_TRIES, _WAL_PAUSE_S = 50, 0.1


def open_engine(url: str | None = None) -> Engine:
    """The database at `url`, else at `SHOESTRING_TASKS_URL`, else a SQLite file among the user's own data.

    Its schema is brought to the present; two processes may do so at once.

    Raises:
        UsageError: the URL is none, or of another database than SQLite and PostgreSQL.
        TaskStoreError: the database cannot be opened, or a newer version has written it.
    """
    parsed = parse_url(url or os.environ.get(URL_VARIABLE) or default_url())
    if parsed.drivername == "sqlite" and parsed.database not in (None, "", ":memory:"):
        _make_folder(Path(str(parsed.database)).parent)
    arguments: dict[str, Any] = {"connect_timeout": 10} if parsed.drivername != "sqlite" else {}
    with errors_said(parsed):
        engine = create_engine(parsed, hide_parameters=True, connect_args=arguments)
        if parsed.drivername == "sqlite":
            event.listen(engine, "connect", _configure_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
        try:
            _migrate(engine)
        except BaseException:
            engine.dispose()
            raise
    return engine


def default_url() -> str:
    """The SQLite file among the user's own data."""
    return URL.create("sqlite", database=str(data_dir() / "tasks.sqlite3")).render_as_string()


def parse_url(text_: str) -> URL:
    """A database's URL, with the driver that is installed.

    Raises:
        UsageError: it is none, or of another database. The text is not repeated: it may hold a password.
    """
    try:
        url = make_url(text_)
    except (ArgumentError, ValueError):
        raise _bad_url("That is not the URL of a database.") from None
    if url.drivername in {"postgres", "postgresql", "postgresql+psycopg"}:
        return url.set(drivername="postgresql+psycopg")
    if url.drivername == "sqlite":
        return url
    raise _bad_url(f"Tasks are not kept in {url.drivername.partition('+')[0]!r} databases.")


def _bad_url(message: str) -> UsageError:
    return UsageError(
        message, "Write it like sqlite:////home/me/tasks.sqlite3 or postgresql://user@host/database."
    )


def shown(url: URL) -> str:
    """Where a database is, without the password or anything else that may be secret."""
    if url.drivername == "sqlite":
        return url.database or "memory"
    port = f":{url.port}" if url.port else ""
    return f"{url.host or 'a local socket'}{port}, database {url.database or 'of the user'}"


@contextmanager
def errors_said(url: URL) -> Iterator[None]:
    """Turn what the driver raises into ours.

    Raises:
        TaskStoreError: without the password, in its message and in whatever caused it.
    """
    try:
        yield
    except SQLAlchemyError as error:
        reason = str(error.orig if isinstance(error, DBAPIError) else error).strip().split("\n")[0]
        for secret in _secrets(url):
            reason = reason.replace(secret, "***")
        # No cause: the driver's own error may quote the URL.
        raise TaskStoreError(f"The tasks at {shown(url)} cannot be used: {reason}", _hint(reason)) from None


def _secrets(url: URL) -> list[str]:
    queries = [value for value in url.query.values() if isinstance(value, str)]
    return sorted({secret for secret in (str(url.password or ""), *queries) if secret}, key=len, reverse=True)


def _hint(reason: str) -> str:
    if "locked" in reason:
        return "Another program is writing to it for long; close it and try again."
    if "not a database" in reason or "malformed" in reason:
        return "The file is damaged or something else; move it away, or name another one."
    if "readonly" in reason or "unable to open" in reason:
        return "Check that the file and its folder may be written by you."
    return "Check that the database runs, that its URL is right, and that you may use it."


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise TaskStoreError(
            f"The folder {folder} for the tasks cannot be made: {error.strerror}.",
            "Check that its parent may be written by you, or name another place.",
        ) from error


def _configure_sqlite(connection: Any, record: object) -> None:
    """Writers wait for each other, readers for nobody; what was said to be kept survives a crash."""
    connection.isolation_level = None  # the driver begins no transaction of its own
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    for tried in range(_WAL_TRIES):
        try:  # for this change SQLite does not wait for others by itself
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except connection.OperationalError:
            if tried == _WAL_TRIES - 1:
                raise
            time.sleep(_WAL_PAUSE_S)
    connection.execute("PRAGMA synchronous = FULL")


def _begin_sqlite(connection: Connection) -> None:
    """A transaction that will write takes the lock first: one that reads and then writes may find it taken."""
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction that writes: all of it is kept, or nothing."""
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        yield connection


def _migrate(engine: Engine) -> None:
    with engine.begin() as connection:
        if version(connection) == HEAD:
            return
    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK_KEY})"))
        _upgrade(connection, version(connection))


def _upgrade(connection: Connection, present: str | None) -> None:
    if present == HEAD:  # another process was first
        return
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    folder = Path(__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if present is not None and present not in known:
        raise TaskStoreError(
            f"A newer version of Shoestring has written these tasks (schema {present}; this one knows {HEAD}).",
            "Update Shoestring. Nothing was changed.",
        )
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def version(connection: Connection) -> str | None:
    """The schema's step; None for a database without tasks."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found: str | None = connection.scalar(select(column("version_num")).select_from(table(VERSION_TABLE)))
    return found
