"""What parent and worker say to each other: msgpack structs in length-prefixed frames over two pipes.

Every request carries an id and every answer repeats it, so one worker serves many requests at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import msgspec

from shoestring.engines.base import Finished, Prefill, Sampling, Segment, Token
from shoestring.planning.base import EngineSettings

_LENGTH_BYTES = 4
MAX_FRAME_BYTES = 64 * 1024**2
"""No frame is larger: neither side allocates what the other merely claims."""


class Load(msgspec.Struct, tag=True):
    """Load a model. `files` are absolute paths, already validated."""

    id: int
    files: list[str]
    settings: EngineSettings


class Tokenize(msgspec.Struct, tag=True):
    id: int
    segments: list[Segment]


class Generate(msgspec.Struct, tag=True):
    id: int
    prompt: list[int]
    sampling: Sampling


class Cancel(msgspec.Struct, tag=True):
    """Stop the generation of this id. Unknown ids are ignored: it may have just finished."""

    id: int


Request = Load | Tokenize | Generate | Cancel


class Ready(msgspec.Struct, tag=True):
    """First frame of a worker: its engine is imported. `peak_bytes` is its VmHWM so far, where known."""

    engine_version: str
    peak_bytes: int | None


class Loaded(msgspec.Struct, tag=True):
    """`load_s`: seconds the engine took. `peak_bytes`: VmHWM after loading, where known."""

    id: int
    load_s: float
    peak_bytes: int | None


class Tokens(msgspec.Struct, tag=True):
    id: int
    tokens: list[int]


class Emitted(msgspec.Struct, tag=True):
    """One event of a generation. After `Finished` the id is free again."""

    id: int
    event: Prefill | Token | Finished


class Failed(msgspec.Struct, tag=True):
    """A request failed; the worker lives on."""

    id: int
    kind: Literal["engine", "prompt_too_long", "internal"]
    message: str
    prompt_tokens: int = 0
    context: int = 0


Reply = Ready | Loaded | Tokens | Emitted | Failed


class FrameError(Exception):
    """The other side sent something that is not this protocol."""


def frame(message: Request | Reply) -> bytes:
    """The message as it goes down a pipe: 4 bytes of little-endian length, then msgpack."""
    body = _encode(message)
    return len(body).to_bytes(_LENGTH_BYTES, "little") + body


_encode = msgspec.msgpack.Encoder().encode


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


decode_request = msgspec.msgpack.Decoder(Request).decode
decode_reply = msgspec.msgpack.Decoder(Reply).decode
