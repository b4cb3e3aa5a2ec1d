"""From the pieces that stand side by side in a message to when something is due."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from shoestring.tasks.base import Moment
from shoestring.tasks.when import clocks
from shoestring.tasks.when.base import Clock, Count, Day, Found, Lead, Repeat, When
from shoestring.tasks.when.days import say
from shoestring.tasks.when.rules import Rule, anchored


@dataclass(frozen=True)
class Answer:
    """A reading without its place in the message; see `When`."""

    due: Moment | None = None
    recurrence: str | None = None
    question: str | None = None
    choices: tuple[Moment, ...] = ()


_ZONES = r"(?:UTC|GMT|Z|[ECMP][SD]?T|CES?T|EES?T|WES?T|BST|IST|JST|AES?T|MES?Z|MEZ)\b|[+-]\d\d"
"""Names of time zones that may follow an hour: several places share the shorter ones."""

_RANGE = re.compile(
    r"\d(?:st|nd|rd|th|er|\.|º)?(?:\s{1,4}(?:to|and|or|bis|und|oder|et|ou|à|au|y|o|a|al)\s{1,4}|\s{0,4}[-–]\s{0,4})"
    r"(?:the\s{1,4}|le\s{1,4}|el\s{1,4}|zum\s{1,4})?$",
    re.IGNORECASE,
)
"""The beginning of a range whose end the pieces are: `from 3 to` 5 December."""


@dataclass(frozen=True)
class Context:
    """Words around the pieces that change what they mean; regular expressions, see `Language`."""

    repeating: str
    shifting: str
    preceding: str
    unhandled: str
    units: str


def read(cluster: Sequence[Found], message: str, now: datetime, context: Context) -> When | None:
    """What neighbouring pieces say together; None where they name neither a day, a time nor a recurrence."""
    start, end = cluster[0].start, cluster[-1].end
    answer = _answer(cluster, message[start:end], now)
    if answer is None:
        return None
    answer = _in_context(answer, cluster, message, context)
    return When(
        answer.due, answer.recurrence, start, end, message[start:end], answer.question, answer.choices
    )


def _in_context(answer: Answer, cluster: Sequence[Found], message: str, context: Context) -> Answer:
    """The answer, or the question that the words before and after the pieces raise."""
    before, after = message[max(0, cluster[0].start - 40) : cluster[0].start], message[cluster[-1].end :]
    if not answer.recurrence and _ends(before, context.repeating):
        return Answer(question="How does it repeat?")
    if cluster[0].lead is not Lead.PLAIN and _ends(before, context.units):
        return Answer(question="When is it due?")
    phrase = message[cluster[0].start : cluster[-1].end]
    if _ends(before, context.preceding) or _RANGE.search(before) or _ends_a_range(before, phrase):
        return Answer(question="Which day or time is meant?")
    if _begins(after, context.shifting):
        return Answer(question="Which day is meant?")
    if isinstance(answer.due, datetime) and re.match(rf"\s?{_ZONES}", after):
        return replace(answer, due=answer.due.date(), question="In which time zone, and when is that here?")
    if answer.recurrence and _begins(after, context.unhandled):
        return replace(answer, question=answer.question or "From when, until when, or on which days not?")
    return answer


def _ends_a_range(before: str, phrase: str) -> bool:
    """`vom 3.` bis 5. Dezember."""
    begun = re.search(r"\d(?:st|nd|rd|th|er|\.|º)?\s{1,4}$", before)
    return (
        begun is not None
        and re.match(r"(?:bis|au|al|to|until|till|through)\s", phrase, re.IGNORECASE) is not None
    )


def _ends(text: str, pattern: str) -> bool:
    return re.search(rf"\b(?:{pattern})\s{{1,4}}$", text, re.IGNORECASE) is not None


def _begins(text: str, pattern: str) -> bool:
    return re.match(rf"[\s,]{{0,4}}(?:{pattern})\b", text, re.IGNORECASE) is not None


def _answer(cluster: Sequence[Found], phrase: str, now: datetime) -> Answer | None:
    days = [(found.lead, found.value) for found in cluster if isinstance(found.value, Day)]
    repeats = [found.value for found in cluster if isinstance(found.value, Repeat)]
    counts = [found.value for found in cluster if isinstance(found.value, Count)]
    named_clocks = [found.value for found in cluster if isinstance(found.value, Clock)]
    clock, question = _clock(
        named_clocks, [*(day.part for _, day in days), *(repeat.part for repeat in repeats)]
    )
    if not days and not repeats and clock is None and question is None:
        return None
    if any(found.lead is Lead.AFTER for found in cluster):
        return Answer(question=f"No day follows from {phrase!r}. When is it due?")
    if repeats:
        return _repeated(repeats, days, counts, clock, question, now)
    if days:
        return _once(days, clock, question, phrase, now)
    return _today(clock, question, now)


def _clock(named: list[Clock], day_parts: list[str]) -> tuple[Clock | None, str | None]:
    """The time of day that was named, if one was, and what must be asked about it."""
    hours = [clock for clock in named if clock.hour is not None or clock.question]
    parts = {part for part in (*(clock.part for clock in named), *day_parts) if part}
    if not hours:
        return None, None
    if len(hours) > 1 or len(parts) > 1:
        return None, "Which time is meant?"
    placed = clocks.in_part(hours[0], parts.pop() if parts else "")
    if placed is None:
        return None, "Which time is meant?"
    if question := clocks.question_about(placed):
        return None, question
    return placed, None


def _today(clock: Clock | None, question: str | None, now: datetime) -> Answer:
    """A time without a day: today's, unless it has passed."""
    if clock is None:
        return Answer(question=question)
    moment, question = clocks.at(now.date(), clock, now)
    if moment is None or moment >= now:
        return Answer(moment, question=question)
    tomorrow, _ = clocks.at(now.date() + timedelta(1), clock, now)
    asked = f"{moment:%H:%M} has passed today. Is tomorrow meant?"
    return Answer(question=asked, choices=(tomorrow,) if tomorrow else ())


