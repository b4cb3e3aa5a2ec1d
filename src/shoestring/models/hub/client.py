"""The one way to speak to the hub: answers of bounded length, a deadline, few retries, the token for the hub alone.

Connections, proxies, certificates and the token are huggingface_hub's business (`HF_ENDPOINT`, `HF_TOKEN`, an existing
login, `HF_HUB_OFFLINE`). Importing this module imports none of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urljoin, urlsplit

from shoestring.errors import FetchError, NetworkError

if TYPE_CHECKING:
    import httpx2

ATTEMPTS = 3
_RETRIED = frozenset({429, 500, 502, 503, 504})
_CONNECT_S, _SILENCE_S = 10.0, 20.0
_PATIENCE_S, _SLOWEST_BYTES_PER_S = 30.0, 32 * 1024
_PAUSE_S, _LONGEST_PAUSE_S = 0.3, 10.0
_MAX_REDIRECTS = 5
_KEPT_OF_ERRORS = ("X-Error-Code", "X-Error-Message", "Retry-After", "X-Request-Id")
_HINT = "Try again later, or name another hub if this one is a mirror."


@dataclass(frozen=True)
class Answer:
    """What the hub answered.

    Attributes:
        status: 200 or 206.
        headers: by lower-case name.
        body: decoded, at most as long as was allowed.
        address: where it came from in the end, after redirects.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    address: str


def endpoint() -> str:
    """The hub's address, without a slash at its end."""
    from huggingface_hub import constants

    return constants.ENDPOINT


def is_offline() -> bool:
    """Whether the environment forbids asking the hub (`HF_HUB_OFFLINE`)."""
    from huggingface_hub import constants

    return bool(constants.is_offline_mode())


def has_token() -> bool:
    """Whether requests carry a token."""
    return "Authorization" in _hub_headers()


def api_address(repo_id: str, revision: str | None, *, kind: str = "models") -> str:
    """Where the hub describes a repository."""
    at = "" if revision is None else f"/revision/{quote(revision, safe='')}"
    return f"{endpoint()}/api/{kind}/{quote(repo_id)}{at}"


def file_address(repo_id: str, commit: str, name: str) -> str:
    """Where the hub gives a file's content."""
    return f"{endpoint()}/{quote(repo_id)}/resolve/{quote(commit, safe='')}/{quote(name)}"


