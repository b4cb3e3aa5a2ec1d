"""Recurrences: checked, and followed from one occurrence to the next."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from shoestring.errors import UsageError
from shoestring.tasks.when import checked, next_occurrence

BERLIN = ZoneInfo("Europe/Berlin")


def test_a_date_is_followed_by_a_date() -> None:
    assert next_occurrence("FREQ=MONTHLY;BYMONTHDAY=31", date(2026, 12, 31)) == (
        date(2027, 1, 31),
        "FREQ=MONTHLY;BYMONTHDAY=31",
    )


def test_an_hour_keeps_its_place_on_the_clock() -> None:
    found = next_occurrence("FREQ=DAILY", datetime(2027, 3, 27, 9, 0, tzinfo=BERLIN))

    assert found is not None
    assert found[0] == datetime(2027, 3, 28, 9, 0, tzinfo=BERLIN)


def test_an_hour_that_the_clock_leaves_out_moves_on() -> None:
    found = next_occurrence("FREQ=DAILY", datetime(2027, 3, 27, 2, 30, tzinfo=BERLIN))

    assert found is not None
    assert found[0] == datetime(2027, 3, 28, 3, 30, tzinfo=BERLIN)


def test_after_the_last_there_is_none() -> None:
    assert next_occurrence("FREQ=DAILY;COUNT=1", date(2026, 1, 1)) is None
    assert next_occurrence("FREQ=DAILY;UNTIL=20260102", date(2026, 1, 2)) is None


def test_the_end_of_a_time_counts_in_utc() -> None:
    due = datetime(2026, 12, 18, 18, 0, tzinfo=BERLIN)

    assert next_occurrence("FREQ=DAILY;UNTIL=20261219T225959Z", due) is not None
    assert next_occurrence("FREQ=DAILY;UNTIL=20261218T225959Z", due) is None


def test_a_rule_is_kept_in_capitals_without_its_name() -> None:
    assert checked("rrule:freq=weekly;byday=mo", date(2026, 11, 16)) == "FREQ=WEEKLY;BYDAY=MO"


@pytest.mark.parametrize(
    "rule",
    [
        "",
        "weekly",
        "FREQ=SOMETIMES",
        "FREQ=SECONDLY",
        "FREQ=DAILY;COUNT=0",
        "FREQ=DAILY;COUNT=many",
        "FREQ=WEEKLY;BYDAY=XX",
        "FREQ=DAILY;UNTIL=soon",
        "FREQ=DAILY\nFREQ=DAILY",
    ],
)
def test_what_is_no_rule_is_refused(rule: str) -> None:
    with pytest.raises(UsageError, match="no recurrence"):
        checked(rule, date(2026, 11, 16))
