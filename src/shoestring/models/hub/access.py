"""`check`: whether this user may read a repository, before a byte of its weights is asked for."""

from __future__ import annotations

from shoestring.errors import AccessError
from shoestring.models.hub import client
from shoestring.models.hub.base import Repository
from shoestring.models.hub.failures import cannot_read_gated, translated

_SHORT_BYTES = 64 * 1024


def check(repository: Repository) -> None:
    """Ask the hub whether a gated or private repository may be read: one request, and one more where it may not.

    Raises:
        AccessError: its sentence says what is missing (a login, the owner's consent, the token's permission), and
            where to get it.
        ModelNotFoundError, NetworkError, FetchError: as `failures.translated`.
    """
    try:
        with translated(repository.id, token_present=client.has_token()):
            client.get(f"{client.api_address(repository.id, None)}/auth-check", at_most=_SHORT_BYTES)
    except AccessError:
        if repository.gated and client.has_token() and _token_is_too_narrow():
            raise cannot_read_gated(repository.id) from None
        raise


def _token_is_too_narrow() -> bool:
    """Whether the reason is the token, not its user: the hub's refusal does not always say."""
    from shoestring.errors import ShoestringError
    from shoestring.models.hub.token import whoami

    try:
        return whoami().reads_gated is False
    except ShoestringError:  # the refusal stands without the reason behind it
        return False
