"""From the words for a day to the day: arithmetic on the calendar, and a question where there are two readings."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from dateutil.relativedelta import relativedelta

from shoestring.tasks.when.base import Day, Groups, Language

_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_JUST_PASSED_DAYS = 90
"""A day without a year that passed so lately may have been meant as past; later, it means next year's."""
_LEAP_CYCLE_YEARS = 8  # 29 February may be so far off, around a year such as 2100


def say(day: date) -> str:
    """`Friday 13 November 2026`, whatever the machine's locale."""
    return f"{_WEEKDAYS[day.weekday()]} {day.day} {_MONTHS[day.month - 1]} {day.year}"


def either(days: set[date], kind: str) -> Day:
    """The day that all readings agree on, else the question which one is meant."""
    first, *others = sorted(days)
    if not others:
        return Day(first, kind=kind)
    named = " or ".join(say(day) for day in (first, *others))
    return Day(None, f"Which day is meant: {named}?", (first, *others), kind)


def relative(groups: Groups, language: Language, now: datetime) -> Day | None:
    """`tomorrow`."""
    days = language.number("relative", groups["relative"])
    return None if days is None else Day(now.date() + timedelta(days), past=days < 0)


def today_part(groups: Groups, language: Language, now: datetime) -> Day:
    """`tonight`, `this afternoon`: today, and a part of the day."""
    return Day(now.date(), part=language.name_of("today", groups["today"]))


def _weekday(groups: Groups, language: Language) -> int:
    return weekday_number(groups["weekday"], language)


def weekday_number(word: str, language: Language) -> int:
    """0 for Monday to 6, from a weekday's name or its abbreviation."""
    found = language.number("weekday", word)
    short = language.number("short", word) if found is None else found
    if short is None:
        raise ValueError(f"{word!r} is no weekday in {language.name}")
    return short


def weekday(groups: Groups, language: Language, now: datetime) -> Day:
    """`Friday`: the next one; said on a Friday it may be today or in a week."""
    ahead = (_weekday(groups, language) - now.weekday()) % 7
    coming = now.date() + timedelta(ahead)
    return either({coming} if ahead else {coming, coming + timedelta(7)}, "weekday")


def this_weekday(groups: Groups, language: Language, now: datetime) -> Day:
    """`this Friday`: the one of this week, today included; if that has passed, the question is whether next week's."""
    ahead = _weekday(groups, language) - now.weekday()
    day = now.date() + timedelta(ahead % 7)
    if ahead < 0:
        return Day(None, f"Is {say(day)} meant?", (day,), "weekday")
    return Day(day, kind="weekday")


def coming_weekday(groups: Groups, language: Language, now: datetime) -> Day:
    """`the coming Friday`: the first one after today."""
    return Day(_first_after(now.date(), _weekday(groups, language)), kind="weekday")


def next_weekday(groups: Groups, language: Language, now: datetime) -> Day:
    """`next Friday`: to some the first one after today, to others that of next week."""
    wanted = _weekday(groups, language)
    first = _first_after(now.date(), wanted)
    return either({first, *_in_week(now.date(), wanted, 1, language)}, "weekday")


def weekday_next_week(groups: Groups, language: Language, now: datetime) -> Day:
    """`Friday next week`."""
    return either(_in_week(now.date(), _weekday(groups, language), 1, language), "weekday")


def last_weekday(groups: Groups, language: Language, now: datetime) -> Day:
    """`last Friday`: it lies behind."""
    behind = (now.weekday() - _weekday(groups, language) - 1) % 7 + 1
    return Day(now.date() - timedelta(behind), kind="weekday", past=True)


def _first_after(today: date, wanted: int) -> date:
    return today + timedelta((wanted - today.weekday() - 1) % 7 + 1)


def _in_week(today: date, wanted: int, weeks: int, language: Language) -> set[date]:
    """That weekday so many weeks on, in weeks from Monday (ISO 8601) and, where people count so, from Sunday."""
    monday = today - timedelta(today.weekday()) + timedelta(weeks=weeks)
    days = {monday + timedelta(wanted)}
    if language.weeks_from_sunday:
        sunday = today - timedelta((today.weekday() + 1) % 7) + timedelta(weeks=weeks)
        days.add(sunday + timedelta((wanted + 1) % 7))
    return days


def distance(groups: Groups, language: Language, now: datetime) -> Day | None:
    """`in two weeks`, `in 3 hours`."""
    return _shifted(groups, language, now, 1)


def ago(groups: Groups, language: Language, now: datetime) -> Day | None:
    """`two weeks ago`."""
    return _shifted(groups, language, now, -1)