def _once(
    days: list[tuple[Lead, Day]], clock: Clock | None, question: str | None, phrase: str, now: datetime
) -> Answer:
    day = _one_day([day for _, day in days])
    leads = {lead for lead, _ in days}
    if day is None:
        return Answer(question=f"{phrase!r} names different days. Which one is meant?")
    if day.day is None:
        return Answer(question=day.question, choices=day.choices)
    if leads & {Lead.UNTIL, Lead.START}:
        return Answer(question=f"Is it due on {say(day.day)}?", choices=(day.day,))
    if day.time is not None:
        due: Moment | None = day.time
        if clock is not None and (clock.hour, clock.minute) != (day.time.hour, day.time.minute):
            return Answer(question="Which time is meant?")
    elif clock is not None:
        due, question = clocks.at(day.day, clock, now)
    elif Lead.BEFORE in leads and question is None:
        eve = day.day - timedelta(1)
        return Answer(question=f"Is {say(eve)} the last day for it?", choices=(eve, day.day))
    else:
        due = None
    return _unless_passed(day.day if due is None else due, question, now)


def _unless_passed(due: Moment, question: str | None, now: datetime) -> Answer:
    passed = due < now if isinstance(due, datetime) else due < now.date()
    if passed:
        day = due.date() if isinstance(due, datetime) else due
        question = question or f"{say(day)} has passed. When is it due?"
    return Answer(due, question=question)


def _one_day(days: list[Day]) -> Day | None:
    """The day that all of them name; a weekday beside a date only confirms it. None where they differ."""
    exact = [day for day in days if day.kind != "weekday"] or days[:1]
    chosen = exact[0]
    for other in days:
        if other is chosen:
            continue
        if other.kind == "weekday" and chosen.day is not None:
            readings = [day for day in (other.day, *other.choices) if day]
            if chosen.day.weekday() not in {day.weekday() for day in readings}:
                return None
        elif other.day != chosen.day or chosen.day is None:
            return None
    return chosen


def _repeated(
    repeats: list[Repeat],
    days: list[tuple[Lead, Day]],
    counts: list[Count],
    clock: Clock | None,
    question: str | None,
    now: datetime,
) -> Answer:
    repeats = _merged(repeats)
    repeat = repeats[0]
    if len(repeats) > 1 or len(counts) > 1 or not repeat.parts:
        return Answer(question=repeat.question or "How does it repeat?")
    begins = [day for lead, day in days if lead is Lead.START]
    ends = [day for lead, day in days if lead in (Lead.UNTIL, Lead.BY)]
    named = [day for lead, day in days if lead in (Lead.PLAIN, Lead.BEFORE) and not _only_a_part(day)]
    if len(begins) > 1 or len(ends) > 1 or len(named) > 1 or (named and repeat.anchored):
        return Answer(question="How does it repeat?")
    if not repeat.anchored:
        repeat, begins = anchored(repeat, named[0] if named else None, begins)
    begin = _begin(begins, now)
    if begin is None or not repeat.anchored:
        asked = repeat.question or (begins[0].question if begins else None) or "On which day?"
        return Answer(recurrence=Rule(repeat.parts).text(), question=asked)
    return _occurrences(repeat, begin, ends, counts, clock, question, now)


def _merged(repeats: list[Repeat]) -> list[Repeat]:
    """`weekly` and `on Mondays` are one recurrence."""
    if len(repeats) == 2 and not repeats[0].anchored:
        first, second = repeats
        if first.parts["FREQ"] == second.parts.get("FREQ") and "INTERVAL" not in second.parts:
            return [replace(second, parts={**first.parts, **second.parts})]
    return repeats


def _only_a_part(day: Day) -> bool:
    """`this evening`, beside a recurrence, says only the part of the day."""
    return bool(day.part)


def _begin(begins: list[Day], now: datetime) -> date | None:
    return max(begins[0].day, now.date()) if begins and begins[0].day else None if begins else now.date()


def _occurrences(
    repeat: Repeat,
    begin: date,
    ends: list[Day],
    counts: list[Count],
    clock: Clock | None,
    question: str | None,
    now: datetime,
) -> Answer:
    rule = Rule(repeat.parts)
    due, asked = rule.first(begin, clock, now)
    question = repeat.question or question or asked
    if due is None:
        return Answer(recurrence=rule.text(), question=question)
    if ends and ends[0].day is None:
        question = question or "Until which day, that day included?"
    elif ends and ends[0].day is not None:
        rule = rule.until(ends[0].day, due)
        first_day = due.date() if isinstance(due, datetime) else due
        if ends[0].day < first_day:
            return Answer(question=f"It would end before it begins, on {say(ends[0].day)}. Until when?")
    elif counts:
        rule = rule.counted(counts[0], due)
    return Answer(due, rule.text(), question)
