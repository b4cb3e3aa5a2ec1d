"""A session: one planned model, loaded in a guarded worker, that survives the worker's death."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from shoestring.engines.base import Event, Finished, LoadReport, Sampling, Segment, Token
from shoestring.engines.environments import library_pages_bytes
from shoestring.engines.registry import has_engine
from shoestring.errors import (
    EngineError,
    InvalidModelFileError,
    MemoryGuardError,
    OutOfMemoryError,
    PromptTooLongError,
    UsageError,
    WorkerDiedError,
)
from shoestring.hardware.memory import MemoryProbe
from shoestring.models.facts import ModelFacts
from shoestring.planning.base import LlamaCppSettings, Plan
from shoestring.runtime.client import Worker
from shoestring.runtime.early import EarlyWorker
from shoestring.runtime.failures import guard_error, killed_for_memory, without_memory
from shoestring.runtime.guard import Guard, limits_for
from shoestring.runtime.in_process import InProcess
from shoestring.runtime.life import Life
from shoestring.runtime.memory_report import MemoryReport, main_memory_peak, memory_report
from shoestring.runtime.process import WorkerProcess, prestart
from shoestring.runtime.stepping import MOST_STEPS, Smaller, Step, Told

__all__ = ["MemoryReport", "Session", "open_session"]

_LONGEST_TOKEN_BYTES = 256
"""No vocabulary in use has longer tokens; the longest are runs of spaces (162 bytes in smollm2's)."""


def open_session(
    facts: ModelFacts,
    plan: Plan,
    *,
    smaller: Smaller | None = None,
    auto: bool = False,
    told: Told | None = None,
    worker: WorkerProcess | None = None,
    guard: bool = True,
    in_process: bool = False,
) -> Session:
    """A session for a plan. Nothing is loaded before `load`, `tokenize` or `generate` asks for it.

    Args:
        smaller: looks for smaller plans once this one has proved too big: what the error offers, or `auto` takes.
        auto: take what `smaller` finds instead of raising the error, a few times at most.
        told: hears of each step that `auto` takes.
        worker: one from `prestart`, started for the plan's engine; the session owns it from now on.
        guard: False lets the worker grow past its plan, at the machine's risk.
        in_process: run the engine in this process: no isolation, no guard, no measured peak.
    """
    return Session(
        facts,
        plan,
        smaller=smaller,
        auto=auto,
        told=told,
        worker=worker,
        guard=guard,
        in_process=in_process,
    )


class Session:
    """A loaded model. Thread-safe; a context manager. After the worker's death the next call reloads.

    Attributes:
        plan: what it is loaded with; `auto` may change it.
        steps: those that `auto` took, before this session or in it.
        load_s: seconds the engine took to load, the last time; None before.
        load_report: what that load brought; None before.
    """

    def __init__(
        self,
        facts: ModelFacts,
        plan: Plan,
        *,
        steps: Sequence[Step] = (),
        smaller: Smaller | None = None,
        auto: bool = False,
        told: Told | None = None,
        worker: WorkerProcess | None = None,
        guard: bool = True,
        in_process: bool = False,
    ) -> None:
        self.facts = facts
        self.plan = plan
        _check_loadable(plan)
        self.steps = tuple(steps)
        self.load_s: float | None = None
        self.load_report: LoadReport | None = None
        self._smaller = smaller
        self._auto = auto
        self._told = told
        self._guarded = guard
        self._in_process = in_process
        self._fresh = worker
        self._life: Life | None = None
        self._lock = threading.RLock()
        self._closing = False
        self._validated = [_identity(file) for file in facts.files]

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def predicted_bytes(self) -> int:
        """The plan's peak in main memory, full or while loading: what VmHWM, which keeps the highest, will be."""
        return main_memory_peak(self.plan)

    def load(self) -> None:
        """Load now instead of at first use.

        Raises:
            EngineError: the engine could not load the model.
            OutOfMemoryError: a device had no memory left for it.
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
        self._check(prompts, sampling)
        return self._generate(prompts, sampling)

    def _check(self, prompts: Sequence[Sequence[int]], sampling: Sampling) -> None:
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

    def memory(self) -> MemoryReport:
        """Predicted beside measured, of the worker that runs or ran last."""
        life = self._life
        measured = life.peak_bytes() if life else None
        return memory_report(self.plan, measured, life.context_tokens if life else 0, self.load_report)

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
        begun = False
        while True:
            life = self._loaded()
            try:
                for index, event in self._events(life, prompts, sampling):
                    begun = begun or isinstance(event, Token)
                    yield index, event
                return
            except _FOR_MEMORY as error:
                if not self._step_down(error) or begun:  # what was told cannot be taken back
                    raise
                self._check(prompts, sampling)  # the smaller context must hold them, too

    def _events(
        self, life: Life, prompts: Sequence[Sequence[int]], sampling: Sampling
    ) -> Iterator[tuple[int, Event]]:
        with self._explained(life), closing(life.backend.generate(prompts, sampling)) as events:
            for index, event in events:
                if isinstance(event, Finished):
                    used = event.usage.prompt_tokens + event.usage.completion_tokens
                    life.context_tokens = max(life.context_tokens, used)
                yield index, event

    def _loaded(self) -> Life:
        with self._lock:
            while True:
                try:
                    return self._load_once()
                except _FOR_MEMORY as error:
                    if not self._step_down(error):
                        raise

    def _load_once(self) -> Life:
        if self._life is not None and self._life.usable:
            return self._life
        if self._life is not None:
            self._life.end("died")
        self._check_unchanged()
        self._life = life = self._start()
        with self._explained(life):
            if self._closing:
                life.backend.kill()
            loaded = life.backend.load(self.facts.files, self.plan.settings)
        self.load_s = life.load_s = loaded.load_s
        self.load_report = loaded.report
        return life

    def _step_down(self, error: OutOfMemoryError | MemoryGuardError | WorkerDiedError) -> bool:
        """Take the smaller plan that the error offers; whether there is one, and `auto` may."""
        with self._lock:
            if not self._auto or error.plan is None:
                return False
            if error.plan is not self.plan:  # another thread has stepped down meanwhile
                return True
            if error.alternative is None or len(self.steps) == MOST_STEPS or self._closing:
                return False
            if self._life is not None:
                self._life.end("out of memory")
            step = Step(error.message, self.plan, error.alternative)
            self.plan = error.alternative
            self.steps += (step,)
        if self._told is not None:
            self._told(step)
        return True

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

    def _start(self) -> Life:
        if self._in_process:
            return Life(InProcess(self.plan.engine), None, self.facts, self.plan, self)
        process, self._fresh = self._fresh, None
        if process is None or not process.alive or process.engine != self.plan.engine:
            EarlyWorker(process).close()
            process = prestart(self.plan.engine)
        worker = Worker(process)
        probe = MemoryProbe()
        memory = probe.read()
        limits = None
        if self._guarded:
            limits = limits_for(self.predicted_bytes, memory.limit_bytes or memory.total_bytes)
            pages = library_pages_bytes(self.plan.engine)
            limits = replace(limits, budget_bytes=limits.budget_bytes + pages)
        guard = Guard(worker.pid, limits, probe.available_bytes, worker.kill)
        guard.start()
        return Life(worker, guard, self.facts, self.plan, self)

    @contextmanager
    def _explained(self, life: Life) -> Iterator[None]:
        """Say what became of the worker, and what would need less where memory was the reason."""
        plan = self.plan
        try:
            yield
        except WorkerDiedError as error:
            stopped = life.guard.stopped if life.guard else None
            if stopped is not None:
                life.end("stopped by the guard")
                raise guard_error(plan, stopped, self._alternative(plan)) from error
            killed = life.killed_for_memory(error)
            life.end("out of memory" if killed else "died")
            if killed:
                raise killed_for_memory(plan, error, self._alternative(plan)) from error
            raise
        except OutOfMemoryError as error:
            life.ran_out = True
            if life.load_s is None:
                life.end("out of memory")
            raise without_memory(plan, error, self._alternative(plan)) from error
        except EngineError:
            if life.load_s is None:  # a worker that failed to load is of no use
                life.end("died")
            raise

    def _alternative(self, plan: Plan) -> Plan | None:
        """The next smaller plan that this session could load; looked for once the worker has given its memory back."""
        if self._smaller is None:
            return None
        return next((found for found in self._smaller(plan) if found.fits), None)


_FOR_MEMORY = (OutOfMemoryError, MemoryGuardError, WorkerDiedError)
"""Errors that may be about memory: a `WorkerDiedError` is if it holds a plan."""


def _check_loadable(plan: Plan) -> None:
    """Refuse what this version can plan but not load."""
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
    main_memory_peak(plan)


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
