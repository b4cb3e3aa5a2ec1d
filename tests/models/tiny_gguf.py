"""Small GGUF files, byte by byte, so that any number in them can be wrong."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

CODES = {
    "u8": 0,
    "i8": 1,
    "u16": 2,
    "i16": 3,
    "u32": 4,
    "i32": 5,
    "f32": 6,
    "bool": 7,
    "u64": 10,
    "i64": 11,
    "f64": 12,
}
FORMATS = dict(zip(CODES, "BbHhIif?Qqd", strict=True))

LLAMA: dict[str, tuple[str, Any]] = {
    "general.architecture": ("str", "llama"),
    "general.name": ("str", "Tiny"),
    "general.license": ("str", "mit"),
    "llama.block_count": ("u32", 2),
    "llama.context_length": ("u32", 128),
    "llama.embedding_length": ("u32", 64),
    "llama.feed_forward_length": ("u32", 96),
    "llama.attention.head_count": ("u32", 4),
    "llama.attention.head_count_kv": ("u32", 2),
    "llama.rope.dimension_count": ("u32", 16),
    "llama.attention.layer_norm_rms_epsilon": ("f32", 1e-5),
    "tokenizer.ggml.model": ("str", "gpt2"),
    "tokenizer.ggml.pre": ("str", "smollm"),
    "tokenizer.ggml.tokens": (
        "[str]",
        ["<s>", "</s>", "a", "b", "ab", "<|a token of a longer name|>", "c", ""],
    ),
    "tokenizer.ggml.token_type": ("[i32]", [3, 3, 1, 1, 1, 4, 1, 1]),
    "tokenizer.ggml.merges": ("[str]", ["a b"]),
    "tokenizer.ggml.bos_token_id": ("u32", 0),
    "tokenizer.ggml.eos_token_id": ("u32", 1),
    "tokenizer.ggml.add_bos_token": ("bool", True),
}
F32, F16, Q4_0, Q8_0 = 0, 1, 2, 8
SIZES = {F32: (1, 4), F16: (1, 2), Q4_0: (32, 18), Q8_0: (32, 34)}


def block(i: int, hidden: int = 64, kv: int = 32, inner: int = 96) -> dict[str, tuple[tuple[int, ...], int]]:
    """The tensors of one block, by name: shape and type."""
    shapes: dict[str, tuple[tuple[int, ...], int]] = {
        "attn_norm.weight": ((hidden,), F32),
        "attn_q.weight": ((hidden, hidden), Q4_0),
        "attn_k.weight": ((hidden, kv), Q4_0),
        "attn_v.weight": ((hidden, kv), Q4_0),
        "attn_output.weight": ((hidden, hidden), Q4_0),
        "ffn_norm.weight": ((hidden,), F32),
        "ffn_gate.weight": ((hidden, inner), Q4_0),
        "ffn_up.weight": ((hidden, inner), Q4_0),
        "ffn_down.weight": ((inner, hidden), Q4_0),
    }
    return {f"blk.{i}.{name}": shape for name, shape in shapes.items()}


def llama_tensors() -> dict[str, tuple[tuple[int, ...], int]]:
    """All tensors of the tiny llama, its head tied to the embedding."""
    tensors: dict[str, tuple[tuple[int, ...], int]] = {"token_embd.weight": ((64, 8), Q8_0)}
    return tensors | block(0) | block(1) | {"output_norm.weight": ((64,), F32)}


def string(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(data)) + data


def value(kind: str, content: Any) -> bytes:
    """A typed value as GGUF encodes it."""
    if kind == "raw":
        return bytes(content)
    if kind == "str":
        return struct.pack("<I", 8) + string(content)
    if kind == "[str]":
        return struct.pack("<IIQ", 9, 8, len(content)) + b"".join(map(string, content))
    if kind.startswith("["):
        code = kind[1:-1]
        return struct.pack(f"<IIQ{len(content)}{FORMATS[code]}", 9, CODES[code], len(content), *content)
    return struct.pack(f"<I{FORMATS[kind]}", CODES[kind], content)


@dataclass
class Tiny:
    """A tiny model to be changed before it is encoded.

    Attributes:
        offsets: tensor offsets to write instead of the right ones, by name.
        data: whether tensor data (zeros) follows the header.
    """

    pairs: dict[str, tuple[str, Any]] = field(default_factory=lambda: dict(LLAMA))
    tensors: dict[str, tuple[tuple[int, ...], int]] = field(default_factory=llama_tensors)
    offsets: dict[str, int] = field(default_factory=dict)
    version: int = 3
    alignment: int = 32
    magic: bytes = b"GGUF"
    n_pairs: int | None = None
    n_tensors: int | None = None

    def encode(self) -> bytes:
        """The whole file."""
        n_tensors = len(self.tensors) if self.n_tensors is None else self.n_tensors
        n_pairs = len(self.pairs) if self.n_pairs is None else self.n_pairs
        parts = [self.magic, struct.pack("<IQQ", self.version, n_tensors, n_pairs)]
        parts += [string(key) + value(*typed) for key, typed in self.pairs.items()]
        at = 0
        for name, (shape, kind) in self.tensors.items():
            parts.append(string(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape))
            parts.append(struct.pack("<IQ", kind, self.offsets.get(name, at)))
            size, width = SIZES.get(kind, (1, 4))
            n_bytes = width
            for n in shape:
                n_bytes *= n
            at += -(-(n_bytes // size) // self.alignment) * self.alignment
        header = b"".join(parts)
        return header + bytes(-len(header) % self.alignment + min(at, 10**7))
