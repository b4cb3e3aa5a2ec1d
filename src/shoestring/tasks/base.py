"""What a task is: the one record that extraction makes, the store keeps and the command line shows."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from enum import Enum

Moment = date | datetime
"""A day, or a time with its zone."""
ID_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32 in small letters (https://www.crockford.com/base32.html): nothing that reads like 0 or 1."""
ID_LENGTH = 12
_LOOKALIKES = str.maketrans("oil", "011")


def utc_now() -> datetime:
    """This moment, to the microsecond, as every timestamp of a task is kept."""
    return datetime.now(timezone.utc)


def new_id() -> str:
    """Twelve random characters (60 bits): among a million tasks two are alike with a chance of 4 in 10 million."""
    return "".join(secrets.choice(ID_ALPHABET) for _ in range(ID_LENGTH))


class Priority(str, Enum):
    """How much a task matters: the four levels of most trackers, lowest first."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    URGENT = "urgent"

    @property
    def rank(self) -> int:
        """0 for low to 3 for urgent, to sort by."""
        return list(Priority).index(self)


class Status(str, Enum):
    """Whether a task is still to be done."""

    OPEN = "open"
    DONE = "done"


@dataclass(frozen=True)
class Draft:
    """What was understood of a message, before anything is kept.

    Attributes:
        title: one line.
        description: more of it, or empty.
        due: a date where no time was said, else a time with its zone.
        recurrence: an RRULE value (RFC 5545, section 3.3.10) such as `FREQ=WEEKLY;BYDAY=MO`; `due` is its first
            occurrence.
        tags: lower case, in the order they were said.
        questions: what must be asked before the task is clear.
        said: the message it came from.
    """

    title: str
    description: str = ""
    due: Moment | None = None
    recurrence: str | None = None
    priority: Priority = Priority.NORMAL
    tags: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()
    said: str = ""


@dataclass(frozen=True)
class Task(Draft):
    """A draft that is kept.

    Attributes:
        id: made by whoever adds it, so that adding twice is adding once; people may type its beginning.
        created_at, updated_at, done_at: UTC.
    """

    id: str = field(default_factory=new_id)
    status: Status = Status.OPEN
    created_at: datetime = field(default_factory=utc_now)
    updated_at: datetime = field(default_factory=utc_now)
    done_at: datetime | None = None

    @classmethod
    def of(cls, draft: Draft) -> Task:
        """A draft as a new task, with an id of its own."""
        return cls(**{name: getattr(draft, name) for name in Draft.__dataclass_fields__})


def id_as_typed(text: str) -> str:
    """An id, or its beginning, as a person may type it: capitals, and o, i, l for 0 and 1, are understood."""
    return text.strip().lower().translate(_LOOKALIKES)