def _shifted(groups: Groups, language: Language, now: datetime, sign: int) -> Day | None:
    number, unit = language.number("number", groups["number"]), language.name_of("unit", groups["unit"])
    if number is None or not unit:
        return None
    return shifted(now, sign * number, unit)


def shifted(now: datetime, number: int, unit: str) -> Day | None:
    """So many units from now; hours and minutes elapse on the clock of UTC, days and longer keep the wall clock's."""
    try:
        if unit in {"hour", "minute"}:
            span = timedelta(hours=number) if unit == "hour" else timedelta(minutes=number)
            moment = datetime.fromtimestamp(now.timestamp() + span.total_seconds(), now.tzinfo)
            moment = moment.replace(second=0, microsecond=0)
            return Day(moment.date(), time=moment, past=number < 0)
        return Day(now.date() + _delta(number, unit), past=number < 0)
    except (OverflowError, ValueError):
        return Day(None, "That is further away than calendars reach. When is it due?")


def _delta(number: int, unit: str) -> relativedelta:
    return {
        "day": relativedelta(days=number),
        "week": relativedelta(weeks=number),
        "month": relativedelta(months=number),
        "quarter": relativedelta(months=3 * number),
        "year": relativedelta(years=number),
    }[unit]


def half_hour(groups: Groups, language: Language, now: datetime) -> Day | None:
    """`in half an hour`."""
    return shifted(now, 30, "minute")


def end_of_this(groups: Groups, language: Language, now: datetime) -> Day:
    """`the end of the month`."""
    return _end(now.date(), language.name_of("period", groups["period"]))


def end_of_next(groups: Groups, language: Language, now: datetime) -> Day:
    """`the end of next month`."""
    period = language.name_of("period", groups["period"])
    return _end(_start(now.date(), period) + _delta(1, period), period)


def start_of_next(groups: Groups, language: Language, now: datetime) -> Day:
    """`the beginning of next month`."""
    period = language.name_of("period", groups["period"])
    day = _start(now.date(), period) + _delta(1, period)
    if period == "week" and language.weeks_from_sunday:
        return either({day, day - timedelta(1)}, "other")
    return Day(day)


