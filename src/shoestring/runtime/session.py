"""A session: one planned model, loaded in a guarded worker, that survives the worker's death."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from shoestring.engines.base import Event, Finished, LoadReport, Sampling, Segment
from shoestring.engines.registry import has_engine
from shoestring.errors import (
    EngineError,
    InvalidModelFileError,
    MemoryGuardError,
    PromptTooLongError,
    UsageError,
    WorkerDiedError,
)
from shoestring.hardware.memory import MemoryProbe
from shoestring.models.facts import ModelFacts
from shoestring.planning.base import EngineSettings, LlamaCppSettings, Plan
from shoestring.runtime.client import Worker
from shoestring.runtime.guard import Guard, Stopped, limits_for
from shoestring.runtime.in_process import InProcess
from shoestring.runtime.process import WorkerProcess, prestart
from shoestring.runtime.process_memory import read_process_memory

if TYPE_CHECKING:
    from shoestring.runtime.ledger import LoadRecord

_LONGEST_TOKEN_BYTES = 256
"""No vocabulary in use has longer tokens; the longest are runs of spaces (162 bytes in smollm2's)."""

_FULL_MARGIN = 64
"""A context counts as full when at most so many tokens were left unused in one sequence."""


@dataclass(frozen=True)
class MemoryReport:
    """Predicted beside measured.

    Attributes:
        predicted_bytes: the plan's peak: with the context full, or while loading where that is higher.
        measured_peak_bytes: VmHWM of the worker; None where the system does not keep it.
        error: predicted ÷ measured − 1; None without a measurement.
        context_tokens: the longest sequence held so far.
        context_full: whether that filled the context; if not, less than predicted is expected.
    """

    predicted_bytes: int
    measured_peak_bytes: int | None
    error: float | None
    context_tokens: int
    context_full: bool


def open_session(
    facts: ModelFacts,
    plan: Plan,
    *,
    alternatives: Sequence[Plan] = (),
    worker: WorkerProcess | None = None,
    guard: bool = True,
    in_process: bool = False,
) -> Session:
    """A session for a plan. Nothing is loaded before `load`, `tokenize` or `generate` asks for it.

    Args:
        alternatives: smaller plans, best first: what an error offers when this one proves too big.
        worker: one from `prestart`, started for the plan's engine; the session owns it from now on.
        guard: False lets the worker grow past its plan, at the machine's risk.
        in_process: run the engine in this process: no isolation, no guard, no measured peak.
    """
    return Session(facts, plan, alternatives, worker=worker, guard=guard, in_process=in_process)


class Session:
    """A loaded model. Thread-safe; a context manager. After the worker's death the next call reloads.

    Attributes:
        load_s: seconds the engine took to load, the last time; None before.
        load_report: what that load brought; None before.
    """

    def __init__(
        self,
        facts: ModelFacts,
        plan: Plan,
        alternatives: Sequence[Plan] = (),
        *,
        worker: WorkerProcess | None = None,
        guard: bool = True,
        in_process: bool = False,
    ) -> None:
        self.facts = facts
        self.plan = plan
        self._settings, self._predicted_bytes = _loadable(plan)
        self.load_s: float | None = None
        self.load_report: LoadReport | None = None
        self._alternatives = tuple(alternatives)
        self._guarded = guard
        self._in_process = in_process
        self._fresh = worker
        self._life: _Life | None = None
        self._lock = threading.RLock()
        self._closing = False
        self._validated = [_identity(file) for file in facts.files]

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def predicted_bytes(self) -> int:
        """The plan's peak, full or while loading: what VmHWM, which keeps the highest of all, will be."""
        return self._predicted_bytes

    def load(self) -> None:
        """Load now instead of at first use.

        Raises:
            EngineError: the engine could not load the model.
            WorkerDiedError: the worker died while loading.
            MemoryGuardError: the guard stopped it.
        """
        self._loaded()

    def tokenize(self, segments: Sequence[Segment]) -> list[int]:
        """Token ids of the segments, concatenated; special tokens only where a segment allows them.

        Raises:
            PromptTooLongError: the text cannot fit the context, however well it is tokenised. Tokenising takes
                some 100 bytes of memory for each byte of text, which a hopeless one must not take.
            Else as `load`.
        """
        self._check_length(segments)
        life = self._loaded()
        with self._explained(life):
            return life.backend.tokenize(segments)

    def generate(self, prompt: Sequence[int], sampling: Sampling) -> Iterator[Event]:
        """Generate from token ids: `Prefill`, `Token`s, then `Finished`. Closing the iterator cancels.

        Raises:
            PromptTooLongError: at once, before anything is loaded.
            EngineError: the engine refused or failed the request.
            WorkerDiedError, MemoryGuardError: the worker is gone; the next call starts a new one.
        """
        return _without_index(self.generate_batch([prompt], sampling))

    def generate_batch(
        self, prompts: Sequence[Sequence[int]], sampling: Sampling
    ) -> Iterator[tuple[int, Event]]:
        """Generate from several prompts side by side: events as they come, with the index of their prompt.

        Each prompt's last event is `Finished`; with a seed, prompt i is sampled with seed + i.

        Raises:
            UsageError: no prompts, or more of them than the plan's batch.
            Else as `generate`.
        """
        if not 1 <= len(prompts) <= self.plan.batch:
            raise UsageError(
                f"{len(prompts):,} prompts at once, but the model was loaded for {self.plan.batch:,} side by side.",
                "Load it with a larger batch, or give fewer prompts at a time.",
            )
        longest = max(map(len, prompts))
        if longest >= self.plan.context:
            raise PromptTooLongError(longest, self.plan.context)
        if sampling.max_tokens is not None and sampling.max_tokens < 1:
            raise UsageError(f"An answer of {sampling.max_tokens} tokens is none.", "Ask for 1 or more.")
        return self._generate(prompts, sampling)

    def memory(self) -> MemoryReport:
        """Predicted beside measured, of the worker that runs or ran last."""
        life = self._life
        measured = life.peak_bytes() if life else None
        tokens = life.context_tokens if life else 0
        predicted = self._predicted_bytes
        error = predicted / measured - 1 if measured else None
        full = tokens >= self.plan.context - _FULL_MARGIN
        return MemoryReport(predicted, measured, error, tokens, full)

    def close(self) -> None:
        """Unload: the worker ends, and every byte it held is free again. A later call would load anew.

        A load that is running on another thread is ended, too; it raises `WorkerDiedError` there.
        """
        self._closing = True
        if not self._lock.acquire(blocking=False):
            if self._life is not None:
                self._life.backend.kill()
            self._lock.acquire()
        self._closing = False
        try:
            if self._fresh is not None:
                self._fresh.close()
                self._fresh = None
            if self._life is not None:
                self._life.end("closed")
        finally:
            self._lock.release()

    def _generate(self, prompts: Sequence[Sequence[int]], sampling: Sampling) -> Iterator[tuple[int, Event]]:
        life = self._loaded()
        with self._explained(life), closing(life.backend.generate(prompts, sampling)) as events:
            for index, event in events:
                if isinstance(event, Finished):
                    used = event.usage.prompt_tokens + event.usage.completion_tokens
                    life.context_tokens = max(life.context_tokens, used)
                yield index, event

    def _loaded(self) -> _Life:
        with self._lock:
            if self._life is not None and self._life.usable:
                return self._life
            if self._life is not None:
                self._life.end("died")
            self._check_unchanged()
            self._life = life = self._start()
            with self._explained(life):
                if self._closing:
                    life.backend.kill()
                loaded = life.backend.load(self.facts.files, self._settings)
            self.load_s = life.load_s = loaded.load_s
            self.load_report = loaded.report
            return life

    def _check_length(self, segments: Sequence[Segment]) -> None:
        n_bytes = sum(len(segment.text.encode()) for segment in segments)
        at_least = n_bytes // _LONGEST_TOKEN_BYTES
        if at_least >= self.plan.context:
            raise PromptTooLongError(at_least, self.plan.context)

    def _check_unchanged(self) -> None:
        """What is loaded must be what was validated: a file that was replaced since is refused."""
        for file, before in zip(self.facts.files, self._validated, strict=True):
            if _identity(file) != before:
                raise InvalidModelFileError(
                    f"{file} has changed since its header was checked.", "Load the model anew."
                )

    def _start(self) -> _Life:
        if self._in_process:
            return _Life(InProcess(self.plan.engine), None, self)
        process, self._fresh = self._fresh, None
        if process is None or not process.alive or process.engine != self.plan.engine:
            if process is not None:
                process.close()
            process = prestart(self.plan.engine)
        worker = Worker(process)
        probe = MemoryProbe()
        memory = probe.read()
        limits = (
            limits_for(self._predicted_bytes, memory.limit_bytes or memory.total_bytes)
            if self._guarded
            else None
        )
        guard = Guard(worker.pid, limits, probe.available_bytes, worker.kill)
        guard.start()
        return _Life(worker, guard, self)

    @contextmanager
    def _explained(self, life: _Life) -> Iterator[None]:
        """Turn "the worker is gone" into the guard's words when the guard ended it."""
        try:
            yield
        except WorkerDiedError as error:
            stopped = life.guard.stopped if life.guard else None
            life.end("stopped by the guard" if stopped else "died")
            if stopped is None:
                raise
            raise self._guard_error(stopped) from error
        except EngineError:
            if life.load_s is None:  # a worker that failed to load is of no use
                life.end("died")
            raise

    def _guard_error(self, stopped: Stopped) -> MemoryGuardError:
        alternative = next((plan for plan in self._alternatives if plan.fits), None)
        return MemoryGuardError(
            f"The memory guard stopped the worker: {stopped.reason}.",
            None if alternative is None else f"What would fit: {alternative.reason}",
            plan=self.plan,
            measured_bytes=stopped.resident_bytes,
            alternative=alternative,
        )


def _loadable(plan: Plan) -> tuple[EngineSettings, int]:
    """What a load needs of a plan: settings, and the larger of its two peaks in bytes."""
    total, load_peak = plan.bytes.total, plan.bytes.load_peak
    if not has_engine(plan.engine):
        raise EngineError(
            f"Plans for {plan.engine} can be made, but not loaded by this version.",
            "Choose another engine.",
        )
    if isinstance(plan.settings, LlamaCppSettings) and plan.settings.gpu_layers:
        raise EngineError(
            "llama.cpp's plans for GPUs can be made, but not loaded by this version.",
            "Plan without GPU memory to load it here.",
        )
    if total is None or load_peak is None:
        raise EngineError(f"A model cannot be guarded by a plan without a total. {plan.reason}")
    return plan.settings, max(total, load_peak)


def _without_index(events: Iterator[tuple[int, Event]]) -> Iterator[Event]:
    """The events of the only prompt; closing this closes those."""
    try:
        for _, event in events:
            yield event
    finally:
        if isinstance(events, Generator):
            events.close()


def _identity(file: Path) -> tuple[int, int, int, int] | None:
    """What tells a file from one that has taken its place; None where there is none."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


class _Life:
    """One worker's life with the session's model, from its start to its line in the ledger."""

    def __init__(self, backend: Worker | InProcess, guard: Guard | None, session: Session) -> None:
        self.backend = backend
        self.guard = guard
        self.load_s: float | None = None
        self.context_tokens = 0
        self._plan = session.plan
        self._predicted_bytes = session.predicted_bytes
        self._facts = session.facts
        self._ended = False
        self._owner = os.getpid()
        self._peak_bytes: int | None = None
        self._finalizer = weakref.finalize(session, backend.close)  # a dropped session unloads, too

    @property
    def usable(self) -> bool:
        return not self._ended and self.backend.alive and self.load_s is not None

    def peak_bytes(self) -> int | None:
        """VmHWM, read now, or as last seen by the guard."""
        pid = self.backend.pid if not self._ended else None
        memory = read_process_memory(pid) if pid is not None else None
        if memory is not None and memory.peak_bytes is not None:
            self._peak_bytes = memory.peak_bytes
        seen = self.guard.peak_bytes if self.guard else None
        return max(filter(None, (self._peak_bytes, seen)), default=None)

    def end(self, outcome: str) -> None:
        """End the worker and write the ledger. Idempotent. In a forked child the life is its parent's to end."""
        if self._ended or os.getpid() != self._owner:
            self._ended = True
            return
        measured = self.peak_bytes()
        self._ended = True
        if self.guard is not None:
            self.guard.finish()
        self._finalizer()
        if measured is not None and self.load_s is not None:
            self._record(measured, outcome)

    def _record(self, measured: int, outcome: str) -> None:
        import sqlite3

        from shoestring.runtime.ledger import Ledger

        try:
            Ledger().add(self._entry(measured, outcome))
        except (OSError, sqlite3.Error) as error:
            # A read-only home must not fail an answer that is already there.
            logging.getLogger(__name__).warning("The ledger could not be written: %s", error)

    def _entry(self, measured: int, outcome: str) -> LoadRecord:
        from shoestring.planning.calibration import TERM as CORRECTION
        from shoestring.runtime.ledger import LoadRecord

        plan = self._plan
        return LoadRecord(
            model=self._facts.id,
            file_bytes=self._facts.file_bytes,
            engine=plan.engine,
            engine_version=self.backend.ready.engine_version if self.backend.ready else "unknown",
            context=plan.context,
            batch=plan.batch,
            settings=msgspec.json.encode(plan.settings).decode(),
            predicted_bytes=self._predicted_bytes,
            measured_peak_bytes=measured,
            context_tokens=self.context_tokens,
            context_full=self.context_tokens >= plan.context - _FULL_MARGIN,
            load_s=self.load_s or 0.0,
            outcome=outcome,
            precision=plan.precision,
            correction_bytes=plan.terms.get(CORRECTION, 0),
        )
