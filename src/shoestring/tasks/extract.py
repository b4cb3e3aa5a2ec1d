"""From a message to drafts of tasks. Whatever understands more (a model) takes the same door: `Extractor`."""

from __future__ import annotations

import warnings
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from shoestring.errors import TaskError, UsageError
from shoestring.tasks.base import Draft, Moment
from shoestring.tasks.when import When, find

_TITLE_CHARACTERS = 200


class Extractor(Protocol):
    """Turns what a person said into drafts."""

    def extract(self, message: str, now: datetime) -> list[Draft]:
        """The tasks in a message, in its order; none where it holds none.

        Dates and recurrences are not the extractor's to compute: it points at words, and `when.find` reads them.

        Args:
            now: the present moment in the user's time zone.
        """
        ...


class PlainExtractor:
    """Understands nothing but time: the message is the task."""

    def extract(self, message: str, now: datetime) -> list[Draft]:
        """One draft with the message's first line as its title; none for an empty message."""
        first, _, rest = message.strip().partition("\n")
        if not first:
            return []
        title = " ".join(first.split())
        if len(title) > _TITLE_CHARACTERS:
            title, rest = f"{title[: _TITLE_CHARACTERS - 1]}…", message
        return [dated(Draft(title, description=rest.strip(), said=message), find(message, now))]


def dated(draft: Draft, when: When | None) -> Draft:
    """The draft with what its words say about time, and what they leave to be asked."""
    if when is None:
        return draft
    questions = (*draft.questions, when.question) if when.question else draft.questions
    return replace(draft, due=when.due, recurrence=when.recurrence, questions=questions)


def due_in(words: str, now: datetime) -> tuple[Moment | None, str | None]:
    """What words that are nothing but a time say: when it is due, and how it repeats.

    Raises:
        UsageError: they are more or less than that, or can be read in two ways.
    """
    when = find(words, now)
    if when is None or when.phrase != words.strip():
        raise UsageError(
            f"{words!r} is no time that can be read.",
            "Write it like 2026-11-20, tomorrow at 15:00, or every Monday at 9 am.",
        )
    if when.question:
        raise UsageError(
            f"{words!r} can be read in more than one way. {when.question}", "Say it more closely."
        )
    return when.due, when.recurrence


def now_here() -> datetime:
    """The present moment in this machine's time zone, by its name: with its changes of the clock.

    A machine that names no zone runs in UTC, as POSIX has it.

    Raises:
        TaskError: the machine does not tell its zone.
    """
    from tzlocal import reload_localzone

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about a machine that names no zone, or two of them
            return datetime.now(reload_localzone())
    except (LookupError, ValueError, OSError) as error:
        raise TaskError(
            f"This machine's time zone is not known: {error}",
            "Name it in the environment, such as TZ=Europe/Berlin.",
        ) from error
