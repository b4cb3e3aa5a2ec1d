"""Small GGUF models with random weights, of any shape: to measure memory with, not to talk to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gguf_families
from gguf_families import Model, Value


@dataclass(frozen=True)
class Shape:
    """What the model looks like. Defaults: a small grouped-query model of the llama architecture."""

    architecture: str = "llama"
    layers: int = 4
    hidden: int = 512
    heads: int = 8
    kv_heads: int = 2
    head_dim: int = 64
    feed_forward: int = 1536
    vocabulary: int = 4096
    context: int = 8192
    dtype: str = "Q8_0"
    tied: bool = False
    window: int = 0
    bias: bool = False
    qk_norm: bool = False
    post_norm: bool = False
    fused: bool = False
    merges: int = 0


def write(path: Path, shape: Shape) -> Path:
    """Write the model and return its path. However large it is, a few megabytes of it are made and repeated."""
    return gguf_families.write(path, model_of(shape))


def model_of(shape: Shape) -> Model:
    """The shape as a header: metadata and the tensors' names."""
    tensors = {name: (columns, rows) for name, rows, columns in _matrices(shape)}
    vectors = {name: (length,) for name, length in _vectors(shape)}
    pairs: dict[str, Value] = {
        "context_length": shape.context,
        "embedding_length": shape.hidden,
        "block_count": shape.layers,
        "feed_forward_length": shape.feed_forward,
        "attention.head_count": shape.heads,
        "attention.head_count_kv": shape.kv_heads,
        "attention.key_length": shape.head_dim,
        "attention.value_length": shape.head_dim,
        "rope.dimension_count": shape.head_dim,
        "attention.layer_norm_rms_epsilon": 1e-5,
    }
    if shape.window:
        pairs["attention.sliding_window"] = shape.window
    return Model(
        shape.architecture, pairs, tensors | vectors, shape.vocabulary, shape.dtype, merges=shape.merges
    )


def _matrices(shape: Shape) -> list[tuple[str, int, int]]:
    """Name, rows (outputs) and columns (inputs) of every weight matrix."""
    wide, narrow = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    found = [("token_embd.weight", shape.vocabulary, shape.hidden)]
    if not shape.tied:
        found.append(("output.weight", shape.vocabulary, shape.hidden))
    for i in range(shape.layers):
        block = f"blk.{i}."
        if shape.fused:
            found.append((block + "attn_qkv.weight", wide + 2 * narrow, shape.hidden))
            found.append((block + "ffn_up.weight", 2 * shape.feed_forward, shape.hidden))
        else:
            found += [(f"{block}attn_{x}.weight", narrow if x in "kv" else wide, shape.hidden) for x in "qkv"]
            found += [(f"{block}ffn_{x}.weight", shape.feed_forward, shape.hidden) for x in ("gate", "up")]
        found.append((block + "attn_output.weight", shape.hidden, wide))
        found.append((block + "ffn_down.weight", shape.hidden, shape.feed_forward))
    return found


def _vectors(shape: Shape) -> list[tuple[str, int]]:
    """Name and length of every norm and bias."""
    found = [("output_norm.weight", shape.hidden)]
    for i in range(shape.layers):
        block = f"blk.{i}."
        found += [(f"{block}{x}_norm.weight", shape.hidden) for x in ("attn", "ffn")]
        if shape.post_norm:
            found += [(f"{block}{x}.weight", shape.hidden) for x in ("post_attention_norm", "post_ffw_norm")]
        if shape.qk_norm:
            found += [(f"{block}attn_{x}_norm.weight", shape.head_dim) for x in "qk"]
        if shape.bias:
            heads = {"q": shape.heads, "k": shape.kv_heads, "v": shape.kv_heads}
            found += [(f"{block}attn_{x}.bias", n * shape.head_dim) for x, n in heads.items()]
    return found
