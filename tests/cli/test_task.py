"""`shoestring task`, as people and programs use it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command import Command


@pytest.fixture
def task(shoestring: Command, tmp_path: Path) -> Command:
    """`task("add", …)` with a home of its own, in Berlin."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return shoestring(
            "task", *arguments, SHOESTRING_HOME=str(tmp_path / "home"), TZ="Europe/Berlin", **environment
        )

    return run


def document(result: subprocess.CompletedProcess[str], status: int = 0) -> Any:
    assert result.returncode == status, result.stderr
    return json.loads(result.stdout)


def added(task: Command, *arguments: str) -> Any:
    (found,) = document(task("add", *arguments, "--json"))
    return found


def test_a_task_is_added_listed_shown_done_and_removed(task: Command) -> None:
    found = added(task, "Call the dentist on 3 March 2031 at 3 pm", "--tag", "health", "--priority", "high")
    assert (found["due"], found["tags"], found["priority"]) == (
        "2031-03-03T15:00:00+01:00",
        ["health"],
        "high",
    )

    listed = task("list").stdout
    assert "Call the dentist" in listed
    assert "Mon 3 Mar 2031 15:00" in listed

    prefix = listed.splitlines()[1].split()[0]
    assert document(task("show", prefix, "--json"))["id"] == found["id"]

    (completed,) = document(task("done", prefix, "--json"))
    assert completed["task"]["status"] == "done"
    assert document(task("list", "--json")) == []

    (removed,) = document(task("rm", prefix, "--json"))
    assert removed["id"] == found["id"]
    assert document(task("list", "--all", "--json")) == []


def test_what_words_leave_open_is_asked_with_the_command_that_answers(task: Command) -> None:
    result = task("add", "Lunch", "03/04/2031")

    assert result.returncode == 0
    assert "Which day is meant: Tuesday 4 March 2031 or Thursday 3 April 2031?" in result.stderr
    assert "shoestring task edit" in result.stderr


def test_a_new_due_date_answers_the_question(task: Command) -> None:
    found = added(task, "Lunch 03/04/2031")

    edited = document(task("edit", found["id"], "--due", "2031-04-03", "--json"))
    assert (edited["due"], edited["questions"]) == ("2031-04-03", [])


def test_an_edit_changes_what_it_names_and_nothing_else(task: Command) -> None:
    found = added(task, "Lunch on 2031-04-03", "--tag", "food")

    edited = document(
        task("edit", found["id"], "--title", "Dinner", "--tag", "b", "--untag", "FOOD", "--json")
    )
    assert edited == found | {"title": "Dinner", "tags": ["b"], "updated_at": edited["updated_at"]}


def test_a_repeating_task_says_when_it_comes_again(task: Command) -> None:
    found = added(task, "Water the plants", "--due", "every day starting 2031-01-01")

    result = task("done", found["id"])
    assert "Done: Water the plants. Next: Thu 2 Jan 2031." in result.stderr


def test_overdue_tasks_are_marked(task: Command) -> None:
    added(task, "Late 2020-01-05")

    assert "! " in task("list").stdout


def test_the_list_is_narrowed_by_day_and_word(task: Command) -> None:
    added(task, "Early 2031-01-01")
    added(task, "Later 2031-06-01")

    assert [one["title"] for one in document(task("list", "--before", "2031-02-01", "--json"))] == [
        "Early 2031-01-01"
    ]
    assert [one["title"] for one in document(task("list", "later", "--json"))] == ["Later 2031-06-01"]


def test_of_several_ids_one_that_is_wrong_stops_all(task: Command) -> None:
    found = added(task, "One")

    result = task("done", found["id"], "zzzz")
    assert result.returncode == 1
    assert "try: shoestring task list" in result.stderr
    assert document(task("show", found["id"], "--json"))["status"] == "open"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add", " "), "the text is empty"),
        (("add", "x", "--due", "next blah"), "no time that can be read"),
        (("add", "x", "--due", "03/04/2031"), "more than one way"),
        (("edit", "zzzz"), "nothing to change"),
        (("edit", "zzzz", "--due", "today", "--no-due"), "cannot both"),
        (("list", "--db", "mysql://me:s3cret@host/db"), "'mysql'"),
    ],
)
def test_what_can_never_work_ends_with_2(task: Command, arguments: tuple[str, ...], said: str) -> None:
    result = task(*arguments)

    assert result.returncode == 2
    assert said in result.stderr
    assert "s3cret" not in result.stderr


def test_a_server_that_is_not_there_ends_with_1_and_says_no_password(task: Command) -> None:
    failed = document(task("list", "--db", "postgresql://me:s3cret@127.0.0.1:9/x", "--json"), status=1)

    assert failed["error"]["type"] == "TaskStoreError"
    assert "s3cret" not in json.dumps(failed)


def test_text_that_a_terminal_would_obey_is_shown_without(task: Command) -> None:
    added(task, "red \x1b[31malert\x07")

    assert "\x1b" not in task("list").stdout


def test_help_loads_no_database_and_a_missing_extra_is_named() -> None:
    code = """
import sys
for name in ("sqlalchemy", "alembic", "dateutil", "tzlocal", "psycopg"):
    sys.modules[name] = None
from shoestring.cli import main
main(sys.argv[1:])
"""
    shown = subprocess.run([sys.executable, "-c", code, "task", "--help"], capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr

    failed = subprocess.run([sys.executable, "-c", code, "task", "list"], capture_output=True, text=True)
    assert failed.returncode == 1
    assert "pip install 'shoestring[tasks]'" in failed.stderr
