"""`shoestring models`: what is here, what could be, fetching and removing."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from shoestring.cli import _options
from shoestring.cli._output import present, print_json, printable, say
from shoestring.cli._progress import FetchDisplay
from shoestring.units import format_bytes

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from shoestring.models.cache import CachedModel


_LEAST_DESCRIPTION = 20  # columns; narrower, and words are cut


@click.group()
def models() -> None:
    """List, fetch and remove models."""


@models.command("list")
@_options.as_json
def list_models(as_json: bool) -> None:
    """List the starters, fetched or not, and the models of the hub that are here.

    Any other model of the hub (org/name), a path to a .gguf file and a checkpoint's folder work as models, too.
    """
    from shoestring.models import cache

    present(cache.list_models(), view, as_json=as_json)


@models.command("pull")
@_options.model
@click.option(
    "--trust-remote-code",
    is_flag=True,
    help="Fetch Python code that the model's authors ship with it, too. Nothing of it is run.",
)
@_options.as_json
def pull(model: str, trust_remote_code: bool, as_json: bool) -> None:
    """Fetch a model, or check the one that is here.

    \b
    Examples:
      shoestring models pull smollm2
      shoestring models pull org/name:Q4_K_M
    """
    from shoestring import api

    with FetchDisplay() as progress:
        resolved = api.pull(model, trust_remote_code=trust_remote_code, progress=progress)
    if as_json:
        print_json(resolved)
        return
    say(f"{resolved.id} is here.")
    for file in resolved.files:
        click.echo(printable(str(file)) if sys.stdout.isatty() else os.fsencode(file))


@models.command("rm")
@_options.model
@_options.as_json
def remove(model: str, as_json: bool) -> None:
    """Remove a fetched model from this machine.

    A model of the hub (org/name) is removed from the cache that every tool of the Hugging Face hub shares.

    \b
    Examples:
      shoestring models rm smollm2
      shoestring models rm org/name
    """
    from shoestring.models import cache

    freed = cache.remove(model)
    if as_json:
        print_json({"model": model, "freed_bytes": freed})
    else:
        say(f"Removed {model}: {format_bytes(freed)} freed.")


def view(found: tuple[CachedModel, ...]) -> Iterator[RenderableType]:
    """The list for people: as many columns as there is room for, or one model under the other."""
    from shoestring.cli._screen import Fitting

    rows = [_row(model) for model in found]
    yield Fitting(_table(rows), _table(rows, leave_out=("licence",)), otherwise=_stacked(rows))


def _row(model: CachedModel) -> dict[str, str]:
    return {
        "model": model.id,
        "size": format_bytes(model.size_bytes),
        "here": "yes" if model.present else f"no, {format_bytes(model.download_bytes)} to fetch",
        "licence": model.license or "not said",
        "what it is": model.description + _history(model),
    }


def _history(model: CachedModel) -> str:
    """Of a model of the hub: which version is here, and when it was used."""
    if model.commit is None or model.last_used is None:
        return ""
    return f", commit {model.commit[:7]}, last used {model.last_used[:10]}"


def _table(rows: list[dict[str, str]], leave_out: tuple[str, ...] = ()) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    names = [name for name in rows[0] if name not in leave_out]
    for name in names:
        wraps = name == "what it is"
        least = (
            _LEAST_DESCRIPTION if wraps else max(len(text) for text in (name, *(row[name] for row in rows)))
        )
        table.add_column(
            name, "", justify="right" if name == "size" else "left", no_wrap=not wraps, min_width=least
        )
    for row in rows:
        table.add_row(*(row[name] for name in names))
    return table


def _stacked(rows: list[dict[str, str]]) -> RenderableType:
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    parts: list[RenderableType] = []
    for row in rows:
        facts = [text if name != "here" else f"here: {text}" for name, text in row.items() if name != "model"]
        parts += [Text(row["model"], style="bold"), *(Padding(fact, (0, 0, 0, 2)) for fact in facts)]
    return Group(*parts)
