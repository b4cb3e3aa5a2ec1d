"""Predicted beside measured: of the worker's main memory, and of each GPU that it uses."""

from __future__ import annotations

from dataclasses import dataclass

from shoestring.engines.base import LoadReport
from shoestring.errors import EngineError
from shoestring.planning.base import CPU, DISK, Plan

_FULL_MARGIN = 64
"""A context counts as full when at most so many tokens were left unused in one sequence."""


@dataclass(frozen=True)
class GpuReport:
    """One GPU's share of a plan beside what its allocator told after loading, when the context was still empty.

    Attributes:
        name: `gpu0`, `gpu1`…
        predicted_bytes: the plan's peak there, with the context full or while loading.
        allocated_bytes, reserved_bytes: in live tensors, and held by the allocator; None before a load.
    """

    name: str
    predicted_bytes: int
    allocated_bytes: int | None
    reserved_bytes: int | None


@dataclass(frozen=True)
class MemoryReport:
    """Predicted beside measured.

    Attributes:
        predicted_bytes: the plan's peak in main memory: with the context full, or while loading where that is higher.
        measured_peak_bytes: VmHWM of the worker; None where the system does not keep it.
        error: predicted ÷ measured − 1; None without a measurement.
        context_tokens: the longest sequence held so far.
        context_full: whether that filled the context; if not, less than predicted is expected.
        gpus: the GPUs in use; empty on the CPU.
    """

    predicted_bytes: int
    measured_peak_bytes: int | None
    error: float | None
    context_tokens: int
    context_full: bool
    gpus: tuple[GpuReport, ...] = ()


def memory_report(
    plan: Plan, measured_peak_bytes: int | None, context_tokens: int, load: LoadReport | None
) -> MemoryReport:
    """What a plan said beside what was measured so far.

    Raises:
        EngineError: the plan has no figure for main memory.
    """
    predicted = main_memory_peak(plan)
    error = predicted / measured_peak_bytes - 1 if measured_peak_bytes else None
    full = is_full(plan, context_tokens)
    return MemoryReport(predicted, measured_peak_bytes, error, context_tokens, full, _gpus(plan, load))


def is_full(plan: Plan, context_tokens: int) -> bool:
    """Whether a sequence so long fills the plan's context."""
    return context_tokens >= plan.context - _FULL_MARGIN


def main_memory_peak(plan: Plan) -> int:
    """The larger of a plan's two peaks in main memory, in bytes: what the worker's VmHWM will be.

    Raises:
        EngineError: there is no figure for it.
    """
    share = plan.placement.get(CPU)
    if (
        plan.bytes.total is None
        or share is None
        or share.bytes.total is None
        or share.bytes.load_peak is None
    ):
        raise EngineError(f"A model cannot be guarded by a plan without a total. {plan.reason}")
    return max(share.bytes.total, share.bytes.load_peak)


def _gpus(plan: Plan, load: LoadReport | None) -> tuple[GpuReport, ...]:
    told = {device.name: device for device in load.devices} if load else {}
    reports = []
    for name, share in plan.placement.items():
        if name in (CPU, DISK):
            continue
        peak = max(share.bytes.total or 0, share.bytes.load_peak or 0)
        device = told.get(name)
        reports.append(
            GpuReport(
                name,
                peak,
                device.allocated_bytes if device else None,
                device.reserved_bytes if device else None,
            )
        )
    return tuple(reports)
