"""From a language's templates to regular expressions, and from a message to the pieces they find."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import lru_cache

from shoestring.tasks.when.base import Found, Language, Lead, Pattern

# Nothing that continues a word, a number, a path, an address or a possessive ("Friday's report").
_BEFORE = r"(?<![\w@#/’'])(?<!\d[.,:–-])"
_AFTER = r"(?![\w@%]|['’]s\b|[-/.:]\w|,\d)"
_CLAUSE_WORDS = (
    "and|or|at|by|before|on|to|for|please|with|via|if|when|because|until|from|then|but|in|is|"
    "und|oder|um|bis|bitte|mit|für|et|ou|à|avec|pour|puis|y|e|o|a|con|para|por"
)
CLAUSE_END = re.compile(rf"\s{{0,4}}(?:$|[.,;:!?)\]\n–—]|-\s|(?:{_CLAUSE_WORDS})\b)", re.IGNORECASE)
_BLANKS = {" ": r"\s{1,4}", "~": r"\s{0,4}"}


def pieces(message: str, language: Language, now: datetime, *, native: bool) -> Iterator[Found]:
    """Everything in a message that this language's patterns read, overlapping or not.

    Args:
        native: the message is written in this language.
    """
    for pattern, expression in _compiled(language):
        if pattern.native and not native:
            continue
        for match in expression.finditer(message):
            groups = {name: text.lower() for name, text in match.groupdict().items() if text is not None}
            if _previous_word(message, match.start()) in language.blocked:
                continue
            value = pattern.read(groups, language, now)
            if value is not None:
                yield Found(match.start(), match.end(), value, _lead(groups), pattern.weak, language.name)


def _lead(groups: dict[str, str]) -> Lead:
    return next((lead for lead in Lead if f"lead_{lead.value}" in groups), Lead.PLAIN)


def _previous_word(message: str, start: int) -> str:
    words = re.findall(r"\w+", message[max(0, start - 20) : start])
    return words[-1].lower() if words else ""


@lru_cache(maxsize=16)
def _expressions(name: str) -> dict[str, re.Pattern[str]]:
    return {}


def _compiled(language: Language) -> Iterator[tuple[Pattern, re.Pattern[str]]]:
    """The language's patterns with their regular expressions, each compiled once."""
    known = _expressions(language.name)
    for pattern in language.patterns:
        key = f"{pattern.leads:d}{pattern.needs_lead:d}{pattern.template}"
        if key not in known:
            known[key] = re.compile(_source(pattern, language), re.IGNORECASE)
        yield pattern, known[key]


def _source(pattern: Pattern, language: Language) -> str:
    lead = ""
    if pattern.leads:
        kinds = (f"(?P<lead_{kind.value}>{_spaced(words)})" for kind, words in language.leads.items())
        lead = f"(?:(?:{'|'.join(kinds)}){_spaced(language.fragments['after_lead'])})"
        lead += "" if pattern.needs_lead else "?"
    body = re.sub(r"\{([A-Za-z]+)\}", lambda name: _fragment(name[1], language), _spaced(pattern.template))
    return f"{_BEFORE}{lead}(?:{body}){_AFTER}"


def _spaced(template: str) -> str:
    return "".join(_BLANKS.get(letter, letter) for letter in template)


def _fragment(name: str, language: Language) -> str:
    """The regular expression that a name in a template stands for, its text in a group of that name."""
    if name in language.fragments:
        return _spaced(language.fragments[name])
    words = language.words
    figures_or = {
        "number": rf"\d{{1,4}}|{alternatives(words['number'])}",
        "hour": r"\d{1,2}",
        "minute": r"[0-5]\d",
        "year": r"\d{4}",
    }
    if name in figures_or:
        return f"(?P<{name}>{figures_or[name]})"
    suffix = language.fragments["suffix"]
    any_day = rf"(?:{alternatives([*words['weekday'], *words['short']])})\.?"
    plural = f"(?:{alternatives(words['plural'])})"
    special = {
        "anyday": f"(?P<weekday>{any_day})",
        "lastday": f"(?P<last>{any_day})",
        "short": rf"(?P<weekday>{alternatives(words['short'])})\.?",
        "weekdays": f"(?P<weekdays>{_list(any_day, language)})",
        "plurals": f"(?P<plurals>{_list(plural, language)})",
        "day": rf"(?P<day>\d{{1,2}})(?:{suffix})?",
        "nth": rf"(?P<day>\d{{1,2}}(?:{suffix})|{alternatives(words['ordinal'])})",
        "ordinal": rf"(?P<ordinal>\d(?:{suffix})|{alternatives(words['ordinal'])})",
        "hourword": rf"(?P<hour>\d{{1,2}}|{alternatives(words['number'])})",
        "Month": f"(?P<month>{alternatives(words['month'])})",
    }
    return special[name] if name in special else f"(?P<{name}>{alternatives(words[name])})"


def _list(item: str, language: Language) -> str:
    return rf"{item}(?:{_spaced(language.fragments['joiner'])}{item}){{0,6}}"


def alternatives(words: Iterable[str]) -> str:
    """A regular expression for any of the words, the longest first."""
    longest_first = sorted(words, key=lambda word: (-len(word), word))
    return "|".join(re.escape(word).replace(r"\ ", r"\s{1,4}").replace("'", "['’]") for word in longest_first)
