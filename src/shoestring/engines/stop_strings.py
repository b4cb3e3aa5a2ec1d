"""Text that ends before a stop string, whose pieces may come one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from shoestring.engines.base import Token, TokenLogprob


class StoppableText:
    """Passes text on as it comes, but holds back an end that may be the beginning of a stop string.

    The log-probabilities of what is held back wait with it. Every one that was pushed is passed on, at the latest
    by `finish`: those of a stop string, too, and of tokens without text.
    """

    def __init__(self, stop: Sequence[str], release: Callable[[Token], None]) -> None:
        self._stop = stop
        self._release = release
        self._held = ""
        self._logprobs: list[TokenLogprob] = []

    def push(self, piece: str, *logprobs: TokenLogprob) -> bool:
        """Add a piece; True when a stop string is complete. What follows its beginning is dropped."""
        self._logprobs += logprobs
        if not piece:
            return False
        self._held += piece
        found = min((at for stop in self._stop if (at := self._held.find(stop)) >= 0), default=-1)
        if found >= 0:
            self._held = self._held[:found]
            return True
        keep = max((_overlap(self._held, stop) for stop in self._stop), default=0)
        if keep < len(self._held):
            self._pass_on(len(self._held) - keep)
        return False

    def finish(self) -> None:
        """Pass on what was held back: no stop string can come any more."""
        if self._held or self._logprobs:
            self._pass_on(len(self._held))

    def _pass_on(self, n: int) -> None:
        self._release(Token(self._held[:n], tuple(self._logprobs)))
        self._held = self._held[n:]
        self._logprobs.clear()


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that begins `stop`."""
    return next((n for n in range(min(len(text), len(stop)), 0, -1) if stop.startswith(text[-n:])), 0)
