"""`login`: a token of the hub asked for where people are: a form in a notebook, an unseen prompt on a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from shoestring.errors import ShoestringError, UsageError
from shoestring.models.hub import client
from shoestring.models.hub.token import Login, current
from shoestring.models.hub.token import login as log_in

if TYPE_CHECKING:
    import ipywidgets


def login(token: str | None = None) -> Login | None:
    """Log in at the Hugging Face hub, for gated and private models. The login is huggingface_hub's: every tool shares it.

    Args:
        token: of the hub; None: nothing is done where somebody is logged in, else it is asked for.

    Returns:
        Whom requests are made for from now on; None in a notebook, whose form tells it when it is filled in.

    Raises:
        UsageError: this is no token; or there is nobody to be asked for one.
        AccessError, NetworkError, FetchError: as `models.hub.token.login`.
    """
    if token is not None:
        return log_in(token)
    if (account := current()) is not None:
        return Login(account, stored=False)
    if _in_notebook() and _show_form():
        return None
    return log_in(_asked())


def form() -> ipywidgets.VBox:
    """A field for the token, a button, and a line that tells what came of it."""
    import ipywidgets

    field = ipywidgets.Password(description="Token", placeholder="hf_…")
    button = ipywidgets.Button(description="Log in", button_style="primary")
    told = ipywidgets.Label(f"Make a token at {client.endpoint()}/settings/tokens (reading is enough).")

    def submit(_: object) -> None:
        typed, field.value = field.value, ""  # a notebook may be saved with what its fields hold
        told.value = _outcome(typed)

    button.on_click(submit)
    return ipywidgets.VBox([told, field, button])


def _outcome(typed: str) -> str:
    try:
        return f"Logged in as {log_in(typed).account.name}."
    except ShoestringError as error:
        return f"{error.message} {error.hint or ''}".strip()


def _in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


def _show_form() -> bool:
    """Show the form; False where ipywidgets (the `notebook` extra) is not installed."""
    from importlib.util import find_spec

    if find_spec("ipywidgets") is None:
        return False
    from IPython.display import display

    display(form())
    return True


def _asked() -> str:
    """The token, typed unseen: on a terminal, or in the field that a kernel opens for `getpass`."""
    from getpass import getpass

    if not _in_notebook() and not (sys.stdin is not None and sys.stdin.isatty()):
        raise UsageError(
            "There is nobody here who could be asked for a token.",
            "Give it as an argument, put it into HF_TOKEN, or log in on a terminal once.",
        )
    return getpass(f"Token of {client.endpoint()} (stays hidden): ")
