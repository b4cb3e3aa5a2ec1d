"""`shoestring plan MODEL`: what it would take, whether it fits, and what would."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from shoestring.cli import _options
from shoestring.cli._errors import DOES_NOT_FIT
from shoestring.cli._output import present
from shoestring.cli._progress import FetchDisplay
from shoestring.units import format_bytes

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

    from shoestring.planning.base import Plan, PlanReport

_BAR = 30  # characters for the whole total


@click.command()
@_options.model
@_options.context
@click.option("--batch", type=int, default=1, show_default=True, metavar="N", help="Sequences side by side.")
@click.option(
    "--ram", metavar="SIZE", help="Plan for this much memory, such as 2GB.  [default: what is free]"
)
@click.option("--exact", is_flag=True, help="Ask the engine for its buffers (about a second).")
@_options.as_json
def plan(model: str, context: int | None, batch: int, ram: str | None, exact: bool, as_json: bool) -> int:
    """Show how much memory a model needs here, whether it fits, and what would.

    MODEL is a name (see `shoestring models list`) or the path of a .gguf file. The exit status is 3 when what was asked for does not fit.

    \b
    Examples:
      shoestring plan smollm2
      shoestring plan smollm2 --context 8192 --ram 512MB
    """
    from shoestring import api

    with FetchDisplay() as progress:
        found = api.plan(model, context=context, batch=batch, budget=ram, exact=exact, progress=progress)
    present(found, view, as_json=as_json)
    return 0 if found.plans[0].fits else DOES_NOT_FIT


def view(found: PlanReport) -> Iterator[RenderableType]:
    """The report for people."""
    from rich.text import Text

    asked = found.plans[0]
    yield Text.assemble((found.model, "bold"), f" on {found.hardware}")
    yield Text(_settings(asked), style="dim")
    yield ""
    yield _memory(asked)
    yield ""
    yield _verdict(asked)
    yield Text(_largest(found))
    for note in asked.notes:
        yield Text.assemble(("! ", "bold yellow"), note)
    if len(found.plans) > 1:
        yield ""
        yield _alternatives(found)


def _settings(plan: Plan) -> str:
    batch = "" if plan.batch == 1 else f" × {plan.batch} sequences"
    return (
        f"context {plan.context:,}{batch} · {plan.precision} weights · {plan.kv_precision} cache · "
        f"{plan.engine} · by {plan.method}"
    )


def _memory(plan: Plan) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    terms = (
        ("weights", plan.bytes.weights),
        ("KV cache", plan.bytes.kv_cache),
        ("compute", plan.bytes.compute),
        ("runtime", plan.bytes.runtime),
    )
    for name, n_bytes in terms:
        share = n_bytes / max(1, plan.bytes.total)
        table.add_row(name, format_bytes(n_bytes), Text("█" * round(_BAR * share) or "▏", style="cyan"))
    budget = f"of {format_bytes(plan.budget_bytes)} that may be used"
    table.add_row(Text("total", style="bold"), Text(format_bytes(plan.bytes.total), style="bold"), budget)
    table.add_row("while loading", format_bytes(plan.bytes.load_peak), "")
    return table


def _verdict(plan: Plan) -> Text:
    from rich.text import Text

    verdict = ("Fits. ", "bold green") if plan.fits else ("Does not fit. ", "bold red")
    return Text.assemble(verdict, plan.reason)


def _largest(found: PlanReport) -> str:
    if found.largest_context is None:
        return "No context fits with these settings."
    return f"The largest context that fits: {found.largest_context:,} tokens."


def _alternatives(found: PlanReport) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("what would fit", "context", "cache", "total", "to spare"):
        left = name in ("what would fit", "cache")
        table.add_column(name, justify="left" if left else "right", no_wrap=not left)
    for index, option in enumerate(found.plans[1:], 1):
        table.add_row(
            option.reason,
            f"{option.context:,}",
            option.kv_precision,
            format_bytes(option.bytes.total),
            format_bytes(option.headroom_bytes),
            style="bold" if index == found.recommended else None,
        )
    return table
