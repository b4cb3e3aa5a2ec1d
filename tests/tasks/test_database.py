"""Databases by their URLs: opened, migrated, and their failures said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, inspect, text

import shoestring.tasks.migrations
from shoestring.errors import TaskStoreError, UsageError
from shoestring.tasks.base import Task
from shoestring.tasks.database import HEAD, VERSION_TABLE, open_engine, parse_url
from shoestring.tasks.schema import metadata
from shoestring.tasks.store import open_store


@contextmanager
def opened(url: str) -> Iterator[Engine]:
    engine = open_engine(url)
    yield engine
    engine.dispose()


@contextmanager
def looked_into(url: str) -> Iterator[Engine]:
    """The database as it is, neither configured nor migrated."""
    engine = create_engine(parse_url(url))
    yield engine
    engine.dispose()


def test_the_last_step_is_the_one_that_the_code_knows() -> None:
    folder = Path(shoestring.tasks.migrations.__file__).parent

    assert ScriptDirectory(folder).get_heads() == [HEAD]


def test_the_steps_lead_to_the_schema_that_the_code_uses(url: str) -> None:
    with opened(url) as engine, engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})

        assert compare_metadata(context, metadata) == []


def test_opening_again_changes_nothing(url: str) -> None:
    with open_store(url) as store:
        task = store.add(Task("kept"))

    with open_store(url) as store:
        assert store.list() == (task,)


def test_tables_of_others_in_the_same_database_are_left_alone(url: str) -> None:
    with opened(url) as engine, engine.begin() as connection:
        connection.execute(text("CREATE TABLE theirs (id INTEGER)"))
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))

    with open_store(url) as store:
        store.add(Task("ours"))
    with opened(url) as engine, engine.connect() as connection:
        assert {"theirs", "alembic_version"} <= set(inspect(connection).get_table_names())


def test_tasks_of_a_newer_version_are_refused_and_left_alone(url: str) -> None:
    with opened(url) as engine, engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))

    with pytest.raises(TaskStoreError, match="newer version") as raised:
        open_store(url)

    assert raised.value.hint == "Update Shoestring. Nothing was changed."
    with looked_into(url) as engine, engine.connect() as connection:
        assert connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}")) == "9999"


def test_without_a_url_tasks_lie_among_the_users_data(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOESTRING_TASKS_URL", raising=False)
    with open_store() as store:
        store.add(Task("x"))

    assert (home / "data" / "tasks.sqlite3").is_file()


def test_the_environment_may_name_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOESTRING_TASKS_URL", f"sqlite:///{tmp_path}/there.sqlite3")
    with open_store() as store:
        store.add(Task("x"))

    assert (tmp_path / "there.sqlite3").is_file()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:s3cret@127.0.0.1:9/tasks",
        "postgresql://me@127.0.0.1:9/tasks?password=s3cret",
        "postgresql://me:s3cret@127.0.0.1:9/tasks?sslmode=s3cret",
        "postgresql://me:s3cret@127.0.0.1:9/tasks?nonsense=s3cret",
    ],
)
def test_a_server_that_does_not_answer_is_said_without_the_password(url: str) -> None:
    with pytest.raises(TaskStoreError) as raised:
        open_store(url)

    assert "s3cret" not in f"{raised.value} {raised.value.hint} {raised.value.__cause__!r}"
    assert raised.value.__cause__ is None


@pytest.mark.parametrize(
    "url", ["s3cret", "://s3cret", "postgresql://me:s3cret@host:port/x", "mysql://me:s3cret@h/d", ""]
)
def test_what_is_no_url_of_ours_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_url(url)

    assert "s3cret" not in f"{raised.value} {raised.value.hint}"


def test_a_wrong_password_is_not_shown(postgres_url: str) -> None:
    with pytest.raises(TaskStoreError) as raised:
        open_store(str(parse_url(postgres_url).set(database="none", password="s3cret")))

    assert "s3cret" not in str(raised.value)


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "letter.txt"
    file.write_text("Dear Sir or Madam, " * 100)

    with pytest.raises(TaskStoreError, match="not a database"):
        open_store(f"sqlite:///{file}")
    assert file.read_text() == "Dear Sir or Madam, " * 100


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(TaskStoreError, match="cannot be made"):
        open_store(f"sqlite:///{tmp_path}/file/below/tasks.sqlite3")