def get(
    address: str,
    *,
    at_most: int,
    headers: Mapping[str, str] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Answer:
    """Ask for something, again where the connection failed or the hub was overloaded. To be called inside
    `failures.translated`.

    Args:
        address: whose origin decides whether the token is sent along: only the hub's own gets it.
        at_most: bytes of the decoded body.
        headers: of the request, besides the hub's own.
        sleep: waits between attempts.

    Raises:
        FetchError: the answer is longer than allowed, or redirects without end.
        NetworkError: it took too long.
        httpx2.TransportError, huggingface_hub.errors.HfHubHTTPError: as the library; for `translated`.
    """
    import httpx2

    attempt = 0
    while True:
        attempt += 1
        try:
            answer, response = _follow(address, headers or {}, at_most)
        except httpx2.TransportError:
            if attempt == ATTEMPTS:
                raise
            sleep(_PAUSE_S * attempt)
            continue
        if answer is not None:
            return answer
        pause = _pause(response.headers.get("Retry-After"), attempt)
        if attempt == ATTEMPTS or response.status_code not in _RETRIED or pause is None:
            raise _failure(response)
        sleep(pause)


def _pause(retry_after: str | None, attempt: int) -> float | None:
    """Seconds before the next attempt; None where the hub asks for more than anyone waits."""
    if retry_after is None or not retry_after.isdecimal():
        return _PAUSE_S * attempt
    return float(retry_after) if len(retry_after) < 4 and float(retry_after) <= _LONGEST_PAUSE_S else None


def _failure(response: httpx2.Response) -> Exception:
    """The library's error for a status; of a stranger's answer it sees the headers that it knows, and no body."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import hf_raise_for_status

    kept = {name: response.headers[name] for name in _KEPT_OF_ERRORS if name in response.headers}
    bare = httpx2.Response(response.status_code, headers=kept, json={}, request=response.request)
    try:
        hf_raise_for_status(bare)
    except HfHubHTTPError as error:
        return error
    return FetchError(f"The hub answered with status {response.status_code}, which says nothing.", _HINT)


def _follow(address: str, headers: Mapping[str, str], at_most: int) -> tuple[Answer | None, httpx2.Response]:
    """One request and the redirects it leads to; no answer where the status says that there is none."""
    deadline = time.monotonic() + _PATIENCE_S + at_most / _SLOWEST_BYTES_PER_S
    for _ in range(_MAX_REDIRECTS + 1):
        with _stream(address, headers) as response:
            if response.is_redirect:
                address = _next(address, response.headers.get("Location", ""))
                continue
            if response.status_code not in (200, 206):
                return None, response
            body = _body(response, at_most, deadline)
            found = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status_code, found, body, address), response
    raise FetchError(f"The hub redirects {urlsplit(address).path[:200]} without end.", _HINT)


@contextmanager
def _stream(address: str, headers: Mapping[str, str]) -> Iterator[httpx2.Response]:
    """A response whose body is not read yet. Left unread, its connection is closed."""
    import httpx2
    from huggingface_hub.utils import get_session

    session = get_session()
    own = _hub_headers(with_token=_origin(address) == _origin(endpoint()))
    timeout = httpx2.Timeout(_SILENCE_S, connect=_CONNECT_S, pool=_PATIENCE_S)
    try:
        request = session.build_request("GET", address, headers={**own, **headers}, timeout=timeout)
    except httpx2.InvalidURL as error:
        raise FetchError(f"{address[:200]} is no address that can be asked.", _HINT) from error
    response = session.send(request, stream=True, follow_redirects=False)
    try:
        yield response
    finally:
        response.close()


def _hub_headers(*, with_token: bool = True) -> dict[str, str]:
    """Ours, not `build_hf_headers`: that one asks the hub for a list of programs that might have called it."""
    from huggingface_hub import constants, get_token

    from shoestring._version import __version__

    found = {"User-Agent": f"shoestring/{__version__}"}
    token = get_token() if with_token and not constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else None
    return found if token is None else {**found, "Authorization": f"Bearer {token}"}


def _origin(address: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(address)
    return parts.scheme, parts.hostname, parts.port


def _next(address: str, location: str) -> str:
    """Where a redirect leads.

    Raises:
        FetchError: nowhere, to something that is not the web, or from a safe connection to an open one.
    """
    try:
        target = urljoin(address, location)
        scheme = urlsplit(target).scheme
        _origin(target)  # its port may be no number
    except ValueError:
        scheme = ""
    if not location or scheme not in ("http", "https") or (scheme == "http" and address.startswith("https:")):
        raise FetchError(f"The hub redirects {urlsplit(address).path[:200]} to where nobody follows.", _HINT)
    return target


def _body(response: httpx2.Response, at_most: int, deadline: float) -> bytes:
    stated = response.headers.get("Content-Length", "")
    if "Content-Encoding" not in response.headers and stated.isdecimal() and int(stated[:20]) > at_most:
        raise _too_long(at_most)
    body = bytearray()
    for piece in _pieces(response):
        body += piece
        if len(body) > at_most:
            raise _too_long(at_most)
        if time.monotonic() > deadline:
            raise NetworkError("The hub's answer took too long.", "Check the network, or try again later.")
    return bytes(body)


def _pieces(response: httpx2.Response) -> Iterator[bytes]:
    """The body as it arrives. A body that cannot be decoded is a broken connection, to be tried again."""
    import httpx2

    try:
        yield from response.iter_bytes()
    except httpx2.DecodingError as error:
        raise httpx2.RemoteProtocolError("the body cannot be decoded", request=response.request) from error


def _too_long(at_most: int) -> FetchError:
    return FetchError(f"The hub sent more than the {at_most:,} bytes that were asked for.", _HINT)
