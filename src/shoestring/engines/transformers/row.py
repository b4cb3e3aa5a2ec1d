"""One prompt of a batch: the tokens it has, where it ends, and the events it gives."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from shoestring.engines.base import (
    Event,
    Finished,
    FinishReason,
    GenerationTimings,
    Prefill,
    Sampling,
    TokenLogprob,
    Usage,
)
from shoestring.engines.repetition import LoopWatch
from shoestring.engines.stop_strings import StoppableText
from shoestring.engines.transformers.text import NewText


@dataclass(frozen=True)
class Ends:
    """Where a generation ends: at one of the tokens, or when the context is full."""

    tokens: Collection[int]
    context: int


class Row:
    """Takes new tokens, gives events, and knows when it is done.

    Attributes:
        tokens: the prompt, and what was generated.
        done: whether `Finished` was emitted.
        cached: tokens of the prompt that were in the cache already.
    """

    def __init__(
        self,
        prompt: Sequence[int],
        sampling: Sampling,
        ends: Ends,
        decode: Callable[[Sequence[int]], str],
        emit: Callable[[Event], None],
    ) -> None:
        self.tokens = list(prompt)
        self.done = False
        self.cached = 0
        self._prompt_tokens = len(prompt)
        self._room = ends.context - len(prompt)
        self._limit = min(self._room, sampling.max_tokens or self._room)
        self._ends: Collection[int] = () if sampling.ignore_eos else ends.tokens
        self._new_text = NewText(decode, prompt)
        self._emit = emit
        self._text = StoppableText(sampling.stop, emit)
        self._watch = LoopWatch() if sampling.stop_loops and not sampling.ignore_eos else None
        self._began = self._prefilled = time.perf_counter()

    @property
    def is_new(self) -> bool:
        """Whether it has nothing but its prompt."""
        return not self._generated

    @property
    def left(self) -> int:
        """Most tokens that may still come."""
        return self._limit - self._generated

    def begin(self) -> None:
        """Its prompt is going to be read now."""
        if self.is_new:
            self._began = self._prefilled = time.perf_counter()

    def prefilled(self) -> None:
        """Its prompt was read. (A row that goes on in a second pass reads its own text again: part of decoding.)"""
        if self.is_new:
            self._prefilled = time.perf_counter()
            self._emit(Prefill(self._prompt_tokens, self._prompt_tokens))

    def take(self, token: int, logprob: TokenLogprob | None = None) -> None:
        """Add a new token, and end where it is the last."""
        self.tokens.append(token)
        is_end = token in self._ends
        piece = "" if is_end else self._new_text.push(token)
        if self._text.push(piece, *([logprob] if logprob else [])):
            self._finish("stop")
        elif is_end:
            self.end("stop")
        elif self._watch is not None and self._watch.push(piece):
            self.end("repetition")
        elif self.left == 0:
            self.end("context" if self._limit == self._room else "length")

    def end(self, reason: FinishReason) -> None:
        """End it, with the characters that stay incomplete. Idempotent."""
        if not self.done:
            self._text.push(self._new_text.finish())
            self._finish(reason)

    @property
    def _generated(self) -> int:
        return len(self.tokens) - self._prompt_tokens

    def _finish(self, reason: FinishReason) -> None:
        self._text.finish()
        self.done = True
        usage = Usage(self._prompt_tokens, self._generated, self.cached)
        prefill_s, decode_s = self._prefilled - self._began, time.perf_counter() - self._prefilled
        self._emit(Finished(reason, usage, GenerationTimings(prefill_s, decode_s)))
