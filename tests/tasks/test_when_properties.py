"""What holds of any message at any moment."""

from __future__ import annotations

from datetime import date, datetime, time
from zoneinfo import ZoneInfo

from dateutil.rrule import rrulestr
from hypothesis import given
from hypothesis import strategies as st
from test_when import ASKED_BESIDE, ONCE, OPEN, REPEATED, rows

from shoestring.tasks.when import find, find_all, next_occurrence
from shoestring.tasks.when.base import words
from shoestring.tasks.when.find import LANGUAGES

ZONES = st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Apia", "UTC"])
MOMENTS = st.builds(
    lambda moment, zone: moment.replace(tzinfo=ZoneInfo(zone)),
    st.datetimes(datetime(2000, 1, 1), datetime(2090, 1, 1)),
    ZONES,
)
_GLUE = words(
    "every other at until on by the of each in for 3 15 8 30 3rd 31 9am 14:30 , am bis jeden le tous el cada"
)
_WORDS = sorted(_GLUE.union(*(kind for language in LANGUAGES for kind in language.words.values())))
_PHRASES = [row[0] for table in (ONCE, REPEATED, OPEN, ASKED_BESIDE) for row in rows(table)]
MESSAGES = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from(_WORDS), max_size=8).map(" ".join),
    st.lists(st.sampled_from(_PHRASES), min_size=1, max_size=2).map(" ".join),
)


@given(MESSAGES, MOMENTS)
def test_no_message_breaks_it_and_every_phrase_stands_where_it_says(message: str, now: datetime) -> None:
    for when in find_all(message, now):
        assert message[when.start : when.end] == when.phrase
        assert when.due is not None or when.question


@given(MESSAGES, MOMENTS)
def test_a_certain_due_date_never_lies_behind(message: str, now: datetime) -> None:
    when = find(message, now)

    if when is not None and when.certain and when.due is not None:
        day = when.due.date() if isinstance(when.due, datetime) else when.due
        assert day >= now.date()


@given(MESSAGES, MOMENTS)
def test_every_recurrence_is_an_rrule_and_its_first_occurrence_is_the_due_date(
    message: str, now: datetime
) -> None:
    for when in find_all(message, now):
        if when.recurrence and when.due is not None:
            start = when.due if isinstance(when.due, datetime) else datetime.combine(when.due, time())
            assert rrulestr(when.recurrence, dtstart=start)[0] == start


@given(MESSAGES, MOMENTS)
def test_the_next_occurrence_lies_after_this_one(message: str, now: datetime) -> None:
    for when in find_all(message, now):
        if when.recurrence and when.due is not None:
            following = next_occurrence(when.recurrence, when.due)
            assert following is None or _later(following[0], when.due)


def _later(first: date | datetime, second: date | datetime) -> bool:
    return isinstance(first, datetime) == isinstance(second, datetime) and first > second
