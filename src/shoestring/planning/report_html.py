"""A plan report as HTML, for notebooks: the same figures as the command line's, with a bar for every device.

Self-contained and without scripts; every text is escaped, since models and machines are named by strangers.
"""

from __future__ import annotations

from html import escape

from shoestring.planning.base import DevicePlan, Group, Plan, PlanReport
from shoestring.planning.report_text import (
    LABELS,
    LEFT,
    by_group,
    filled,
    footprint,
    most_that_fits,
    rows_of,
    settings_of,
    speed,
    verdict,
)
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
_STATES = {"green": "#2e7d32", "red": "#c62828", "yellow": "#b26a00"}


def report_html(report: PlanReport) -> str:
    """The report as one `<div>`."""
    first = report.plans[0]
    state, colour = verdict(report)
    lines = (most_that_fits(report), speed(first), footprint(first))
    parts = [
        '<div style="font-family:system-ui,sans-serif;max-width:60em;line-height:1.5">',
        f"<div><b>{escape(report.model)}</b> on {escape(report.hardware)}</div>",
        f'<div style="opacity:.7">{escape(settings_of(first))}</div>',
        *(_bar(name, device) for name, device in first.placement.items()),
        f"<div>{_legend(first)}</div>",
        f'<div><b style="color:{_STATES[colour]}">{state}</b> {escape(first.reason)}</div>',
        *(f"<div>{escape(line)}</div>" for line in lines if line),
        *(f"<div>⚠ {escape(note)}</div>" for note in dict.fromkeys(first.notes)),
        _table(report),
        f"<div><b>▸ What would fit:</b> {escape(report.plans[report.recommended].reason)}</div>"
        if report.recommended
        else "",
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
    return (
        f"<div>{escape(name)}: {escape(filled(device))}</div>"
        f'<div style="display:flex;height:1.1em;background:#8883;border-radius:3px;overflow:hidden">{pieces}</div>'
    )


def _legend(plan: Plan) -> str:
    return " &nbsp; ".join(
        f'<span style="white-space:nowrap"><span style="color:{_COLOURS[group]}">■</span> {LABELS[group]} '
        f"{'?' if n_bytes is None else format_bytes(n_bytes)}</span>"
        for group, n_bytes in by_group(plan)
    )


def _table(report: PlanReport) -> str:
    rows = rows_of(report)
    head = "".join(f'<th style="{_cell(name)}">{name}</th>' for name in ("", *rows[0]))
    body = "".join(
        _row(plan, row, recommended=index == report.recommended)
        for index, (plan, row) in enumerate(zip(report.plans, rows, strict=True))
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _row(plan: Plan, row: dict[str, str], *, recommended: bool) -> str:
    style = ' style="font-weight:bold"' if recommended else "" if plan.fits else ' style="opacity:.55"'
    cells = "".join(f'<td style="{_cell(name)}">{escape(cell)}</td>' for name, cell in row.items())
    return f"<tr{style}><td>{'▸' if recommended else ''}</td>{cells}</tr>"


def _cell(column: str) -> str:
    return f"text-align:{'left' if column in LEFT else 'right'};padding:0 .8em 0 0"
