"""`shoestring logout`: the kept token forgotten, for every tool that shares the login."""

from __future__ import annotations

import click

from shoestring.cli import _options
from shoestring.cli._output import print_json, say


@click.command()
@_options.as_json
def logout(as_json: bool) -> None:
    """Forget the token of the Hugging Face hub that is kept on this machine.

    \b
    Example:
      shoestring logout
    """
    from shoestring.models.hub import token

    done = token.logout()
    if as_json:
        print_json(done)
        return
    say("Logged out." if done.removed else "Nobody was logged in.")
    if done.still == "environment":
        say("HF_TOKEN is set and stays in use: unset it to be nobody.")
    elif done.still is not None:
        say("A token from this environment stays in use.")
