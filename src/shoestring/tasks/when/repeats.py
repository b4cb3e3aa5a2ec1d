"""From the words for a recurrence to the parts of an RRULE (RFC 5545, section 3.3.10)."""

from __future__ import annotations

import re
from datetime import datetime

from shoestring.tasks.when.base import Count, Groups, Language, Repeat
from shoestring.tasks.when.days import weekday_number

WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_FREQUENCIES = {
    "day": ("DAILY", 1),
    "week": ("WEEKLY", 1),
    "month": ("MONTHLY", 1),
    "quarter": ("MONTHLY", 3),
    "year": ("YEARLY", 1),
}
_SURE_DAYS = 28  # every month has as many
_SURE_WEEKS = 4


def on_weekdays(groups: Groups, language: Language, now: datetime) -> Repeat | None:
    """`every Monday, Wednesday and Friday`."""
    return _weekly(_weekdays(groups["weekdays"], language))


def on_plural(groups: Groups, language: Language, now: datetime) -> Repeat | None:
    """`Mondays and Thursdays`."""
    return _weekly(_weekdays(groups["plurals"], language))


def weekday_range(groups: Groups, language: Language, now: datetime) -> Repeat | None:
    """`every Monday to Thursday`."""
    first, last = weekday_number(groups["weekday"], language), weekday_number(groups["last"], language)
    return _weekly([(first + more) % 7 for more in range((last - first) % 7 + 1)])


def working_days(groups: Groups, language: Language, now: datetime) -> Repeat:
    """`weekdays`: Monday to Friday."""
    return Repeat({"FREQ": "WEEKLY", "BYDAY": ",".join(WEEKDAYS[:5])})


def every_other_weekday(groups: Groups, language: Language, now: datetime) -> Repeat | None:
    """`every other Tuesday`, from the next one on."""
    return _weekly([weekday_number(groups["weekday"], language)], 2)


def every_n_weekdays(groups: Groups, language: Language, now: datetime) -> Repeat | None:
    """`cada dos martes`."""
    number = language.number("number", groups["number"])
    return _weekly([weekday_number(groups["weekday"], language)], number) if number else None


def _weekly(days: list[int], interval: int = 1) -> Repeat | None:
    if not days:
        return None
    parts = {"FREQ": "WEEKLY"} | ({"INTERVAL": str(interval)} if interval > 1 else {})
    return Repeat(parts | {"BYDAY": ",".join(WEEKDAYS[day] for day in sorted(set(days)))})


def _weekdays(text: str, language: Language) -> list[int]:
    names = {**language.words["weekday"], **language.words["short"], **language.words["plural"]}
    longest_first = sorted(names, key=len, reverse=True)
    pattern = "|".join(rf"\b{re.escape(name)}\b" for name in longest_first)
    return [int(names[word.lower()]) for word in re.findall(pattern, text.lower())]


def every_unit(groups: Groups, language: Language, now: datetime) -> Repeat | None:
    """`every day`, `every month`: a week, a month or a year needs a day beside it."""
    return _every(language.name_of("unit", groups["unit"]), 1)


def every_part(groups: Groups, language: Language, now: datetime) -> Repeat:
    """`every evening`."""
    return Repeat({"FREQ": "DAILY"}, part=language.name_of("daypart", groups["daypart"]))


def every_other_unit(groups: Groups, language: Language, now: datetime) -> Repeat | None:
    """`every other week`."""
    return _every(language.name_of("unit", groups["unit"]), 2)


def every_n_units(groups: Groups, language: Language, now: datetime) -> Repeat | None:
    """`every 3 days`, from today on."""
    number = language.number("number", groups["number"])
    return _every(language.name_of("unit", groups["unit"]), number) if number else None


def adverb(groups: Groups, language: Language, now: datetime) -> Repeat | None:
    """`daily`, `monthly`."""
    return _every(language.name_of("adverb", groups["adverb"]), 1)


def _every(unit: str, number: int) -> Repeat | None:
    if unit in {"hour", "minute"}:
        return Repeat({}, question="Tasks repeat daily at most. On which days, and when, is it due?")
    if unit not in _FREQUENCIES:
        return None
    frequency, times = _FREQUENCIES[unit]
    parts = {"FREQ": frequency} | ({"INTERVAL": str(number * times)} if number * times > 1 else {})
    return Repeat(parts, anchored=frequency == "DAILY")


def monthly_weekday(groups: Groups, language: Language, now: datetime) -> Repeat | None:
    """`the first Monday of every month`; a fifth one most months lack."""
    nth = language.number("ordinal", groups["ordinal"])
    if nth is None or nth == 0 or not -1 <= nth <= _SURE_WEEKS:
        return Repeat({}, question="Most months have no such day. Which one is meant?")
    return Repeat(
        {"FREQ": "MONTHLY", "BYDAY": f"{nth}{WEEKDAYS[weekday_number(groups['weekday'], language)]}"}
    )


def monthly_day(groups: Groups, language: Language, now: datetime) -> Repeat | None:
    """`the 15th of every month`."""
    day = language.number("ordinal", groups["day"])
    return on_monthday(day) if day is not None and 1 <= day <= 31 else None


def on_monthday(day: int, parts: dict[str, str] | None = None) -> Repeat:
    """Monthly on that day; RFC 5545 leaves out the months that have none, which may not be what is meant."""
    question = None
    if day > _SURE_DAYS:
        question = f"Some months have no day {day}: are they left out, or is their last day meant?"
    return Repeat({**(parts or {"FREQ": "MONTHLY"}), "BYMONTHDAY": str(day)}, question=question)


def last_day(groups: Groups, language: Language, now: datetime) -> Repeat:
    """`the last day of every month`."""
    return Repeat({"FREQ": "MONTHLY", "BYMONTHDAY": "-1"})


def yearly_day(groups: Groups, language: Language, now: datetime) -> Repeat | None:
    """`every 3 March`."""
    day, month = language.number("ordinal", groups["day"]), language.number("month", groups["month"])
    if day is None or month is None:
        return None
    try:
        datetime(2000, month, day)
    except ValueError:
        return None
    return on_yearday(month, day)


def on_yearday(month: int, day: int) -> Repeat:
    """Yearly on that day; 29 February is left out in most years, which may not be what is meant."""
    question = "In years without 29 February: the 28th, or 1 March?" if (month, day) == (2, 29) else None
    return Repeat({"FREQ": "YEARLY", "BYMONTH": str(month), "BYMONTHDAY": str(day)}, question=question)


def unclear(groups: Groups, language: Language, now: datetime) -> Repeat:
    """`twice a week`, `biweekly`, `every weekend`: no rule follows."""
    return Repeat({}, question="On which days does it repeat?")


def times(groups: Groups, language: Language, now: datetime) -> Count | None:
    """`10 times`."""
    number = language.number("number", groups["number"])
    return Count(times=number) if number else None


def lasting(groups: Groups, language: Language, now: datetime) -> Count | None:
    """`for 6 weeks`."""
    number, unit = language.number("number", groups["number"]), language.name_of("unit", groups["unit"])
    return Count(number=number, unit=unit) if number and unit in _FREQUENCIES else None
