"""One worker's life with one model, from its start to its line in the ledger."""

from __future__ import annotations

import logging
import os
import signal
import weakref
from typing import TYPE_CHECKING, Literal

import msgspec

from shoestring.errors import WorkerDiedError
from shoestring.models.facts import ModelFacts
from shoestring.planning.base import Plan
from shoestring.runtime.client import Worker
from shoestring.runtime.guard import Guard
from shoestring.runtime.in_process import InProcess
from shoestring.runtime.memory_report import is_full, main_memory_peak
from shoestring.runtime.oom_kills import oom_kills
from shoestring.runtime.process_memory import read_process_memory

if TYPE_CHECKING:
    from shoestring.runtime.ledger import LoadRecord

Outcome = Literal["closed", "died", "stopped by the guard", "out of memory"]


class Life:
    """A worker with a model, or on its way there.

    Args:
        owner: an object whose end ends the worker, too: a dropped session unloads.

    Attributes:
        load_s: seconds the engine took to load; None before it has.
        context_tokens: the longest sequence held so far.
        ran_out: whether the engine found no memory for something meanwhile.
    """

    def __init__(
        self, backend: Worker | InProcess, guard: Guard | None, facts: ModelFacts, plan: Plan, owner: object
    ) -> None:
        self.backend = backend
        self.guard = guard
        self.load_s: float | None = None
        self.context_tokens = 0
        self.ran_out = False
        self._facts = facts
        self._plan = plan
        self._ended = False
        self._owner = os.getpid()
        self._peak_bytes: int | None = None
        self._kills_before = oom_kills()
        self._finalizer = weakref.finalize(owner, backend.close)

    @property
    def usable(self) -> bool:
        """Whether it is loaded and alive."""
        return not self._ended and self.backend.alive and self.load_s is not None

    def peak_bytes(self) -> int | None:
        """VmHWM, read now, or as last seen by the guard."""
        pid = self.backend.pid if not self._ended else None
        memory = read_process_memory(pid) if pid is not None else None
        if memory is not None and memory.peak_bytes is not None:
            self._peak_bytes = memory.peak_bytes
        seen = self.guard.peak_bytes if self.guard else None
        return max(filter(None, (self._peak_bytes, seen)), default=None)

    def killed_for_memory(self, error: WorkerDiedError) -> bool:
        """Whether it was the kernel that killed the worker, because memory had run out."""
        if error.exit_code != -signal.SIGKILL or self._kills_before is None:
            return False
        return (oom_kills() or 0) > self._kills_before

    def end(self, outcome: Outcome) -> None:
        """End the worker and write the ledger. Idempotent. In a forked child the life is its parent's to end."""
        if self._ended or os.getpid() != self._owner:
            self._ended = True
            return
        measured = self.peak_bytes()
        self._ended = True
        if self.guard is not None:
            self.guard.finish()
        self._finalizer()
        if self.ran_out and outcome == "closed":
            outcome = "out of memory"
        for_memory = outcome in ("stopped by the guard", "out of memory")
        if measured is not None and (self.load_s is not None or for_memory):
            self._record(measured, outcome)

    def _record(self, measured: int, outcome: Outcome) -> None:
        import sqlite3

        from shoestring.runtime.ledger import Ledger

        try:
            Ledger().add(self._entry(measured, outcome))
        except (OSError, sqlite3.Error) as error:
            # A read-only home must not fail an answer that is already there.
            logging.getLogger(__name__).warning("The ledger could not be written: %s", error)

    def _entry(self, measured: int, outcome: Outcome) -> LoadRecord:
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
            predicted_bytes=main_memory_peak(plan),
            measured_peak_bytes=measured,
            context_tokens=self.context_tokens,
            context_full=is_full(plan, self.context_tokens),
            load_s=self.load_s or 0.0,
            outcome=outcome,
            precision=plan.precision,
            correction_bytes=plan.terms.get(CORRECTION, 0),
            devices=" ".join(plan.placement),
        )
