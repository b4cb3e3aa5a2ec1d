"""Tasks in few words, seen on Thursday 12 November 2026 at 10:00 in Berlin."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from shoestring.tasks.base import Moment, Status, Task
from shoestring.tasks.wording import due_in_words, is_overdue, recurrence_in_words, shortest_ids

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 12, 10, 0, tzinfo=BERLIN)


@pytest.mark.parametrize(
    ("due", "words"),
    [
        (date(2026, 11, 12), "today"),
        (date(2026, 11, 13), "tomorrow"),
        (date(2026, 11, 11), "yesterday"),
        (date(2026, 11, 9), "3 days ago"),
        (date(2026, 11, 20), "Fri 20 Nov"),
        (date(2027, 1, 1), "Fri 1 Jan 2027"),
        (datetime(2026, 11, 12, 9, 0, tzinfo=ZoneInfo("America/New_York")), "today 15:00"),
    ],
)
def test_a_due_date_is_said_from_where_the_user_stands(due: Moment, words: str) -> None:
    assert due_in_words(due, NOW) == words


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("FREQ=DAILY", "every day"),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=TU", "every 2 weeks on Tue"),
        ("FREQ=MONTHLY;BYMONTHDAY=15;UNTIL=20270630", "every month on day 15 until 2027-06-30"),
        ("FREQ=WEEKLY;BYDAY=MO,FR;COUNT=3", "every week on Mon, Fri, 3 more"),
        ("FREQ=MONTHLY;BYDAY=1MO", "FREQ=MONTHLY;BYDAY=1MO"),
    ],
)
def test_a_rule_is_said_in_words_or_left_as_it_is(rule: str, words: str) -> None:
    assert recurrence_in_words(rule) == words


def test_a_day_is_overdue_when_it_is_over_and_a_time_when_it_has_passed() -> None:
    assert not is_overdue(Task("x", due=date(2026, 11, 12)), NOW)
    assert is_overdue(Task("x", due=date(2026, 11, 11)), NOW)
    assert is_overdue(Task("x", due=datetime(2026, 11, 12, 9, 59, tzinfo=BERLIN)), NOW)
    assert not is_overdue(Task("x", due=date(2026, 11, 11), status=Status.DONE), NOW)
    assert not is_overdue(Task("x"), NOW)


def test_an_id_is_as_short_as_its_neighbours_allow() -> None:
    assert shortest_ids(["abcdefgh", "abcdeeee", "zzzzzzzz"]) == {
        "abcdefgh": "abcdef",
        "abcdeeee": "abcdee",
        "zzzzzzzz": "zzzz",
    }
