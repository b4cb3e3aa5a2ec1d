"""`RemoteRange`: a file of the hub as a `RangeReader`. Only what is asked for travels, and only that is accepted."""

from __future__ import annotations

import re
import threading
from concurrent.futures import Future
from urllib.parse import urlsplit

from shoestring.errors import CorruptDownloadError, FetchError, ShoestringError
from shoestring.models.hub import client
from shoestring.models.hub.base import RemoteFile, Repository

MAX_AT_ONCE_BYTES = 96 * 2**20
"""The most that one read may ask for: the largest small file that is read whole."""
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")
_MIRROR = "Try again later; if the hub named here is a mirror, try another."


class RemoteRange:
    """A file of a repository, read by range. Safe to use from several threads.

    A large file's content is behind a redirect to a signed address, which is followed once and used again.

    Args:
        repository: at the commit that holds the file.
        file: which.
        head: the file's first bytes, where they are on their way already.
    """

    def __init__(self, repository: Repository, file: RemoteFile, head: Future[bytes] | None = None) -> None:
        self._repository = repository
        self._file = file
        self._head = head
        self._hub_address = client.file_address(repository.id, repository.commit, file.name)
        self._address = self._hub_address
        self._lock = threading.Lock()

    @property
    def size_bytes(self) -> int:
        return self._file.size_bytes

    def read(self, offset: int, length: int) -> bytes:
        """The `length` bytes from `offset` on; fewer only where the file ends sooner.

        Raises:
            AccessError, ModelNotFoundError, NetworkError: as `failures.translated`.
            FetchError: the server does not give ranges, or answers something else.
            CorruptDownloadError: the file is not the one that the hub described.
        """
        end = min(offset + length, self.size_bytes)
        head = self._head.result() if self._head is not None else b""
        if end <= len(head):
            return head[offset:end]
        if offset < len(head):
            return head[offset:] + self.fetch(len(head), end)
        return self.fetch(offset, end) if offset < end else b""

    def fetch(self, start: int, end: int) -> bytes:
        """The bytes from `start` up to `end`, in one request."""
        from shoestring.models.hub.failures import translated

        if end - start > MAX_AT_ONCE_BYTES:
            raise FetchError(f"{self._file.name} is asked for in too large a piece.", _MIRROR)
        with translated(self._repository.id, token_present=client.has_token()):
            return self._checked(self._asked(start, end), start, end)

    def _asked(self, start: int, end: int) -> client.Answer:
        whole = start == 0 and end == self.size_bytes
        headers = (
            {"Accept-Encoding": "gzip"}
            if whole
            else {"Accept-Encoding": "identity", "Range": f"bytes={start}-{end - 1}"}
        )
        with self._lock:
            address = self._address
        try:
            answer = client.get(address, at_most=end - start, headers=headers)
        except ShoestringError:
            raise
        except Exception:
            if address == self._hub_address:
                raise
            with self._lock:
                self._address = self._hub_address  # the signature has expired
            answer = client.get(self._hub_address, at_most=end - start, headers=headers)
        with self._lock:
            if urlsplit(answer.address).netloc != urlsplit(self._hub_address).netloc:
                self._address = answer.address
        return answer

    def _checked(self, answer: client.Answer, start: int, end: int) -> bytes:
        name, body = self._file.name, answer.body
        whole = start == 0 and end == self.size_bytes
        if answer.status == 206:
            match = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
            found = tuple(map(int, match.groups())) if match else None
            if found is None or found[:2] != (start, end - 1):
                raise FetchError(f"The hub gave another part of {name} than was asked for.", _MIRROR)
            if found[2] != self.size_bytes:
                raise _other(name, self.size_bytes, found[2])
        elif not whole:
            raise FetchError(f"The hub gives no parts of {name}, only the whole file.", _MIRROR)
        if len(body) != end - start:
            if whole and answer.status == 200:
                raise _other(name, self.size_bytes, len(body))
            raise FetchError(f"The hub's answer for {name} ended early.", _MIRROR)
        return body

    def __enter__(self) -> RemoteRange:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing stays open between reads."""


def _other(name: str, expected: int, found: int) -> CorruptDownloadError:
    return CorruptDownloadError(
        f"{name} has {found:,} bytes, but the hub describes one of {expected:,}.",
        "The hub and its file store disagree. Try again later.",
    )
