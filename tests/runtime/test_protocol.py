"""Frames arrive as they were sent, however the pipe cuts them; anything else is refused."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoestring.engines.base import Finished, GenerationTimings, Sampling, Segment, Token, Usage
from shoestring.planning.base import LlamaCppSettings
from shoestring.runtime.framing import MAX_FRAME_BYTES, FrameError, frame, read_frames
from shoestring.runtime.protocol import (
    Cancel,
    Emitted,
    Generate,
    Load,
    Tokenize,
    decode_reply,
    decode_request,
    encode,
)

REQUESTS = [
    Load(1, [b"/a.gguf"], msgspec.msgpack.encode(LlamaCppSettings(context=512))),
    Tokenize(2, [Segment("héllo", special=True)]),
    Generate(3, [[1, 2, 3], [4]], Sampling(stop=("\n",), seed=4)),
    Cancel(3),
]


def reader(data: bytes, piece: int = 1 << 16) -> Callable[[int], bytes]:
    view = bytearray(data)

    def read(n: int) -> bytes:
        chunk = bytes(view[: min(n, piece)])
        del view[: len(chunk)]
        return chunk

    return read


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: type(request).__name__)
def test_a_request_survives_the_pipe(request_: Load | Tokenize | Generate | Cancel) -> None:
    (body,) = read_frames(reader(frame(encode(request_))))
    assert decode_request(body) == request_


def test_events_survive_the_pipe() -> None:
    replies = [
        Emitted(7, Token("é")),
        Emitted(7, Finished("stop", Usage(1, 2, 0), GenerationTimings(0.1, 0.2))),
    ]
    stream = b"".join(frame(encode(reply)) for reply in replies)
    assert [decode_reply(body) for body in read_frames(reader(stream))] == replies


@given(st.lists(st.text(max_size=200), max_size=20), st.integers(1, 50))
def test_the_size_of_reads_does_not_matter(texts: list[str], piece: int) -> None:
    stream = b"".join(frame(encode(Emitted(1, Token(text)))) for text in texts)
    found = [decode_reply(body) for body in read_frames(reader(stream, piece))]
    assert found == [Emitted(1, Token(text)) for text in texts]


def test_a_frame_that_claims_too_much_is_refused_before_it_is_read() -> None:
    with pytest.raises(FrameError):
        list(read_frames(reader((MAX_FRAME_BYTES + 1).to_bytes(4, "little"))))


def test_a_stream_that_ends_inside_a_frame_is_an_error() -> None:
    with pytest.raises(FrameError):
        list(read_frames(reader(frame(encode(Cancel(1)))[:-1])))


@given(st.binary(max_size=300))
def test_hostile_bytes_are_refused_with_typed_errors(data: bytes) -> None:
    try:
        for body in read_frames(reader(data)):
            decode_reply(body)
    except (FrameError, msgspec.MsgspecError):
        pass
