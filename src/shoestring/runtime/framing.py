"""Length-prefixed frames on a pipe: 4 bytes of little-endian length, then that many bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

_LENGTH_BYTES = 4
MAX_FRAME_BYTES = 64 * 1024**2
"""No frame is larger: neither side allocates what the other merely claims."""


class FrameError(Exception):
    """The other side sent something that is not made of frames."""


def frame(body: bytes) -> bytes:
    """The body as it goes down a pipe.

    Raises:
        FrameError: it is longer than the other side would take.
    """
    if len(body) > MAX_FRAME_BYTES:
        raise FrameError(f"a message of {len(body):,} bytes is too long to be sent")
    return len(body).to_bytes(_LENGTH_BYTES, "little") + body


def read_frames(read: Callable[[int], bytes]) -> Iterator[bytes]:
    """Bodies of the frames that `read(n)` delivers (at most n bytes; empty at the end of the stream).

    Raises:
        FrameError: a frame claims to be longer than `MAX_FRAME_BYTES`, or the stream ends inside one.
    """
    buffer = bytearray()
    while True:
        while len(buffer) >= _LENGTH_BYTES:
            length = int.from_bytes(buffer[:_LENGTH_BYTES], "little")
            if length > MAX_FRAME_BYTES:
                raise FrameError(f"a frame claims {length} bytes")
            end = _LENGTH_BYTES + length
            if len(buffer) < end:
                break
            body = bytes(buffer[_LENGTH_BYTES:end])
            del buffer[:end]
            yield body
        chunk = read(1 << 16)
        if not chunk:
            if buffer:
                raise FrameError("the stream ended inside a frame")
            return
        buffer += chunk
