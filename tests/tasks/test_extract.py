"""From a message to drafts, without a model."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from shoestring.errors import TaskError, UsageError
from shoestring.tasks.base import Draft, Task
from shoestring.tasks.extract import Extractor, PlainExtractor, due_in, now_here

NOW = datetime(2026, 11, 12, 10, 0, tzinfo=ZoneInfo("Europe/Berlin"))


def test_a_message_is_a_task_with_the_time_that_its_words_name() -> None:
    extractor: Extractor = PlainExtractor()

    said = "Send the report by Friday"
    assert extractor.extract(said, NOW) == [Draft(said, due=date(2026, 11, 13), said=said)]


def test_what_is_open_becomes_a_question() -> None:
    (draft,) = PlainExtractor().extract("Lunch next Friday", NOW)

    assert draft.due is None
    assert draft.questions == ("Which day is meant: Friday 13 November 2026 or Friday 20 November 2026?",)


def test_further_lines_are_the_description() -> None:
    (draft,) = PlainExtractor().extract("  Buy  milk\n- 2 litres\n", NOW)

    assert (draft.title, draft.description) == ("Buy milk", "- 2 litres")


def test_a_long_line_is_shortened_and_kept_whole_beside() -> None:
    said = "word " * 100
    (draft,) = PlainExtractor().extract(said, NOW)

    assert len(draft.title) == 200
    assert draft.title.endswith("…")
    assert draft.description == said.strip()


@pytest.mark.parametrize("empty", ["", " \n "])
def test_nothing_said_is_no_task(empty: str) -> None:
    assert PlainExtractor().extract(empty, NOW) == []


def test_a_draft_becomes_a_task_with_an_id_of_its_own() -> None:
    draft = Draft("x", due=date(2026, 11, 13), tags=("a",))

    first, second = Task.of(draft), Task.of(draft)
    assert (first.title, first.due, first.tags) == (draft.title, draft.due, draft.tags)
    assert first.id != second.id


def test_words_for_a_time_are_a_due_date_and_a_recurrence() -> None:
    assert due_in(" every monday ", NOW) == (date(2026, 11, 16), "FREQ=WEEKLY;BYDAY=MO")


@pytest.mark.parametrize("words", ["blah", "", "Friday lunch", "next friday", "Friday and Monday"])
def test_words_that_are_not_just_one_time_are_refused(words: str) -> None:
    with pytest.raises(UsageError):
        due_in(words, NOW)


def test_the_zone_is_the_machines_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")

    assert str(now_here().tzinfo) == "America/New_York"


def test_an_unknown_zone_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Mars/Olympus")

    with pytest.raises(TaskError, match="time zone is not known"):
        now_here()
