"""Who is logged in at the hub, logging in and out. The token is kept where huggingface_hub keeps it (mode 0600), so that
a login made here or by any other tool is one and the same. No token is ever shown, logged or part of an error.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from shoestring.errors import AccessError, FetchError, UsageError
from shoestring.models.hub import client
from shoestring.models.hub.failures import bad_token, translated
from shoestring.models.hub.quiet import quiet

_TOKEN = re.compile(r"[\x21-\x7e]{4,1000}")
_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")

Source = Literal["environment", "login", "elsewhere"]
"""Where a token comes from: `HF_TOKEN`, the file of a login, or what else huggingface_hub knows (a Colab secret, OIDC)."""


@dataclass(frozen=True)
class Account:
    """Who a token belongs to, and what it may do. Holds no token.

    Attributes:
        name: the user's.
        token_name: as its owner called it; None: the hub does not say.
        role: "read", "write" or "fineGrained"; None: the hub does not say.
        reads_gated: whether it may read gated repositories that its user was let into; None: the hub does not say.
        source: where the token comes from.
        hub: the address of the hub that was asked.
    """

    name: str
    token_name: str | None
    role: str | None
    reads_gated: bool | None
    source: Source
    hub: str


@dataclass(frozen=True)
class Login:
    """What logging in did.

    Attributes:
        account: whom requests are made for from now on.
        stored: whether a token was written; False: it, or another that is in use, was there already.
    """

    account: Account
    stored: bool


@dataclass(frozen=True)
class Logout:
    """What logging out did.

    Attributes:
        removed: whether there was a stored token.
        still: where a token that stays in use comes from; None: there is none.
    """

    removed: bool
    still: Source | None


def source() -> Source | None:
    """Where the token in use comes from; None: there is none."""
    from huggingface_hub import get_token

    if any(os.environ.get(name, "").strip() for name in _VARIABLES):
        return "environment"
    if _stored():
        return "login"
    return "elsewhere" if get_token() else None


def whoami() -> Account:
    """Ask the hub whose token is in use.

    Raises:
        AccessError: there is none, or the hub does not accept it.
        NetworkError, FetchError: as `failures.translated`.
    """
    where = source()
    if where is None:
        raise AccessError(
            "Nobody is logged in at the hub.",
            f"Make a token at {client.endpoint()}/settings/tokens, and log in with it.",
        )
    return _account(None, where)


def current() -> Account | None:
    """Who is logged in; None: nobody, or by a kept token that the hub does not accept any more.

    Raises:
        AccessError: the hub does not accept a token of the environment, which wins over any login.
        NetworkError, FetchError: as `failures.translated`.
    """
    where = source()
    if where is None:
        return None
    try:
        return whoami()
    except AccessError:
        if where == "login":
            return None
        raise


def login(token: str) -> Login:
    """Check a token with the hub and keep it, unless it is kept already.

    While a token is in the environment, that one goes on being used.

    Raises:
        UsageError: this cannot be a token.
        AccessError: the hub does not accept it.
        NetworkError, FetchError: as `failures.translated`.
    """
    from huggingface_hub import login as store

    token = token.strip()
    if not _TOKEN.fullmatch(token):
        raise UsageError(
            "This is no token: it is empty, or has spaces or signs in it that tokens do not have.",
            f"Copy one whole from {client.endpoint()}/settings/tokens.",
        )
    account = _account(token, "login")
    if token == _stored():
        return Login(account, stored=False)
    with translated("the token", token_present=True), quiet():
        store(token=token, add_to_git_credential=False)
    return Login(account, stored=True)


def logout() -> Logout:
    """Forget the stored token, here and for every other tool that uses this login; others that were stored stay.

    Raises:
        AccessError: the file that holds it may not be changed.
    """
    from huggingface_hub import constants
    from huggingface_hub import logout as forget
    from huggingface_hub.utils import get_stored_tokens

    token = _stored()
    if token is None:
        return Logout(removed=False, still=source())
    name = next((name for name, stored in get_stored_tokens().items() if stored == token), None)
    with translated("the token", token_present=True), quiet():
        if name is not None:
            try:
                forget(name)
            except OSError:
                if _stored() is not None:  # else: no git is there to be told, or HF_TOKEN is set
                    raise
        Path(constants.HF_TOKEN_PATH).unlink(missing_ok=True)
    return Logout(removed=True, still=source())


def _account(token: str | None, where: Source) -> Account:
    """Whose token this is; None: the one in use."""
    from huggingface_hub import HfApi

    if client.is_offline():
        raise FetchError("Nobody can be asked whose token this is while offline.", "Unset HF_HUB_OFFLINE.")
    try:
        with translated("the token", token_present=True), quiet():
            found: Any = HfApi(endpoint=client.endpoint()).whoami(token=token)
    except ValueError as error:  # an answer that is no JSON
        raise _senseless() from error
    return _parsed(found, where)


def _parsed(found: object, where: Source) -> Account:
    """The account that an answer describes. What has not the right type is not known."""
    if not isinstance(found, dict) or not isinstance(name := found.get("name"), str):
        raise _senseless()
    auth = found.get("auth")
    token = auth.get("accessToken") if isinstance(auth, dict) else None
    token = token if isinstance(token, dict) else {}
    role, shown, fine = (token.get(key) for key in ("role", "displayName", "fineGrained"))
    gated = fine.get("canReadGatedRepos") if isinstance(fine, dict) else role in ("read", "write") or None
    return Account(
        name=name[:200],
        token_name=shown[:200] if isinstance(shown, str) else None,
        role=role[:40] if isinstance(role, str) else None,
        reads_gated=gated if isinstance(gated, bool) else None,
        source=where,
        hub=client.endpoint(),
    )


def _senseless() -> FetchError:
    return FetchError(f"{client.endpoint()} does not answer as a hub does.", "Check HF_ENDPOINT.")


def _stored() -> str | None:
    """The token of a login."""
    from huggingface_hub import constants

    try:
        return Path(constants.HF_TOKEN_PATH).read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AccessError(
            f"The file {constants.HF_TOKEN_PATH} with the login cannot be read: {error.strerror}.",
            "Change its permissions, or remove it and log in again.",
        ) from error
    except UnicodeDecodeError:
        raise bad_token() from None
