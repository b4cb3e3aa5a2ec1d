"""A plan in words and cells: what the command line and a notebook both show."""

from __future__ import annotations

from collections.abc import Iterator

from shoestring.models.facts import NO_CONTEXT_LIMIT
from shoestring.planning.base import (
    GROUPS,
    DevicePlan,
    Group,
    LlamaCppSettings,
    Plan,
    PlanReport,
    TrainingSettings,
)
from shoestring.units import format_bytes

_ALWAYS = ("engine", "method", "weights", "total", "to spare")
LEFT = ("engine", "method", "weights", "cache", "optimizer", "checkpointing", "where")
"""Columns of words."""

LABELS: dict[Group, str] = {group: group.replace("_", " ") for group in GROUPS} | {"kv_cache": "KV cache"}
"""What each group is called."""


def by_group(held: DevicePlan | Plan) -> Iterator[tuple[Group, int | None]]:
    """The groups' bytes in the order in which they are shown, those that hold nothing left out."""
    for group in GROUPS:
        n_bytes: int | None = getattr(held.bytes, group)
        if n_bytes != 0:
            yield group, n_bytes


def filled(device: DevicePlan) -> str:
    """What a device holds of what may be used, in words."""
    total, load_peak = device.bytes.total, device.bytes.load_peak
    text = f"{_bytes(total)} of {format_bytes(device.budget_bytes)}"
    if total is not None and load_peak is not None and load_peak > total:
        return f"{text}, {format_bytes(load_peak)} while loading"
    return text


def verdict(report: PlanReport) -> tuple[str, str]:
    """Whether the first plan fits, in a word or two, and the colour for it."""
    first = report.plans[0]
    if first.bytes.total is None:
        return "Not known.", "yellow"
    if not first.fits:
        return "Does not fit.", "red"
    return (
        ("Fits.", "green")
        if report.recommended == 0
        else ("Fits, but is below the quality asked for.", "yellow")
    )


def settings_of(plan: Plan) -> str:
    """The settings in one line."""
    settings = plan.settings
    if isinstance(settings, TrainingSettings):
        checkpointing = "with" if settings.gradient_checkpointing else "without"
        return (
            f"{settings.method} · {plan.precision} weights · {plan.context:,} tokens × {plan.batch} at once × "
            f"{settings.accumulation} accumulated · {settings.optimizer} · {checkpointing} gradient checkpointing · "
            f"by {plan.method}"
        )
    batch = "" if plan.batch == 1 else f" × {plan.batch} sequences"
    return (
        f"context {plan.context:,}{batch} · {plan.precision} weights · {plan.kv_precision} cache · "
        f"{plan.engine}{_layers(plan)} · by {plan.method}"
    )


def _layers(plan: Plan) -> str:
    """How llama.cpp is told to split a model: ` with 20 of 33 layers on GPUs, 4 blocks' experts on the CPU`."""
    settings = plan.settings
    if not isinstance(settings, LlamaCppSettings) or not settings.gpu_layers:
        return ""
    here = plan.placement["cpu"].units if "cpu" in plan.placement else 0
    kept = settings.cpu_expert_layers
    layers = settings.gpu_layers + here - 1 - kept  # the input is no layer
    experts = f", {kept} blocks' experts on the CPU" if kept else ""
    return f" with {settings.gpu_layers} of {layers} layers on GPUs{experts}"


def most_that_fits(report: PlanReport) -> str | None:
    """The longest context and the largest batch in a sentence; None where there is no figure."""
    first, context, batch = report.plans[0], report.largest_context, report.largest_batch or 0
    if first.bytes.total is None:
        return None
    training = isinstance(first.settings, TrainingSettings)
    if context is None:
        return f"No {'length' if training else 'context'} fits with these settings."
    longest = f"{'examples of' if training else 'a context of'} {context:,} tokens"
    if context == NO_CONTEXT_LIMIT:
        longest = "any context"
    still = (
        " with every block where it is" if first.fits and len(first.placement) > 1 and not training else ""
    )
    if batch < 2:
        return f"The most that fits{still}: {longest}."
    many = f"{batch:,} at once" if training else f"{batch:,} sequences"
    return f"The most that fits{still}: {longest}, or {many} of {first.context:,}."


def speed(plan: Plan) -> str | None:
    """Decode speed in a sentence; None where nothing is known."""
    found = plan.tokens_per_s
    together = f" of all {plan.batch} sequences together" if plan.batch > 1 else ""
    if found.estimate is not None:
        limit = "" if found.limit is None else f"; the memory's limit is {_rate(found.limit)}"
        half = "" if plan.batch > 1 else " with the context half full"
        return f"About {_rate(found.estimate)} tokens a second{half}{together}{limit}."
    if found.limit is None:
        return None
    return f"At most {_rate(found.limit)} tokens a second{together}: the memory's limit."


def footprint(plan: Plan) -> str | None:
    """What `get_memory_footprint()` would print, where that is not what the weights take."""
    printed, weights = plan.footprint_bytes, plan.bytes.weights
    if printed is None or weights is None or abs(printed - weights) < weights / 100:
        return None
    return f"get_memory_footprint() would print {format_bytes(printed)}: it leaves out scales and counts no copies."


def rows_of(report: PlanReport) -> list[dict[str, str]]:
    """Every plan's cells by column. What is the same in all of them is left out: it stands above already."""
    rows = [_row(plan) for plan in report.plans]
    told = {name for name in rows[0] if name not in _ALWAYS and len({row[name] for row in rows}) == 1}
    return [{name: cell for name, cell in row.items() if name not in told} for row in rows]


def _row(plan: Plan) -> dict[str, str]:
    """One plan's cells by column."""
    settings = plan.settings
    amounts = {
        "total": _bytes(plan.bytes.total),
        "to spare": _bytes(plan.headroom_bytes),
        "where": " + ".join(name for name, device in plan.placement.items() if device.units),
    }
    if isinstance(settings, TrainingSettings):
        return {
            "method": settings.method,
            "weights": plan.precision,
            "tokens": f"{plan.context:,}",
            "at once": f"{plan.batch:,}",
            "accumulated": f"{settings.accumulation:,}",
            "checkpointing": "yes" if settings.gradient_checkpointing else "no",
            "optimizer": settings.optimizer,
        } | amounts
    rate = plan.tokens_per_s.estimate or plan.tokens_per_s.limit
    sign = "" if plan.tokens_per_s.estimate else "≤ "
    return {
        "engine": plan.engine,
        "weights": plan.precision,
        "cache": plan.kv_precision or "",
        "context": f"{plan.context:,}",
        "batch": f"{plan.batch:,}",
        "tok/s": "?" if rate is None else sign + _rate(rate),
    } | amounts


def _rate(tokens_per_s: float) -> str:
    return f"{tokens_per_s:.2g}" if tokens_per_s < 10 else f"{tokens_per_s:,.0f}"


def _bytes(n_bytes: int | None) -> str:
    return "?" if n_bytes is None else format_bytes(n_bytes)
