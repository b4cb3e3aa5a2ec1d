"""What parent and worker say to each other: msgpack structs, one a frame.

Every request carries an id and every answer repeats it, so one worker serves many requests at once.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from shoestring.engines.base import Finished, LoadReport, Prefill, Sampling, Segment, Token


class Load(msgspec.Struct, tag=True):
    """Load a model. `files` are absolute paths, already validated, as the file system spells them.

    `settings` are the engine's own, encoded: only the engine knows their type (`Engine.settings_type`).
    """

    id: int
    files: list[bytes]
    settings: bytes


class Tokenize(msgspec.Struct, tag=True):
    id: int
    segments: list[Segment]


class Generate(msgspec.Struct, tag=True):
    """Generate from every prompt, side by side."""

    id: int
    prompts: list[list[int]]
    sampling: Sampling


class Cancel(msgspec.Struct, tag=True):
    """Stop the generation of this id. Unknown ids are ignored: it may have just finished."""

    id: int


Request = Load | Tokenize | Generate | Cancel


class Ready(msgspec.Struct, tag=True):
    """First frame of a worker: its engine is imported."""

    engine_version: str


class Loaded(msgspec.Struct, tag=True):
    """`load_s`: seconds the engine took."""

    id: int
    load_s: float
    report: LoadReport


class Tokens(msgspec.Struct, tag=True):
    id: int
    tokens: list[int]


class Emitted(msgspec.Struct, tag=True):
    """One event of the generation from prompt `index`. After `Finished` of every prompt the id is free again."""

    id: int
    event: Prefill | Token | Finished
    index: int = 0


class Failed(msgspec.Struct, tag=True):
    """A request failed; the worker lives on."""

    id: int
    kind: Literal["engine", "out_of_memory", "prompt_too_long", "internal"]
    message: str
    prompt_tokens: int = 0
    context: int = 0


Reply = Ready | Loaded | Tokens | Emitted | Failed


encode = msgspec.msgpack.Encoder().encode
"""Body of the frame that carries a message."""
decode_request = msgspec.msgpack.Decoder(Request).decode
decode_reply = msgspec.msgpack.Decoder(Reply).decode
