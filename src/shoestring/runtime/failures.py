"""Errors about memory, with the plan that failed and the next one that fits."""

from __future__ import annotations

from shoestring.errors import MemoryGuardError, OutOfMemoryError, WorkerDiedError
from shoestring.planning.base import Plan
from shoestring.planning.difference import describe_difference
from shoestring.runtime.guard import Stopped


def guard_error(plan: Plan, stopped: Stopped, alternative: Plan | None) -> MemoryGuardError:
    """The guard stopped the worker."""
    return MemoryGuardError(
        f"The memory guard stopped the worker: {stopped.reason}.",
        _offer(plan, alternative) or "Close other programs, or choose a smaller model.",
        plan=plan,
        measured_bytes=stopped.resident_bytes,
        alternative=alternative,
    )


def killed_for_memory(plan: Plan, error: WorkerDiedError, alternative: Plan | None) -> WorkerDiedError:
    """The kernel killed the worker."""
    return WorkerDiedError(
        "The kernel killed the worker because memory ran out.",
        _offer(plan, alternative) or error.hint,
        exit_code=error.exit_code,
        log_tail=error.log_tail,
        plan=plan,
        alternative=alternative,
    )


def without_memory(plan: Plan, error: OutOfMemoryError, alternative: Plan | None) -> OutOfMemoryError:
    """The engine found no memory left."""
    hint = _offer(plan, alternative) or error.hint
    return OutOfMemoryError(error.message, hint, plan=plan, alternative=alternative)


def _offer(failed: Plan, alternative: Plan | None) -> str | None:
    if alternative is None:
        return None
    return f"What would fit: {describe_difference(failed, alternative)}. {alternative.reason}"
