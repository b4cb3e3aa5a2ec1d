"""Tasks in few words: when they are due as seen from now, how they repeat, and the shortest ids."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from itertools import pairwise

from shoestring.tasks.base import Moment, Status, Task

_SHORTEST_ID = 4
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_CODES = {"MO": "Mon", "TU": "Tue", "WE": "Wed", "TH": "Thu", "FR": "Fri", "SA": "Sat", "SU": "Sun"}
_UNITS = {"DAILY": "day", "WEEKLY": "week", "MONTHLY": "month", "YEARLY": "year"}


def is_overdue(task: Task, now: datetime) -> bool:
    """It is open, and its time, or its day, has passed."""
    if task.due is None or task.status is Status.DONE:
        return False
    return task.due < now if isinstance(task.due, datetime) else task.due < now.date()


def due_in_words(due: Moment, now: datetime) -> str:
    """`today 15:00`, `tomorrow`, `Fri 20 Nov`, `3 days ago`: on the user's clock."""
    if isinstance(due, datetime):
        here = due.astimezone(now.tzinfo)
        return f"{_day_in_words(here.date(), now.date())} {here:%H:%M}"
    return _day_in_words(due, now.date())


def _day_in_words(day: date, today: date) -> str:
    distance = (day - today).days
    if -1 <= distance <= 1:
        return ("yesterday", "today", "tomorrow")[distance + 1]
    if distance < 0:
        return f"{-distance} days ago"
    year = f" {day.year}" if day.year != today.year else ""
    return f"{_DAYS[day.weekday()]} {day.day} {_MONTHS[day.month - 1]}{year}"


def recurrence_in_words(recurrence: str) -> str:
    """`every 2 weeks on Tue`; a rule that this has no words for, as it is."""
    parts = dict(part.split("=", 1) for part in recurrence.split(";") if "=" in part)
    unit = _UNITS.get(parts.pop("FREQ", ""))
    interval, until, count = parts.pop("INTERVAL", "1"), parts.pop("UNTIL", ""), parts.pop("COUNT", "")
    on = _on(parts)
    if unit is None or on is None:
        return recurrence
    words = f"every {unit}" if interval == "1" else f"every {interval} {unit}s"
    ending = f" until {until[:4]}-{until[4:6]}-{until[6:8]}" if until else f", {count} more" if count else ""
    return f"{words}{on}{ending}"


def _on(parts: dict[str, str]) -> str | None:
    if not parts:
        return ""
    if set(parts) == {"BYDAY"} and all(code in _CODES for code in parts["BYDAY"].split(",")):
        return f" on {', '.join(_CODES[code] for code in parts['BYDAY'].split(','))}"
    if set(parts) == {"BYMONTHDAY"} and parts["BYMONTHDAY"].isdigit():
        return f" on day {parts['BYMONTHDAY']}"
    return None


def shortest_ids(ids: Iterable[str]) -> dict[str, str]:
    """For each id its shortest beginning, of four characters or more, that no other shares."""
    ordered = sorted(ids)
    shared = dict.fromkeys(ordered, 0)
    for one, other in pairwise(ordered):
        same = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(one))
        shared[one], shared[other] = max(shared[one], same), max(shared[other], same)
    return {one: one[: max(_SHORTEST_ID, same + 1)] for one, same in shared.items()}
