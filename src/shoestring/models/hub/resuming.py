"""What huggingface_hub's downloads (version 2.4) lack on bad networks and with hubs that lie.

They go on in place where a body ends early (`RemoteProtocolError`), but start over where the connection is reset while
a body is read (`ReadError`), and lose what came of a piece of 10 MiB: where connections last for less than that, nothing
ever arrives (`file_download.http_get`). And a file is written to where its ETag says, be it outside of the cache
(`file_download._hf_hub_download_to_cache_dir`).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from shoestring.errors import FetchError
from shoestring.units import MiB

if TYPE_CHECKING:
    import httpx2

PIECE_BYTES = MiB
"""What of a file may come twice when its connection is cut."""
_FILE_NAME = re.compile(r"[\w+=-][\w.+=-]{0,199}", re.ASCII)


@contextmanager
def resuming(commit: str) -> Iterator[None]:
    """Inside the block, a download by this thread goes on where its connection was cut, and is of this commit.

    Raises:
        FetchError: the hub gives a file of another commit, or with an ETag that is no file's name.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    thread = threading.get_ident()

    def hook(response: httpx2.Response) -> None:
        if threading.get_ident() == thread:
            _check(response, commit)
            _soften(response)

    session = get_session()
    hooks, piece_bytes = session.event_hooks, constants.DOWNLOAD_CHUNK_SIZE
    session.event_hooks = {**hooks, "response": [*hooks["response"], hook]}
    constants.DOWNLOAD_CHUNK_SIZE = PIECE_BYTES
    try:
        yield
    finally:
        session.event_hooks = hooks
        constants.DOWNLOAD_CHUNK_SIZE = piece_bytes


def _check(response: httpx2.Response, commit: str) -> None:
    """Refuse a description of a file that would put it elsewhere than where it belongs."""
    if response.request.method != "HEAD":
        return
    for name in ("ETag", "X-Linked-Etag"):
        etag = response.headers.get(name, "none").lstrip("W/").strip('"')  # as the library reads it
        if not _FILE_NAME.fullmatch(etag):
            raise FetchError("The hub gives a file an ETag that none has.", _OTHER_HUB)
    if response.headers.get("X-Repo-Commit", commit) != commit:
        raise FetchError(
            "The hub gives a file of another commit than the one that was asked for.", _OTHER_HUB
        )


def _soften(response: httpx2.Response) -> None:
    """Have the body of a response, not read yet, end early where it would break off."""
    import httpx2

    class Softened(httpx2.SyncByteStream):
        def __init__(self, stream: httpx2.SyncByteStream) -> None:
            self._stream = stream

        def __iter__(self) -> Iterator[bytes]:
            try:
                yield from self._stream
            except httpx2.ReadError as error:
                raise httpx2.RemoteProtocolError("the connection was cut") from error

        def close(self) -> None:
            self._stream.close()

    if isinstance(response.stream, httpx2.SyncByteStream):
        response.stream = Softened(response.stream)


_OTHER_HUB = "Try again later; if the hub named here is a mirror, try another."
