"""Where a message speaks of time, and what that means today."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from functools import lru_cache

from shoestring.errors import UsageError
from shoestring.tasks.when.base import Clock, Found, Language, When
from shoestring.tasks.when.english import ENGLISH
from shoestring.tasks.when.french import FRENCH
from shoestring.tasks.when.german import GERMAN
from shoestring.tasks.when.grammar import CLAUSE_END, alternatives, pieces
from shoestring.tasks.when.other import notice
from shoestring.tasks.when.reading import Context, read
from shoestring.tasks.when.spanish import SPANISH

LANGUAGES = (ENGLISH, GERMAN, FRENCH, SPANISH)
_LONGEST = 10_000  # characters that are searched, about five pages: a message, not a book
_NEIGHBOURS = re.compile(r"[ \t\u00a0,(–—-]{0,4}")


def find(message: str, now: datetime) -> When | None:
    """When the message says that something is due; None where it does not.

    What can be read in two ways comes back with a question instead of a guess; so do several days in one message,
    and words in a language that is not understood.

    Args:
        now: the present moment in the user's time zone.

    Raises:
        UsageError: `now` has no time zone.
    """
    found = find_all(message, now)
    if not found:
        return None
    first, *others = found
    if all(
        (other.due, other.recurrence, other.question) == (first.due, first.recurrence, None)
        for other in others
    ):
        return first
    start, end = first.start, found[-1].end
    named = ", ".join(repr(when.phrase) for when in found)
    dues = tuple(when.due for when in found if when.due is not None)
    question = f"Several times are named: {named}. When is it due?"
    return When(None, None, start, end, message[start:end], question, dues)


def find_all(message: str, now: datetime) -> list[When]:
    """Everything that the message's first 10,000 characters say about time, in their order; see `find`."""
    if now.tzinfo is None:
        raise UsageError("The present moment has no time zone.", "Give `now` the user's: datetime.now(zone).")
    message = message[:_LONGEST]
    language = language_of(message)
    clusters = _clusters(_chosen(_all_pieces(message, language, now), language), message)
    found = []
    for cluster in clusters:
        when = read(cluster, message, now, _context())
        if when is not None:
            found.append(when)
    return sorted([*found, *notice(message)], key=lambda when: when.start)


def language_of(message: str) -> Language | None:
    """The language that most of the message's common words are of; None where two have as many, or none has any."""
    words = set(re.findall(r"\w+", message.lower()))
    counted = sorted(
        ((len(words & language.typical()), language.name) for language in LANGUAGES), reverse=True
    )
    if counted[0][0] == 0 or (len(counted) > 1 and counted[0][0] == counted[1][0]):
        return None
    return next(language for language in LANGUAGES if language.name == counted[0][1])


def _all_pieces(message: str, language: Language | None, now: datetime) -> list[Found]:
    return [
        piece for spoken in LANGUAGES for piece in pieces(message, spoken, now, native=spoken is language)
    ]


def _chosen(found: Iterable[Found], language: Language | None) -> list[Found]:
    """The longest pieces, none over another; between two as long, the message's language or the first."""
    native = language.name if language else ""
    chosen: list[Found] = []
    for piece in sorted(
        found, key=lambda piece: (piece.start - piece.end, piece.language != native, piece.weak)
    ):
        if all(piece.end <= other.start or other.end <= piece.start for other in chosen):
            chosen.append(piece)
    return sorted(chosen, key=lambda piece: piece.start)


def _clusters(found: list[Found], message: str) -> list[list[Found]]:
    """Pieces with nothing but blanks and commas between them belong together; weak ones alone are dropped."""
    clusters: list[list[Found]] = []
    for index, piece in enumerate(found):
        following = found[index + 1] if index + 1 < len(found) else None
        joined = bool(clusters) and _adjacent(message, clusters[-1][-1], piece)
        before = following is not None and _adjacent(message, piece, following)
        kept = _kept(piece, message, joined=joined, before=before)
        if kept is None:
            continue
        if joined:
            clusters[-1].append(kept)
        else:
            clusters.append([kept])
    return [cluster for cluster in clusters if not _is_a_mere_figure(cluster, message)]


def _is_a_mere_figure(cluster: list[Found], message: str) -> bool:
    """`3:16` with nothing beside it that says that it is a time."""
    first, *others = cluster
    return first.weak and not others and isinstance(first.value, Clock) and message[first.start].isdigit()


def _kept(piece: Found, message: str, *, joined: bool, before: bool) -> Found | None:
    if not piece.weak or before or CLAUSE_END.match(message, piece.end):
        return piece
    if not joined or not isinstance(piece.value, Clock):
        return None
    if not piece.value.bare:
        return piece
    question = f"Is {piece.value.hour}:00 meant?"
    return replace(piece, value=replace(piece.value, question=question))


def _adjacent(message: str, first: Found, second: Found) -> bool:
    return _NEIGHBOURS.fullmatch(message, first.end, second.start) is not None


@lru_cache(maxsize=1)
def _context() -> Context:
    repeating, shifting, preceding, unhandled = (
        "|".join(getattr(language, name) for language in LANGUAGES)
        for name in ("repeating", "shifting", "preceding", "unhandled")
    )
    units = alternatives({unit for language in LANGUAGES for unit in language.words["unit"]})
    return Context(repeating, shifting, preceding, unhandled, units)
