"""Notices that a model repeats itself without end, while its text streams.

A text loops when its end is one unit again and again, to the letter, or but for one number that counts ("41. Calm",
"42. Calm"). The period is found as in LZ77: the last place where the same `_SEED` characters stood says how far back
to compare, and from then on each new character costs one comparison.

How long a repetition may go on depends on what is repeated, because people and programs repeat things on purpose, too:
rulers of dashes for pages, rows of zeros, `<td></td>` and "ha ha ha" for a line or two, lines of code some times, whole
sentences a few. The limits are measured: `tests/engines/test_repetition.py` has what must and what must not be noticed,
`dev/LOG.md` the figures.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from msgspec import structs

from shoestring.engines.base import Event, Finished, Token

_SEED = 8  # characters that must stand somewhere before: few enough for short units, many enough to be rare
_LONGEST_PERIOD = 2000  # characters; a loop of a longer unit than this is noticed by nobody within an answer


class _Limit(NamedTuple):
    """How much repetition is too much: both must be reached.

    Attributes:
        copies: of the unit, the first one included.
        length: bytes of UTF-8 in all copies together (bytes, so that scripts with more in a character count alike).
    """

    copies: int
    length: int


_PROSE = _Limit(copies=5, length=200)
_LINE = _Limit(copies=5, length=320)
_WORD = _Limit(copies=12, length=320)
_NUMBER = _Limit(copies=40, length=280)
_SIGNS = _Limit(copies=24, length=640)
_COUNTED = _Limit(copies=60, length=480)


class LoopWatch:
    """Watches one text as it grows."""

    def __init__(self) -> None:
        self._verbatim = _Period()
        self._counted = _Period()
        self._in_number = False

    def push(self, text: str) -> bool:
        """Add new text; True as soon as the whole ends in a loop. Every character costs the same, however many came."""
        looping = False
        for character in text:
            looping |= self._push(character)
        return looping

    def _push(self, character: str) -> bool:
        looping = self._verbatim.push(character) and self._verbatim.reached(_limit(self._verbatim.unit))
        number, self._in_number = character.isdigit(), character.isdigit() and self._in_number
        if not self._in_number:  # a number is one digit, whatever it is
            counting = self._counted.push("0" if number else character)
            looping |= counting and self._counts() and self._counted.reached(_COUNTED)
        self._in_number = number
        return looping

    def _counts(self) -> bool:
        """Whether the unit, its numbers taken for one, has words and a single number."""
        unit = self._counted.unit
        return unit.count("0") == 1 and len(_letters(unit)) >= 2


class UntilItLoops:
    """Stands between an engine and one prompt's events: cancels a generation that loops, and names it so at the end.

    For engines that are only told to stop. The `Finished` of one that was stopped here has the reason `repetition`.
    """

    def __init__(self, emit: Callable[[Event], None], cancelled: Callable[[], bool]) -> None:
        self._emit = emit
        self._cancelled = cancelled
        self._watch = LoopWatch()
        self._looping = False

    def emit(self, event: Event) -> None:
        """Pass an event on; of a generation that loops, the last one under its own reason."""
        if isinstance(event, Token):
            self._looping = self._looping or self._watch.push(event.text)
        elif isinstance(event, Finished) and self._looping:
            event = structs.replace(event, reason="repetition")
        self._emit(event)

    def cancelled(self) -> bool:
        """Whether the engine is to stop."""
        return self._looping or self._cancelled()


class _Period:
    """The period of the end of a growing text."""

    def __init__(self) -> None:
        self._text = ""
        self._dropped = 0  # characters that are no longer in `_text`
        self._last_at: dict[str, int] = {}  # for each seed, how many characters there were when it ended last
        self._period = 0
        self._matched = 0  # characters at the end that equal those one period before

    @property
    def unit(self) -> str:
        """What is being repeated."""
        return self._text[-self._period :]

    def push(self, character: str) -> bool:
        """Add a character; whether the end is as many copies as the lowest of all limits asks for."""
        self._text += character
        at = self._dropped + len(self._text)
        if self._period and self._text[-1 - self._period] == character:
            self._matched += 1
        else:
            self._period = self._matched = 0
        seed = self._text[-_SEED:]
        if not self._period and len(seed) == _SEED:
            self._begin(at - self._last_at.get(seed, at))
        self._last_at[seed] = at
        if len(self._text) > 4 * _LONGEST_PERIOD:
            self._forget()
        return self._period > 0 and self._matched >= (_PROSE.copies - 1) * self._period

    def reached(self, limit: _Limit) -> bool:
        """Whether the copies at the end are as many, and as long together, as a limit says."""
        repeated = self._matched + self._period
        if repeated < limit.copies * self._period or 4 * repeated < limit.length:
            return False
        return repeated * len(self.unit.encode("utf-8", "replace")) >= limit.length * self._period

    def _begin(self, period: int) -> None:
        """Compare from now on with what stood so many characters before; 0 for nothing."""
        if 0 < period <= _LONGEST_PERIOD:
            self._period, self._matched = period, _SEED

    def _forget(self) -> None:
        """Keep twice the longest period and its seeds: memory is bounded however long the text becomes."""
        self._dropped += len(self._text) - 2 * _LONGEST_PERIOD
        self._text = self._text[-2 * _LONGEST_PERIOD :]
        self._last_at = {seed: at for seed, at in self._last_at.items() if at > self._dropped}


def _limit(unit: str) -> _Limit:
    """The limit for a unit by what it says: a line has many different letters, a word some, a ruler none; prose, unlike
    code and markup, is nearly all letters and white space."""
    n_letters = len(_letters(unit))
    if n_letters >= 8:
        n_plain = sum(character.isalpha() or character.isspace() for character in unit)
        return _PROSE if n_plain >= 0.85 * len(unit) else _LINE
    if n_letters >= 2:
        return _WORD
    return _NUMBER if any(character.isdigit() for character in unit) else _SIGNS


def _letters(text: str) -> set[str]:
    return {character for character in text.casefold() if character.isalpha()}
