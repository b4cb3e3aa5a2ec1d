"""What a generation gives: the text, and beside it what it cost."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass

from shoestring.engines.base import Event, Finished, FinishReason, LoadReport, Token, TokenLogprob, Usage
from shoestring.errors import EngineError
from shoestring.planning.base import Plan
from shoestring.runtime.session import MemoryReport, Session


@dataclass(frozen=True)
class Timings:
    """How long it took; None where there is nothing to divide.

    Attributes:
        load_s: seconds the engine took to load the model, the last time.
        time_to_first_token_s: from the request to a loaded model until the first text arrived; None if none did.
        prefill_tokens_per_s: prompt tokens that were computed (not reused from the cache), per second.
        decode_tokens_per_s: tokens after the first, per second.
    """

    load_s: float | None
    time_to_first_token_s: float | None
    prefill_tokens_per_s: float | None
    decode_tokens_per_s: float | None


@dataclass(frozen=True, repr=False)
class Answer:
    """A finished generation. `str(answer)` is its text.

    Attributes:
        model: what the user calls the model.
        finish_reason: `stop` (the model ended, or a stop string came), `length` (as many tokens as allowed),
            `context` (the context is full) or `cancelled`.
        memory: predicted beside measured, so far.
        plan: what the model was loaded with.
        notes: what the user should know about the text, one sentence each.
        logprobs: of every new token, in order, where they were asked for.
        load: what loading the model brought, the last time.
    """

    model: str
    text: str
    finish_reason: FinishReason
    usage: Usage
    timings: Timings
    memory: MemoryReport
    plan: Plan
    notes: tuple[str, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    load: LoadReport | None = None

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<Answer {self.text!r} ({self.finish_reason}, {self.usage.completion_tokens} tokens)>"

    def _repr_markdown_(self) -> str:
        return self.text  # what a notebook shows


class Stream:
    """The pieces of an answer as they come: iterate once. Afterwards `answer` has the figures.

    Closing it early cancels the generation; so does leaving its `with` block.

    Attributes:
        text: what has come so far.
    """

    def __init__(
        self,
        session: Session,
        events: Iterator[Event],
        notes: tuple[str, ...] = (),
    ) -> None:
        self.text = ""
        self.notes = notes
        self._session = session
        self._answer: Answer | None = None
        self._pieces = self._run(events)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        return next(self._pieces)

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Cancel what is still running. Idempotent."""
        self._pieces.close()

    @property
    def answer(self) -> Answer:
        """The whole answer; runs to its end first if need be.

        Raises:
            EngineError: the generation was cancelled or failed, so there are no figures.
        """
        for _ in self:
            pass
        if self._answer is None:
            raise EngineError("This answer was not finished, so there are no figures for it.")
        return self._answer

    def _run(self, events: Iterator[Event]) -> Generator[str, None, None]:
        growing = Growing(self._session, self.notes)
        try:
            for event in events:
                piece = growing.take(event)
                self.text = growing.text
                if piece:
                    yield piece
            self._answer = growing.answer
        finally:
            if isinstance(events, Generator):
                events.close()


class Growing:
    """An answer that grows event by event.

    Attributes:
        text: what has come so far.
        answer: the whole, once it is finished.
    """

    def __init__(self, session: Session, notes: tuple[str, ...] = ()) -> None:
        self.text = ""
        self.answer: Answer | None = None
        self._session = session
        self._notes = notes
        self._logprobs: list[TokenLogprob] = []
        self._start = time.perf_counter()
        self._first_s: float | None = None

    def take(self, event: Event) -> str:
        """Add an event; the text that it brought, often none."""
        if isinstance(event, Finished):
            self.answer = self._finished(event)
        if not isinstance(event, Token):
            return ""
        self._logprobs += event.logprobs
        if event.text and self._first_s is None:  # an end token has only log-probabilities
            self._first_s = time.perf_counter() - self._start
        self.text += event.text
        return event.text

    def _finished(self, event: Finished) -> Answer:
        usage, timings = event.usage, event.timings
        return Answer(
            model=self._session.facts.id,
            text=self.text,
            finish_reason=event.reason,
            usage=usage,
            timings=Timings(
                load_s=self._session.load_s,
                time_to_first_token_s=self._first_s,
                prefill_tokens_per_s=_rate(usage.prompt_tokens - usage.cached_tokens, timings.prefill_s),
                decode_tokens_per_s=_rate(usage.completion_tokens - 1, timings.decode_s),
            ),
            memory=self._session.memory(),
            plan=self._session.plan,
            notes=self._notes,
            logprobs=tuple(self._logprobs),
            load=self._session.load_report,
        )


def _rate(n: int, seconds: float) -> float | None:
    return n / seconds if n > 0 and seconds > 0 else None
