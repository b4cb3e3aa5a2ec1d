"""`shoestring plan MODEL`: what it would take, whether it fits, and what would."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from shoestring.cli import _options
from shoestring.cli._errors import DOES_NOT_FIT
from shoestring.cli._output import present, say
from shoestring.cli._progress import FetchDisplay
from shoestring.planning.report_text import (
    LEFT,
    footprint,
    most_that_fits,
    rows_of,
    settings_of,
    speed,
    verdict,
)

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

    from shoestring.planning.base import Plan, PlanReport


@click.command()
@_options.model
@click.option("--hardware", metavar="NAME", help="Plan for a named machine, such as t4 or laptop-16gb.")
@_options.ram
@_options.vram
@_options.context
@click.option("--batch", type=int, metavar="N", help="Sequences side by side; in training, examples a step.")
@_options.precision
@_options.kv_precision
@click.option("--engine", metavar="NAME", help="llama_cpp, transformers or vllm.  [default: the best]")
@click.option(
    "--for", "purpose", default="inference", show_default=True, metavar="PURPOSE",
    help="inference, or a way of training: full, lora or qlora.",
)  # fmt: skip
@click.option("--at-least", "quality_floor", metavar="NAME", help="Recommend no precision below this one.")
@click.option("--exact", is_flag=True, help="Ask the engine for its figures (a dry run, seconds).")
@_options.offline
@_options.as_json
def plan(
    model: str,
    hardware: str | None,
    ram: str | None,
    vram: str | None,
    context: int | None,
    batch: int | None,
    precision: str | None,
    kv_precision: str | None,
    engine: str | None,
    purpose: str,
    quality_floor: str | None,
    exact: bool,
    offline: bool,
    as_json: bool,
) -> int:
    """Show how much memory a model needs, whether it fits, and what would.

    MODEL is a name (see `shoestring models list`), a model of the Hugging Face hub (org/name), the path of a .gguf file,
    or a folder with config.json, tokenizer.json and safetensors files. Headers are enough: no weights are read or
    fetched. Sizes are decimal: GB is 10⁹ bytes. The exit status is 3 when what was asked for does not fit, or nobody can say whether it does.

    \b
    Examples:
      shoestring plan smollm2
      shoestring plan smollm2 --context 8192 --ram 512MB
      shoestring plan org/name --hardware t4
      shoestring plan ./Llama-3-8B --hardware rtx-3060 --precision Q4_K_M --batch 4
      shoestring plan ./Llama-3-8B --hardware t4 --for qlora --context 1024 --batch 16
    """
    from shoestring import api

    if exact and purpose == "inference":
        say("Asking the engine, if it can be asked…", dim=True)
    with FetchDisplay() as progress:
        found = api.plan(
            model,
            hardware=hardware,
            ram=ram,
            vram=vram,
            context=context,
            batch=batch,
            precision=precision,
            kv_precision=kv_precision,
            engine=engine,
            purpose=purpose,
            quality_floor=quality_floor,
            exact=exact,
            progress=progress,
            offline=offline,
        )
    present(found, view, as_json=as_json)
    return 0 if found.recommended == 0 else DOES_NOT_FIT


def view(found: PlanReport) -> Iterator[RenderableType]:
    """The report for people: the plan that matters most in full, then the others a line each."""
    from rich.text import Text

    first = found.plans[0]
    yield Text.assemble((found.model, "bold"), f" on {found.hardware}")
    yield Text(settings_of(first), style="dim")
    yield ""
    yield from _devices(first)
    yield ""
    yield _verdict(found)
    yield from _limits(found)
    for note in dict.fromkeys(first.notes):
        yield Text.assemble(("! ", "bold yellow"), note)
    if len(found.plans) > 1:
        yield ""
        yield _others(found)
    if found.recommended:
        yield ""
        yield Text.assemble(("▸ What would fit: ", "bold"), found.plans[found.recommended].reason)


def _devices(plan: Plan) -> Iterator[RenderableType]:
    from shoestring.cli._memory_bar import bar, legend

    for name, device in plan.placement.items():
        yield from bar(name, device, lone=len(plan.placement) == 1)
    yield legend(plan)


def _verdict(found: PlanReport) -> Text:
    from rich.text import Text

    state, colour = verdict(found)
    return Text.assemble((f"{state} ", f"bold {colour}"), found.plans[0].reason)


def _limits(found: PlanReport) -> Iterator[RenderableType]:
    from rich.text import Text

    first = found.plans[0]
    for sentence in (most_that_fits(found), speed(first), footprint(first)):
        if sentence:
            yield Text(sentence)


def _others(found: PlanReport) -> Table:
    """Every plan, a line each."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    rows = rows_of(found)
    table.add_column("", no_wrap=True)
    for name in rows[0]:
        table.add_column(name, justify="left" if name in LEFT else "right", no_wrap=name != "where")
    for index, (plan, row) in enumerate(zip(found.plans, rows, strict=True)):
        recommended = index == found.recommended
        mark = "▸" if recommended else ""
        table.add_row(mark, *row.values(), style="bold" if recommended else None if plan.fits else "dim")
    return table
