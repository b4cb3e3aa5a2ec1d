"""Small GGUF models with random weights, of any shape: to measure memory with, not to talk to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np


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
    """Write the model and return its path."""
    writer = gguf.GGUFWriter(path, shape.architecture)
    _metadata(writer, shape)
    random = np.random.default_rng(0)
    for name, rows, columns in _matrices(shape):
        values = random.standard_normal((rows, columns), dtype=np.float32) * 0.02
        _add(writer, name, values, shape.dtype)
    for name, length in _vectors(shape):
        writer.add_tensor(name, np.ones(length, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _metadata(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(shape.vocabulary)
    if shape.window:
        writer.add_sliding_window(shape.window)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([f"{i:06d}" for i in range(shape.vocabulary)])
    writer.add_token_types([3 if i < 3 else 1 for i in range(shape.vocabulary)])
    writer.add_token_merges([f"{i:05d} {i % 97:02d}" for i in range(max(1, shape.merges))])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)


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


def _add(writer: gguf.GGUFWriter, name: str, values: np.ndarray, dtype: str) -> None:
    kind = gguf.GGMLQuantizationType[dtype]
    if kind == gguf.GGMLQuantizationType.F32:
        writer.add_tensor(name, values)
    else:
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