def _start(today: date, period: str) -> date:
    if period == "week":
        return today - timedelta(today.weekday())
    if period == "day":
        return today
    first_month = {"month": today.month, "quarter": (today.month - 1) // 3 * 3 + 1, "year": 1}[period]
    return date(today.year, first_month, 1)


def _end(day: date, period: str) -> Day:
    last = _start(day, period) + _delta(1, period) - timedelta(1)
    if period == "week":  # the working week ends on Friday
        return either({last, last - timedelta(2)} if day <= last - timedelta(2) else {last}, "other")
    return Day(last)


def end_of_month(groups: Groups, language: Language, now: datetime) -> Day | None:
    """`the end of June`: of this year, or of the next if it has passed."""
    month = language.number("month", groups["month"])
    if month is None:
        return None
    year = int(groups["year"]) if "year" in groups else now.year
    last = date(year, month, 1) + relativedelta(months=1, days=-1)
    if "year" not in groups and last < now.date():
        last = date(year + 1, month, 1) + relativedelta(months=1, days=-1)
    return Day(last, kind="date")


def vague(groups: Groups, language: Language, now: datetime) -> Day:
    """`next week`, `in June`, `at the weekend`: a stretch of days."""
    return Day(None, "Which day is meant?")


def day_of_month(groups: Groups, language: Language, now: datetime) -> Day | None:
    """`the 3rd`: the next one; on the 3rd itself it may be today or in a month."""
    wanted = language.number("ordinal", groups["day"])
    if wanted is None or not 1 <= wanted <= 31:
        return None
    first = now.date().replace(day=1)
    days = [day for months in range(4) if (day := _nth(first + relativedelta(months=months), wanted))]
    ahead = [day for day in days if day >= now.date()]
    return either(set(ahead[:2]) if ahead[0] == now.date() else {ahead[0]}, "monthday")


def weekday_and_day(groups: Groups, language: Language, now: datetime) -> Day | None:
    """`Friday the 13th`: the next 13th, if that is a Friday."""
    day = day_of_month(groups, language, now)
    if day is None:
        return None
    if day.day is None or day.day.weekday() != _weekday(groups, language):
        return Day(None, "Weekday and day do not belong together. Which day is meant?", day.choices)
    return day


def day_of_next_month(groups: Groups, language: Language, now: datetime) -> Day | None:
    """`the 3rd of next month`."""
    wanted = language.number("ordinal", groups["day"])
    first = now.date().replace(day=1) + relativedelta(months=1)
    if wanted is None or not 1 <= wanted <= 31:
        return None
    day = _nth(first, wanted)
    return Day(day, kind="date") if day else Day(None, f"{_MONTHS[first.month - 1]} has no day {wanted}.")


def _nth(first: date, day: int) -> date | None:
    try:
        return first.replace(day=day)
    except ValueError:
        return None


def weekday_of_month(groups: Groups, language: Language, now: datetime) -> Day | None:
    """`the first Monday of June`, `… of next month`."""
    nth = language.number("ordinal", groups["ordinal"])
    if nth is None or not -1 <= nth <= 4 or nth == 0:
        return None
    if "month" not in groups:
        return Day(_nth_weekday(now.date().replace(day=1) + relativedelta(months=1), groups, nth, language))
    month = language.number("month", groups["month"])
    if month is None:
        return None
    day = _nth_weekday(date(now.year, month, 1), groups, nth, language)
    if day < now.date():
        day = _nth_weekday(date(now.year + 1, month, 1), groups, nth, language)
    return Day(day, kind="date")


def _nth_weekday(first: date, groups: Groups, nth: int, language: Language) -> date:
    wanted = _weekday(groups, language)
    if nth > 0:
        return first + timedelta((wanted - first.weekday()) % 7 + 7 * (nth - 1))
    last = first + relativedelta(months=1, days=-1)
    return last - timedelta((last.weekday() - wanted) % 7)


def day_and_month(groups: Groups, language: Language, now: datetime) -> Day | None:
    """`3 March`, `March 3rd, 2027`."""
    day, month = language.number("ordinal", groups["day"]), language.number("month", groups["month"])
    if day is None or month is None or not 1 <= day <= 31:
        return None
    return calendar_day(groups.get("year"), month, day, now)


def calendar_day(year: str | None, month: int, day: int, now: datetime) -> Day | None:
    """A day with its month; without a year the next one, and a question if it has only just passed."""
    if year:
        full = int(year) + (2000 if len(year) == 2 else 0)
        found = _date(full, month, day)
        return Day(found, kind="date") if found else _no_such_day(day, month)
    if not any(_date(y, month, day) for y in (2000, 2001)):
        return _no_such_day(day, month)
    this_year = _date(now.year, month, day)
    if this_year and this_year >= now.date():
        return Day(this_year, kind="date")
    later = [_date(now.year + years, month, day) for years in range(1, _LEAP_CYCLE_YEARS + 1)]
    following = next(found for found in later if found)
    just_passed = this_year and (now.date() - this_year).days <= _JUST_PASSED_DAYS
    if just_passed or following.year > now.year + 1:
        return Day(None, f"Is {say(following)} meant?", (following,), "date")
    return Day(following, kind="date")


def _no_such_day(day: int, month: int) -> Day:
    return Day(None, f"{_MONTHS[month - 1]} has no such day {day}. Which day is meant?", kind="date")


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def iso_day(groups: Groups, language: Language, now: datetime) -> Day | None:
    """`2026-11-20` (ISO 8601)."""
    found = _date(int(groups["year"]), int(groups["month"]), int(groups["day"]))
    return Day(found, kind="date") if found else Day(None, "There is no such date. Which day is meant?")


def iso_moment(groups: Groups, language: Language, now: datetime) -> Day | None:
    """`2026-11-20T15:00+01:00`, shown on the user's clock."""
    try:
        moment = datetime.fromisoformat(groups["moment"].upper().replace("Z", "+00:00"))
        moment = moment.replace(tzinfo=now.tzinfo) if moment.tzinfo is None else moment.astimezone(now.tzinfo)
    except (ValueError, OverflowError):
        return Day(None, "There is no such date. Which day is meant?")
    return Day(moment.date(), kind="date", time=moment)


def figures(groups: Groups, language: Language, now: datetime) -> Day | None:
    """`3/4`, `3.4.2027`: day first, or month first where people write so; a question where it may be either."""
    first, second = int(groups["first"]), int(groups["second"])
    year = groups.get("year")
    by_day = calendar_day(year, second, first, now) if 1 <= second <= 12 and 1 <= first <= 31 else None
    if not language.month_first or groups.get("separator") == ".":
        return by_day
    by_month = calendar_day(year, first, second, now) if 1 <= first <= 12 and 1 <= second <= 31 else None
    if by_day is None or by_month is None or by_day.day == by_month.day:
        return by_day or by_month
    readings = {day for found in (by_day, by_month) for day in (found.day, *found.choices) if day}
    return either(readings, "date") if len(readings) > 1 else Day(None, "Which day is meant?")
