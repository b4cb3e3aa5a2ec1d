"""The guide's sessions print what it says, in its order, at its moment."""

from __future__ import annotations

import doctest
import re
import shlex
from collections.abc import Iterator
from datetime import datetime, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from shoestring.cli import EarlyWorker
from shoestring.cli._app import run_command

GUIDE = Path(__file__).parents[2] / "docs" / "tasks.md"
NOW = datetime(2026, 11, 12, 10, 0, tzinfo=ZoneInfo("Europe/Berlin"))
IDS = ("7kq3m0000000", "b2dw80000000", "e9rn40000000", "3vwk50000000", "q6tz10000000")


class Stopped(datetime):
    """A clock that stands at the guide's moment."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:
        return NOW.astimezone(tz)


@pytest.fixture
def as_in_the_guide(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same moment, zone and ids."""
    monkeypatch.delenv("SHOESTRING_TASKS_URL", raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr("shoestring.tasks.extract.now_here", lambda: NOW)
    monkeypatch.setattr("shoestring.tasks.store.utc_now", lambda: NOW)
    monkeypatch.setattr("shoestring.tasks.base.datetime", Stopped)
    letters = iter("".join(IDS))
    monkeypatch.setattr("shoestring.tasks.base.secrets.choice", lambda _: next(letters))


def sessions() -> Iterator[tuple[str, str]]:
    """Each command with the output that the guide prints under it."""
    for block in re.findall(r"```console\n(.*?)```", GUIDE.read_text(), re.DOTALL):
        yield from re.findall(r"\$ (shoestring .*)\n((?:(?!\$ ).*\n)*)", block)


@pytest.mark.usefixtures("as_in_the_guide")
def test_the_sessions_print_what_the_guide_says(capsys: pytest.CaptureFixture[str]) -> None:
    expected = dict(sessions())
    printed = {}
    for command in expected:
        arguments = shlex.split(command)[1:]
        assert run_command(arguments, EarlyWorker()) == 0
        captured = capsys.readouterr()
        printed[command] = captured.out + captured.err
    assert printed == expected


@pytest.mark.usefixtures("as_in_the_guide")
def test_the_python_examples_give_what_the_guide_says() -> None:
    found = doctest.testfile(str(GUIDE), module_relative=False)

    assert found.attempted > 5
    assert found.failed == 0
