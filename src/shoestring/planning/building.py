"""From an estimate to a plan: every term in its group, on its device, held against the budgets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from shoestring.planning.base import (
    DevicePlan,
    Estimate,
    Group,
    Method,
    Plan,
    PlanBytes,
    Term,
    TokensPerSecond,
    TrainingSettings,
)
from shoestring.planning.candidates import Candidate
from shoestring.planning.placement import Placed, fits, peak_by_device
from shoestring.units import format_bytes


def build(
    candidate: Candidate,
    placed: Placed,
    budgets: Mapping[str, int],
    *,
    speed: TokensPerSecond,
    method: Method = "formula",
    reason: str | None = None,
    notes: tuple[str, ...] = (),
) -> Plan:
    """The plan for a candidate so placed. `reason` replaces the sentence about what it needs."""
    estimate, settings = placed.estimate, placed.settings
    devices = {name: _device(placed, name, budgets.get(name, 0)) for name in _in_use(placed, budgets)}
    peaks = peak_by_device(estimate)
    headroom = min(device.budget_bytes - peaks.get(name, 0) for name, device in devices.items())
    return Plan(
        engine=candidate.memory.engine,
        precision=candidate.precision,
        kv_precision=None if isinstance(settings, TrainingSettings) else settings.kv_precision,
        context=settings.context,
        batch=settings.batch,
        placement=devices,
        bytes=_bytes(estimate, estimate.terms, sum(estimate.load_peak.values())),
        budget_bytes=sum(device.budget_bytes for device in devices.values()),
        fits=fits(estimate, budgets),
        headroom_bytes=None if estimate.missing else headroom,
        tokens_per_s=speed,
        method=method,
        settings=settings,
        reason=reason or _reason(estimate, devices),
        notes=(*notes, *estimate.missing.values(), *estimate.notes, *_passing(estimate, budgets)),
        terms=_by_name(estimate.terms),
        footprint_bytes=estimate.footprint,
        converted=candidate.converted,
    )


def _passing(estimate: Estimate, budgets: Mapping[str, int]) -> list[str]:
    """A sentence for each device whose load peak is above its budget for pages alone that the kernel may drop."""
    over = [name for name in estimate.droppable if estimate.load_peak.get(name, 0) > budgets.get(name, 0)]
    return [
        f"While loading, {format_bytes(estimate.droppable[name])} of the file pass through main memory; the kernel "
        "drops those pages when it needs room."
        for name in over
        if estimate.droppable[name]
    ]


def _in_use(placed: Placed, budgets: Mapping[str, int]) -> list[str]:
    """Devices that hold something, in the order of the budgets."""
    used = {term.device for term in placed.estimate.terms if term.bytes} | set(placed.assignment)
    return [*(name for name in budgets if name in used), *sorted(used - set(budgets))]


def _device(placed: Placed, name: str, budget: int) -> DevicePlan:
    terms = [term for term in placed.estimate.terms if term.device == name]
    peak = placed.estimate.load_peak.get(name, 0)
    return DevicePlan(
        _bytes(placed.estimate, terms, peak), budget, sum(place == name for place in placed.assignment)
    )


def _bytes(estimate: Estimate, terms: Iterable[Term], load_peak: int) -> PlanBytes:
    """The terms by group; a group that is missing has no figure, and then neither has a peak."""
    sums: Counter[Group] = Counter()
    for term in terms:
        sums[term.group] += term.bytes
    known = not estimate.missing

    def unless_missing(group: Group) -> int | None:
        return None if group in estimate.missing else sums[group]

    return PlanBytes(
        weights=unless_missing("weights"),
        kv_cache=unless_missing("kv_cache"),
        compute=unless_missing("compute"),
        runtime=sums["runtime"],
        total=sums.total() if known else None,
        load_peak=load_peak if known else None,
        gradients=sums["gradients"],
        optimizer=sums["optimizer"],
        activations=unless_missing("activations"),
        adapters=sums["adapters"],
    )


def _by_name(terms: Iterable[Term]) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for term in terms:
        sums[term.name] += term.bytes
    return dict(sums)


def _reason(estimate: Estimate, devices: Mapping[str, DevicePlan]) -> str:
    """What it needs of what may be used; of several devices, of the one that is fullest."""
    if estimate.missing:
        missing = " and ".join(group.replace("_", " ") for group in estimate.missing)
        return f"Whether it fits cannot be said: there is no figure for {missing}."
    peaks = peak_by_device(estimate)
    name, device = max(devices.items(), key=lambda item: peaks.get(item[0], 0) / max(1, item[1].budget_bytes))
    peak, budget = peaks.get(name, 0), device.budget_bytes
    where = "" if len(devices) == 1 else f" on {name}"
    if peak <= budget:
        return f"It needs {format_bytes(peak)} of the {format_bytes(budget)} that may be used{where}."
    over = format_bytes(peak - budget)
    return (
        f"It needs {format_bytes(peak)}, {over} more than the {format_bytes(budget)} that may be used{where}."
    )
