"""A plan report as HTML, for notebooks: the same figures as the command line's, with a bar for every device.

Self-contained and without scripts; every text is escaped, since models and machines are named by strangers.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from shoestring.planning.base import GROUPS, DevicePlan, Group, Plan, PlanReport
from shoestring.units import format_bytes

_COLOURS: dict[Group, str] = {
    "weights": "#3b6fb6",
    "adapters": "#7aa6de",
    "kv_cache": "#a259a8",
    "compute": "#2a9d8f",
    "activations": "#2a9d8f",
    "gradients": "#c77dba",
    "optimizer": "#d9a21b",
    "runtime": "#7a9e57",
}
LABELS: dict[Group, str] = {group: group.replace("_", " ") for group in GROUPS} | {"kv_cache": "KV cache"}
"""What each group is called."""


def report_html(report: PlanReport) -> str:
    """The report as one `<div>`."""
    first = report.plans[0]
    state, colour = ("Fits.", "#2e7d32") if first.fits else ("Does not fit.", "#c62828")
    if first.bytes.total is None:
        state, colour = "Not known.", "#b26a00"
    parts = [
        '<div style="font-family:system-ui,sans-serif;max-width:60em;line-height:1.5">',
        f"<div><b>{escape(report.model)}</b> on {escape(report.hardware)}</div>",
        *(_bar(name, device) for name, device in first.placement.items()),
        f"<div>{_legend(first)}</div>",
        f'<div><b style="color:{colour}">{state}</b> {escape(first.reason)}</div>',
        *(f"<div>⚠ {escape(note)}</div>" for note in dict.fromkeys(first.notes)),
        _table(report),
        "</div>",
    ]
    return "".join(parts)


def _bar(name: str, device: DevicePlan) -> str:
    known = dict(by_group(device))
    whole = max(device.budget_bytes, sum(n_bytes or 0 for n_bytes in known.values()), 1)
    pieces = "".join(
        f'<div title="{LABELS[group]} {format_bytes(n_bytes)}" '
        f'style="width:{100 * n_bytes / whole:.2f}%;background:{_COLOURS[group]}"></div>'
        for group, n_bytes in known.items()
        if n_bytes
    )
    total = "?" if device.bytes.total is None else format_bytes(device.bytes.total)
    return (
        f"<div>{escape(name)}: <b>{total}</b> of {format_bytes(device.budget_bytes)}</div>"
        f'<div style="display:flex;height:1.1em;background:#8883;border-radius:3px;overflow:hidden">{pieces}</div>'
    )


def by_group(device: DevicePlan | Plan) -> Iterator[tuple[Group, int | None]]:
    """The groups' bytes in the order in which they are shown, those that hold nothing left out."""
    held = device.bytes
    figures: dict[Group, int | None] = {
        "weights": held.weights,
        "adapters": held.adapters,
        "kv_cache": held.kv_cache,
        "compute": held.compute,
        "activations": held.activations,
        "gradients": held.gradients,
        "optimizer": held.optimizer,
        "runtime": held.runtime,
    }
    return ((group, n_bytes) for group, n_bytes in figures.items() if n_bytes != 0)


def _legend(plan: Plan) -> str:
    return " &nbsp; ".join(
        f'<span style="color:{_COLOURS[group]}">■</span> {LABELS[group]} '
        f"{'?' if n_bytes is None else format_bytes(n_bytes)}"
        for group, n_bytes in by_group(plan)
    )


def _table(report: PlanReport) -> str:
    names = ("", "engine", "weights", "cache", "context", "batch", "total", "to spare", "tok/s", "where")
    head = "".join(f"<th>{name}</th>" for name in names)
    rows = "".join(_row(plan, index == report.recommended) for index, plan in enumerate(report.plans))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _row(plan: Plan, recommended: bool) -> str:
    rate = plan.tokens_per_s.estimate or plan.tokens_per_s.limit
    sign = "" if plan.tokens_per_s.estimate else "≤ "
    cells = (
        "▸" if recommended else "",
        plan.engine,
        plan.precision,
        plan.kv_precision or "",
        f"{plan.context:,}",
        f"{plan.batch:,}",
        "?" if plan.bytes.total is None else format_bytes(plan.bytes.total),
        "?" if plan.headroom_bytes is None else format_bytes(plan.headroom_bytes),
        "" if rate is None else f"{sign}{rate:.3g}",
        " + ".join(plan.placement),
    )
    style = ' style="font-weight:bold"' if recommended else "" if plan.fits else ' style="opacity:.55"'
    return f"<tr{style}>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
