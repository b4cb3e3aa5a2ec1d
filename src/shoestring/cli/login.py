"""`shoestring login`: a token of the hub, checked and kept where every tool of the Hugging Face hub finds it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from shoestring.cli import _options
from shoestring.cli._output import print_json, say
from shoestring.errors import UsageError

if TYPE_CHECKING:
    from shoestring.models.hub.token import Account


@click.command()
@click.option("--again", is_flag=True, help="Ask for a token although somebody is logged in.")
@_options.as_json
def login(again: bool, as_json: bool) -> None:
    """Log in at the Hugging Face hub, for gated and private models.

    The token is typed unseen (elsewhere than on a terminal it is read from stdin), checked with the hub, and kept where
    huggingface_hub keeps it, so that every tool on this machine shares the login. A token in HF_TOKEN wins over it.

    \b
    Examples:
      shoestring login
      shoestring login < token.txt
      shoestring whoami
    """
    from shoestring.models.hub import token

    if not again and sys.stdin.isatty() and (account := token.current()) is not None:
        _told(account, "You are logged in already, as", as_json=as_json)
        return
    done = token.login(_ask(as_json=as_json))
    if token.source() == "environment":
        say("HF_TOKEN is set and stays in use: it wins over a login.")
    _told(done.account, "Logged in as" if done.stored else "This token was kept already:", as_json=as_json)


def _ask(*, as_json: bool) -> str:
    """The token, typed unseen or from stdin; it is never an argument, which other users of the machine could see."""
    from shoestring.models.hub import client

    if not sys.stdin.isatty():
        return sys.stdin.readline()
    if as_json and not sys.stderr.isatty():
        raise UsageError("A token cannot be asked for here.", "Give it on stdin.")
    say(f"Make a token at {client.endpoint()}/settings/tokens (reading is enough) and paste it here.")
    typed: str = click.prompt("Token (stays hidden)", hide_input=True, err=True)
    return typed


def _told(account: Account, before: str, *, as_json: bool) -> None:
    if as_json:
        print_json(account)
        return
    say(f"{before} {account.name}.")
    if account.reads_gated is False:
        say("This token may not read gated models: its settings on the hub can allow it.")
