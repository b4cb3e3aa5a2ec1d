"""From the words for a time of day to hours and minutes, and to a moment on the user's clock."""

from __future__ import annotations

from datetime import date, datetime, time

from dateutil import tz

from shoestring.tasks.when.base import Clock, Groups, Language

_PARTS: dict[str, tuple[range, range]] = {
    # part of the day: hours that are meant as they stand, hours that are meant twelve later
    "morning": (range(1, 12), range(0)),
    "afternoon": (range(12, 19), range(1, 7)),
    "evening": (range(16, 24), range(4, 12)),
    "night": (range(18, 24), range(6, 12)),
}


def am_pm(groups: Groups, language: Language, now: datetime) -> Clock | None:
    """`3 pm`, `3:30 p.m.`."""
    hour, minute = int(groups["hour"]), int(groups.get("minute", "0"))
    if not 1 <= hour <= 12 or minute > 59:
        return None
    half = groups["half"].replace(".", "").replace(" ", "")
    if half == "am" and hour == 12:
        return midnight(groups, language, now) if minute == 0 else Clock(0, minute)
    return Clock(hour % 12 + (12 if half == "pm" else 0), minute)


def hour_and_minute(groups: Groups, language: Language, now: datetime) -> Clock | None:
    """`14:30`, `8:30`; where a language counts to twelve, only `08:30` is before noon for certain."""
    hour, minute = int(groups["hour"]), int(groups.get("minute", "0"))
    if hour > 23 or minute > 59:
        return None
    open_half = language.twelve_hours and 1 <= hour <= 12 and not groups["hour"].startswith("0")
    return Clock(hour, minute, twelve_hours=open_half)


def hour(groups: Groups, language: Language, now: datetime) -> Clock | None:
    """`at 8`."""
    value = language.number("number", groups["hour"])
    if value is None or value > 23:
        return None
    return Clock(value, twelve_hours=language.twelve_hours and 1 <= value <= 12, bare=True)


def hour_of_part(groups: Groups, language: Language, now: datetime) -> Clock | None:
    """`8 in the evening`, `8:30 du soir`."""
    value, minute = language.number("number", groups["hour"]), int(groups.get("minute", "0"))
    if value is None or minute > 59:
        return None
    return in_part(Clock(value, minute), language.name_of("daypart", groups["daypart"]))


def part(groups: Groups, language: Language, now: datetime) -> Clock:
    """`in the morning`."""
    return Clock(None, part=language.name_of("daypart", groups["daypart"]))


def noon(groups: Groups, language: Language, now: datetime) -> Clock:
    """`noon`."""
    return Clock(12)


def midnight(groups: Groups, language: Language, now: datetime) -> Clock:
    """`midnight`: a day has two."""
    return Clock(None, question="Is the midnight meant that begins the day, or the one that ends it?")


def in_part(clock: Clock, part_of_day: str) -> Clock | None:
    """The hour in that part of the day; None where it has no such hour (`15 in the morning`)."""
    if clock.hour is None or not part_of_day:
        return clock
    plain, later = _PARTS[part_of_day]
    if clock.hour in later:
        return Clock(clock.hour + 12, clock.minute)
    return Clock(clock.hour, clock.minute) if clock.hour in plain else None


def question_about(clock: Clock) -> str | None:
    """What must be asked before this is a time of day."""
    if clock.twelve_hours and clock.hour is not None:
        early, late = time(clock.hour % 12, clock.minute), time(clock.hour % 12 + 12, clock.minute)
        return f"Is {early:%H:%M} or {late:%H:%M} meant?"
    return clock.question


def at(day: date, clock: Clock, now: datetime) -> tuple[datetime | None, str | None]:
    """That time on that day, on the clock of the user's zone; where the clock is set forward or back, a question."""
    moment = datetime.combine(day, time(clock.hour or 0, clock.minute), now.tzinfo)
    if not tz.datetime_exists(moment):
        return None, f"The clock is set forward that day and {moment:%H:%M} left out. Which time is meant?"
    if tz.datetime_ambiguous(moment):
        return None, f"The clock is set back that day and {moment:%H:%M} comes twice. Which one is meant?"
    return moment, None
