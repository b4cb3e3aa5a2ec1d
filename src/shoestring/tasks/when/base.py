"""What the words of a message say about time, and the pieces it is put together from."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import Enum

from shoestring.tasks.base import Moment


@dataclass(frozen=True)
class When:
    """When something is due, as far as the words say it.

    Attributes:
        due: a date where no time was said, else a time in the user's zone; None where the words leave it open.
        recurrence: an RRULE value (RFC 5545) whose first occurrence is `due`, or None.
        start, end: where the words stand in the message.
        phrase: the words.
        question: what to ask where the words can be read in two ways; never a guess instead.
        choices: the readings that the question is about, where they are dates.
    """

    due: Moment | None
    recurrence: str | None
    start: int
    end: int
    phrase: str
    question: str | None = None
    choices: tuple[Moment, ...] = ()

    @property
    def certain(self) -> bool:
        """The words can be read in one way only."""
        return self.question is None


@dataclass(frozen=True)
class Day:
    """A day that words name.

    Attributes:
        day: None where the words leave it open; then there is a question.
        kind: what the words name: `weekday`, `monthday` (a day of some month), `date` (day and month) or `other`.
        part: the part of the day that came with the words (`tonight`), see `Clock.part`.
        time: a moment that came with the words (`in 3 hours`, an ISO time).
        past: the words say that it lies behind (`yesterday`, `last Friday`).
    """

    day: date | None
    question: str | None = None
    choices: tuple[date, ...] = ()
    kind: str = "other"
    part: str = ""
    time: datetime | None = None
    past: bool = False


@dataclass(frozen=True)
class Clock:
    """A time of day that words name.

    Attributes:
        hour: None for a part of the day without an hour (`in the evening`).
        twelve_hours: nothing says whether the hour is before or after noon.
        bare: an hour that no other word marks as one (`at 14 Main Street`).
        part: `morning`, `afternoon`, `evening`, `night`, or empty.
    """

    hour: int | None
    minute: int = 0
    twelve_hours: bool = False
    bare: bool = False
    part: str = ""
    question: str | None = None


@dataclass(frozen=True)
class Repeat:
    """A recurrence that words name: the parts of an RRULE, without its beginning and end.

    Attributes:
        parts: such as `{"FREQ": "WEEKLY", "BYDAY": "MO"}`.
        anchored: the parts alone say which days are meant; else a day must be named beside them.
        part: the part of the day that came with the words (`every evening`), see `Clock.part`.
        question: where the words can be read in two ways.
    """

    parts: Mapping[str, str]
    anchored: bool = True
    part: str = ""
    question: str | None = None


@dataclass(frozen=True)
class Count:
    """How often, or for how long, something repeats: `10 times`, `for 6 weeks`."""

    times: int | None = None
    number: int = 0
    unit: str = ""


class Lead(str, Enum):
    """What the word in front of a day does to it."""

    PLAIN = "plain"  # by, on, or nothing at all: the day itself
    BEFORE = "before"
    UNTIL = "until"  # the end of a recurrence; alone, it is open whether it means `by`
    BY = "by"  # the end of a recurrence; alone, the day itself (German `bis`)
    START = "start"
    AFTER = "after"  # after, since, except: no due date can be computed


Value = Day | Clock | Repeat | Count


@dataclass(frozen=True)
class Found:
    """One piece of a message: the words from `start` to `end` and what they name.

    Attributes:
        weak: so short or so common that it counts only in front of another piece, or at the end of a clause.
    """

    start: int
    end: int
    value: Value
    lead: Lead = Lead.PLAIN
    weak: bool = False
    language: str = ""


Groups = Mapping[str, str]
"""A match's named groups that took part, in lower case."""
Reader = Callable[[Groups, "Language", datetime], Value | None]
"""From a match to what it names; None where the words name nothing after all (`the 45th`)."""


@dataclass(frozen=True)
class Pattern:
    """A form of words and how to read it.

    Attributes:
        template: a regular expression in which `{weekday}`, `{month}`, `{number}`, `{unit}`… stand for a language's
            words and a blank for a bounded run of white space.
        leads: a lead word may stand in front. `needs_lead`: one must.
        weak: see `Found`.
        native: counts only where the message is written in this language.
    """

    template: str
    read: Reader
    leads: bool = True
    needs_lead: bool = False
    weak: bool = False
    native: bool = False


@dataclass(frozen=True)
class Language:
    """The words of one language.

    Attributes:
        words: kind of word → word → value: `weekday` (0 for Monday) and `short` for its abbreviations, `month`,
            `number`, `unit`, `ordinal` (−1 for the last), `relative` (days from today), `daypart`, `period`.
        leads: the words in front of a day, by what they do to it.
        fragments: further regular expressions that templates name.
        common: words that tell that a message is written in this language.
        blocked: words that take the meaning from the next (`Black` before `Friday`).
        twelve_hours: an hour such as 8:30 may be meant after noon.
        weeks_from_sunday: a week may begin on Sunday.
        month_first: 3/4 may be the fourth of March.
        repeating: words that make a recurrence of what follows (`every`).
        shifting: words that, after a day or a time, make another one of it (`the Friday after next`).
        preceding: words that, before it, do the same (`half past 8 pm`).
        unhandled: words that limit what is repeated in a way that is not understood (`except`).
    """

    name: str
    words: Mapping[str, Mapping[str, int | str]]
    leads: Mapping[Lead, str]
    patterns: tuple[Pattern, ...]
    common: frozenset[str]
    repeating: str
    shifting: str
    preceding: str
    unhandled: str
    fragments: Mapping[str, str] = field(default_factory=dict)
    blocked: frozenset[str] = frozenset()
    twelve_hours: bool = False
    weeks_from_sunday: bool = False
    month_first: bool = False

    def typical(self) -> frozenset[str]:
        """Words that tell that a message is written in this language."""
        return self.common.union(
            *(self.words[kind] for kind in ("weekday", "relative", "daypart", "unit", "month"))
        )

    def number(self, kind: str, word: str) -> int | None:
        """What a word stands for, as a number; figures stand for themselves."""
        if figures := re.match(r"[0-9]{1,4}", word):
            return int(figures[0])
        value = self.words[kind].get(_plain(word))
        return value if isinstance(value, int) else None

    def name_of(self, kind: str, word: str) -> str:
        """What a word stands for, by name (`day`, `morning`); empty for none."""
        value = self.words[kind].get(_plain(word))
        return value if isinstance(value, str) else ""


def words(text: str) -> frozenset[str]:
    """The words of a text, each once."""
    return frozenset(text.split())


def _plain(word: str) -> str:
    return " ".join(word.lower().rstrip(".").replace("’", "'").split())
