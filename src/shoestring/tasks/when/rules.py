"""RRULE values (RFC 5545, section 3.3.10): written, begun, ended and followed from one occurrence to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone

from dateutil import tz
from dateutil.rrule import rrulestr

from shoestring.errors import UsageError
from shoestring.tasks.base import Moment
from shoestring.tasks.when import clocks
from shoestring.tasks.when.base import Clock, Count, Day, Repeat
from shoestring.tasks.when.days import shifted
from shoestring.tasks.when.repeats import WEEKDAYS, on_monthday, on_yearday

_FURTHEST_TRIES = 4  # occurrences looked at for the first one that is still ahead


@dataclass(frozen=True)
class Rule:
    """The parts of an RRULE, in the order in which they are written."""

    parts: Mapping[str, str]

    def text(self) -> str:
        """`FREQ=WEEKLY;BYDAY=MO`."""
        return ";".join(f"{name}={value}" for name, value in self.parts.items())

    def first(self, begin: date, clock: Clock | None, now: datetime) -> tuple[Moment | None, str | None]:
        """The first occurrence on or after a day that has not passed yet, or the question that it raises."""
        every_time = {name: value for name, value in self.parts.items() if name != "INTERVAL"}
        days = rrulestr(Rule(every_time).text(), dtstart=datetime.combine(begin, time()))
        day = days.after(datetime.combine(begin, time()), inc=True)
        for _ in range(_FURTHEST_TRIES):
            if day is None:
                break
            if clock is None:
                return day.date(), None
            moment, question = clocks.at(day.date(), clock, now)
            if moment is None:
                return day.date(), question
            if moment >= now:
                return moment, None
            day = days.after(day)
        return None, "When is it due first?"

    def until(self, last: date, due: Moment) -> Rule:
        """Ended with a day, that day included: a date where `due` is one, else in UTC, as the RFC asks."""
        if not isinstance(due, datetime):
            return Rule({**self.parts, "UNTIL": f"{last:%Y%m%d}"})
        end = datetime.combine(last, time(23, 59, 59), due.tzinfo).astimezone(timezone.utc)
        return Rule({**self.parts, "UNTIL": f"{end:%Y%m%dT%H%M%SZ}"})

    def counted(self, count: Count, due: Moment) -> Rule:
        """Ended after so many times, or after a stretch of time from `due` on."""
        if count.times is not None:
            return Rule({**self.parts, "COUNT": str(count.times)})
        first = due if isinstance(due, datetime) else datetime.combine(due, time())
        after = shifted(first, count.number, count.unit)
        return self if after is None or after.day is None else self.until(after.day - timedelta(1), due)


def anchored(repeat: Repeat, named: Day | None, begins: list[Day]) -> tuple[Repeat, list[Day]]:
    """A recurrence with the day that stands beside it: `monthly` and `on the 15th`, `every 2 weeks` and a beginning.

    Where that day cannot be read in one way only, the recurrence stays without.
    """
    frequency = repeat.parts["FREQ"]
    fitting = {"WEEKLY": {"weekday"}, "MONTHLY": {"monthday"}, "YEARLY": {"date"}}[frequency]
    if named is not None and named.kind not in fitting:
        return repeat, [*begins, named]
    anchor = named or (begins[0] if begins else None)
    if anchor is None or (anchor.day is None and not anchor.choices):
        return repeat, begins
    day = anchor.day or anchor.choices[0]  # `Friday`, said on one: either is a Friday
    parts = dict(repeat.parts)
    if named is None and anchor.day is None:
        return repeat, begins
    if frequency == "WEEKLY":
        return Repeat({**parts, "BYDAY": WEEKDAYS[day.weekday()]}), begins
    if frequency == "MONTHLY":
        begins = begins or ([Day(day)] if "INTERVAL" in parts else [])
        return on_monthday(day.day, parts), begins
    return on_yearday(day.month, day.day), begins


def next_occurrence(recurrence: str, due: Moment) -> tuple[Moment, str] | None:
    """The occurrence after `due`, and the rule from there on (a COUNT is one less); None after the last.

    A time keeps its place on the clock of its zone; one that is left out when the clock is set forward moves on by
    as much.

    Raises:
        UsageError: the text is no RRULE value that fits `due`.
    """
    rule = parsed(recurrence)
    text = Rule({name: value for name, value in rule.items() if name != "COUNT"}).text()
    left = int(rule["COUNT"]) - 1 if "COUNT" in rule else None
    if left == 0:
        return None
    start = due if isinstance(due, datetime) else datetime.combine(due, time())
    try:
        following = rrulestr(text, dtstart=start).after(start)
    except (ValueError, TypeError, OverflowError, KeyError) as error:
        raise _invalid(recurrence) from error
    if following is None:
        return None
    kept = recurrence if left is None else Rule({**rule, "COUNT": str(left)}).text()
    return (tz.resolve_imaginary(following) if isinstance(due, datetime) else following.date()), kept


def checked(recurrence: str, due: Moment | None) -> str:
    """The rule as it is kept: in capitals, daily or rarer, with `due` among its occurrences where there is one.

    Raises:
        UsageError: it is no such rule.
    """
    rule = parsed(recurrence)
    if due is not None:
        next_occurrence(Rule({**rule, "COUNT": "2"} if "UNTIL" not in rule else rule).text(), due)
    return Rule(rule).text()


def parsed(recurrence: str) -> dict[str, str]:
    """The parts of an RRULE value, in capitals.

    Raises:
        UsageError: it is none, or repeats within a day.
    """
    text = recurrence.strip().upper().removeprefix("RRULE:")
    try:
        pairs = [part.split("=", 1) for part in text.split(";") if part]
        rule = dict(pairs)
        rrulestr(
            Rule({k: v for k, v in rule.items() if k not in ("UNTIL", "COUNT")}).text(),
            dtstart=datetime(2000, 1, 1),
        )
        if rule["FREQ"] not in {"DAILY", "WEEKLY", "MONTHLY", "YEARLY"} or int(rule.get("COUNT", "1")) < 1:
            raise _invalid(recurrence)
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise _invalid(recurrence) from error
    return rule


def _invalid(recurrence: str) -> UsageError:
    return UsageError(
        f"{recurrence!r} is no recurrence.",
        "Write it as iCalendar does (RFC 5545), daily or rarer: FREQ=WEEKLY;BYDAY=MO",
    )
