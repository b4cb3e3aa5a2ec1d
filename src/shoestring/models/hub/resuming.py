"""A cut connection, told to huggingface_hub as the kind of failure that it resumes from.

Its downloads go on in place where a body ends early (`RemoteProtocolError`), but start over where the connection is
reset while a body is read (`ReadError`): `huggingface_hub.file_download.http_get`, version 2.4.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx2


@contextmanager
def resuming() -> Iterator[None]:
    """Inside the block, a download of huggingface_hub goes on where its connection was cut."""
    from huggingface_hub.utils import get_session

    session = get_session()
    before = session.event_hooks
    session.event_hooks = {**before, "response": [*before["response"], _soften]}
    try:
        yield
    finally:
        session.event_hooks = before


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
