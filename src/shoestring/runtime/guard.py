"""The memory guard: stops a worker before it, or the machine, runs out of memory.

It watches two figures: what the worker holds, against the plan's peak and a tenth more; and what the
machine (or its cgroup) has left, against a floor. The kernel's OOM killer acts when memory is already
gone and may choose anyone; the guard acts earlier, on the worker alone, and can say why.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from shoestring.runtime.process_memory import ProcessMemoryReader
from shoestring.units import MiB, format_bytes

INTERVAL_S = 0.05
"""Seconds between looks. One look costs some 60 µs, so about 0.1 % of a core."""

TOLERANCE = 1.10
"""A worker may exceed its plan by a tenth before it is stopped."""


@dataclass(frozen=True)
class Limits:
    """What the guard enforces.

    Attributes:
        budget_bytes: the worker's resident memory may not exceed this.
        floor_bytes: the machine's available memory may not fall below this.
    """

    budget_bytes: int
    floor_bytes: int


@dataclass(frozen=True)
class Stopped:
    """Why the guard stopped a worker, and what it held then."""

    reason: str
    resident_bytes: int


def limits_for(planned_peak_bytes: int, total_bytes: int) -> Limits:
    """Limits for a plan on a machine (or cgroup) with `total_bytes` of memory.

    The floor is 5 % of the memory, at most 256 MiB: enough for a shell, a notebook kernel and the
    kernel's own reclaim to keep working.
    """
    return Limits(round(planned_peak_bytes * TOLERANCE), min(256 * MiB, total_bytes // 20))


class Guard(threading.Thread):
    """Watches one process until told to stop; calls `kill` once when a limit is crossed.

    Args:
        pid: the worker.
        limits: what to enforce; None only records the peak.
        available_bytes: what the machine or cgroup has left, cheap enough to ask 20 times a second.
        kill: ends the worker.
    """

    def __init__(
        self, pid: int, limits: Limits | None, available_bytes: Callable[[], int], kill: Callable[[], None]
    ) -> None:
        super().__init__(name=f"shoestring-guard-{pid}", daemon=True)
        self._memory = ProcessMemoryReader(pid)
        self._limits = limits
        self._available_bytes = available_bytes
        self._kill = kill
        self._done = threading.Event()
        self.stopped: Stopped | None = None
        self.peak_bytes: int | None = None

    def run(self) -> None:
        try:
            while not self._done.wait(INTERVAL_S):
                if not self.look():
                    return
        finally:
            self._memory.close()

    def look(self) -> bool:
        """Look once; False when the process is gone or has just been stopped."""
        memory = self._memory.read()
        if memory is None:
            return False
        self.peak_bytes = max(self.peak_bytes or 0, memory.peak_bytes or memory.resident_bytes)
        reason = self._reason(memory.resident_bytes)
        if reason is None:
            return True
        self.stopped = Stopped(reason, memory.resident_bytes)
        self._kill()
        return False

    def finish(self) -> None:
        """Stop watching. Idempotent; does not wait."""
        self._done.set()

    def _available(self) -> int | None:
        try:
            return self._available_bytes()
        except OSError:  # an unreadable figure must not end the watch on the other one
            return None

    def _reason(self, resident_bytes: int) -> str | None:
        if self._limits is None:
            return None
        if resident_bytes > self._limits.budget_bytes:
            return (
                f"it held {format_bytes(resident_bytes)}, more than the "
                f"{format_bytes(self._limits.budget_bytes)} that its plan and a tenth more allow"
            )
        available = self._available()
        if available is not None and available < self._limits.floor_bytes:
            return (
                f"only {format_bytes(available)} of memory were left on this machine, less than the "
                f"{format_bytes(self._limits.floor_bytes)} it needs to keep working"
            )
        return None
