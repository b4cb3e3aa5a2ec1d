"""`shoestring models`: what is here, what could be, fetching and removing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from shoestring.cli import _options
from shoestring.cli._output import present, print_json, say
from shoestring.cli._progress import FetchDisplay
from shoestring.units import format_bytes

if TYPE_CHECKING:
    from rich.console import RenderableType

    from shoestring.models.cache import CachedModel


@click.group()
def models() -> None:
    """List, fetch and remove models."""


@models.command("list")
@_options.as_json
def list_models(as_json: bool) -> None:
    """List the models that can be named, fetched or not.

    A path to any .gguf file works as a model, too.
    """
    from shoestring.models import cache

    present(cache.list_models(), view, as_json=as_json)


@models.command("pull")
@_options.model
@_options.as_json
def pull(model: str, as_json: bool) -> None:
    """Fetch a model, or check the one that is here.

    \b
    Example:
      shoestring models pull smollm2
    """
    from shoestring import api

    with FetchDisplay() as progress:
        resolved = api.pull(model, progress=progress)
    if as_json:
        print_json(resolved)
        return
    say(f"{resolved.id} is here.")
    for file in resolved.files:
        click.echo(file)


@models.command("rm")
@_options.model
@_options.as_json
def remove(model: str, as_json: bool) -> None:
    """Remove a fetched model from this machine.

    \b
    Example:
      shoestring models rm smollm2
    """
    from shoestring.models import cache

    freed = cache.remove(model)
    if as_json:
        print_json({"model": model, "freed_bytes": freed})
    else:
        say(f"Removed {model}: {format_bytes(freed)} freed.")


def view(found: tuple[CachedModel, ...]) -> Iterator[RenderableType]:
    """The list for people."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("model", "size", "here", "licence", "what it is"):
        table.add_column(name, justify="right" if name == "size" else "left", no_wrap=name != "what it is")
    for model in found:
        here = "yes" if model.present else f"no, {format_bytes(model.download_bytes)} to fetch"
        table.add_row(model.id, format_bytes(model.size_bytes), here, model.license, model.description)
    yield table
