"""A plan in words and cells: what the command line and a notebook both show."""

from __future__ import annotations

from shoestring.models.facts import NO_CONTEXT_LIMIT
from shoestring.planning.base import Plan, PlanReport, TrainingSettings
from shoestring.units import format_bytes

_ALWAYS = ("engine", "method", "weights", "total", "to spare")
LEFT = ("engine", "method", "weights", "cache", "optimizer", "checkpointing", "where")
"""Columns of words."""


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
        f"{plan.engine} · by {plan.method}"
    )


def most_that_fits(report: PlanReport) -> str | None:
    """The longest context and the largest batch in a sentence; None where there is no figure."""
    first, context, batch = report.plans[0], report.largest_context, report.largest_batch or 0
    if first.bytes.total is None:
        return None
    training = isinstance(first.settings, TrainingSettings)
    if context is None:
        return f"No {'length' if training else 'context'} fits with these settings."
    length = "examples of" if training else "a context of"
    longest = "any context" if context == NO_CONTEXT_LIMIT else f"{length} {context:,} tokens"
    if batch < 2:
        return f"The most that fits: {longest}."
    many = f"{batch:,} at once" if training else f"{batch:,} sequences"
    return f"The most that fits: {longest}, or {many} of {first.context:,}."


def speed(plan: Plan) -> str | None:
    """Decode speed in a sentence; None where nothing is known."""
    found = plan.tokens_per_s
    if found.estimate is not None:
        limit = "" if found.limit is None else f"; the memory's limit is {_rate(found.limit)}"
        return f"About {_rate(found.estimate)} tokens a second{limit}."
    return (
        None if found.limit is None else f"At most {_rate(found.limit)} tokens a second: the memory's limit."
    )


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
