"""`shoestring whoami`: whose token is in use at the hub, and what it may do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from shoestring.cli import _options
from shoestring.cli._output import present

if TYPE_CHECKING:
    from rich.console import RenderableType

    from shoestring.models.hub.token import Account

_SOURCES = {"environment": "HF_TOKEN", "login": "a login on this machine", "elsewhere": "this environment"}
_GATED = {True: "yes, those that its user was let into", False: "no", None: "the hub does not say"}


@click.command()
@_options.as_json
def whoami(as_json: bool) -> None:
    """Show who is logged in at the Hugging Face hub. The token itself is never shown.

    \b
    Example:
      shoestring whoami
    """
    from shoestring.models.hub import token

    present(token.whoami(), view, as_json=as_json)


def view(account: Account) -> Iterator[RenderableType]:
    """The account for people."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("User", account.name)
    table.add_row("Token", f"{account.token_name or 'without a name'} ({account.role or 'role unknown'})")
    table.add_row("From", _SOURCES[account.source])
    table.add_row("Gated models", _GATED[account.reads_gated])
    table.add_row("Hub", account.hub)
    yield table
