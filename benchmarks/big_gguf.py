"""Large GGUF models with random weights, written in one pass of a few megabytes of memory.

Their shapes are published ones and their vocabularies as large; the weights are one random tile over and over, which
is as good for measuring memory and speed and of no use to talk to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np

_TILE_VALUES = 1 << 20  # a multiple of every block length; a megabyte or four


@dataclass(frozen=True)
class BigShape:
    """A model of the llama architecture with grouped queries.

    Attributes:
        dtype: GGML type of all matrices, one that the `gguf` package can quantise to.
        merges: byte-pair merge rules.
        tied: whether the head is the embedding.
    """

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    feed_forward: int
    vocabulary: int = 128_256
    merges: int = 280_147
    context: int = 8192
    dtype: str = "Q4_0"
    tied: bool = False


LLAMA_1B = BigShape(16, 2048, 32, 8, 64, 8192, dtype="Q8_0", tied=True)
"""Llama 3.2 1B (its `config.json`); 8-bit weights stay where they are mapped: 1.3 GB."""

LLAMA_8B = BigShape(32, 4096, 32, 8, 128, 14_336, dtype="Q4_0")
"""Llama 3 8B (its `config.json`): 4.6 GB, of which llama.cpp copies 4.2 GB once more on most CPUs."""


def write(path: Path, shape: BigShape) -> Path:
    """Write the model, tensor after tensor, and return its path."""
    writer = gguf.GGUFWriter(path, "llama")
    _metadata(writer, shape)
    tensors = list(_tensors(shape))
    for name, dimensions, dtype in tensors:
        writer.add_tensor_info(
            name, dimensions, np.dtype(np.float32), _n_bytes(dimensions, dtype), raw_dtype=dtype
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    _append(path, tensors, writer.data_alignment)
    return path


def file_bytes(shape: BigShape) -> int:
    """Bytes of all tensors: what the disk must have free, some 10 MB of vocabulary aside."""
    return sum(_n_bytes(dimensions, dtype) for _, dimensions, dtype in _tensors(shape))


def _append(
    path: Path, tensors: list[tuple[str, tuple[int, ...], gguf.GGMLQuantizationType]], alignment: int
) -> None:
    with path.open("ab") as file:
        tiles = {dtype: _tile(dtype) for dtype in {dtype for _, _, dtype in tensors}}
        file.write(bytes(-file.tell() % alignment))
        for _, dimensions, dtype in tensors:
            left, tile = _n_bytes(dimensions, dtype), tiles[dtype]
            padding = -left % alignment
            while left:
                left -= file.write(tile[:left])
            file.write(bytes(padding))


def _tile(dtype: gguf.GGMLQuantizationType) -> memoryview:
    if dtype == gguf.GGMLQuantizationType.F32:
        return memoryview(np.ones(_TILE_VALUES, np.float32)).cast("B")
    values = np.random.default_rng(0).standard_normal(_TILE_VALUES, dtype=np.float32) * 0.02
    return memoryview(np.ascontiguousarray(gguf.quants.quantize(values, dtype)).tobytes())


def _tensors(shape: BigShape) -> Iterator[tuple[str, tuple[int, ...], gguf.GGMLQuantizationType]]:
    """Name, dimensions as torch has them (outputs first) and type of every tensor, in the order of a file."""
    matrix, vector = gguf.GGMLQuantizationType[shape.dtype], gguf.GGMLQuantizationType.F32
    wide, narrow = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    yield "token_embd.weight", (shape.vocabulary, shape.hidden), matrix
    for i in range(shape.layers):
        block = f"blk.{i}."
        yield block + "attn_norm.weight", (shape.hidden,), vector
        for x, rows in (("q", wide), ("k", narrow), ("v", narrow)):
            yield f"{block}attn_{x}.weight", (rows, shape.hidden), matrix
        yield block + "attn_output.weight", (shape.hidden, wide), matrix
        yield block + "ffn_norm.weight", (shape.hidden,), vector
        for x in ("gate", "up"):
            yield f"{block}ffn_{x}.weight", (shape.feed_forward, shape.hidden), matrix
        yield block + "ffn_down.weight", (shape.hidden, shape.feed_forward), matrix
    yield "output_norm.weight", (shape.hidden,), vector
    if not shape.tied:
        yield "output.weight", (shape.vocabulary, shape.hidden), matrix


def _n_bytes(dimensions: tuple[int, ...], dtype: gguf.GGMLQuantizationType) -> int:
    per_block, block_bytes = gguf.GGML_QUANT_SIZES[dtype]
    return int(np.prod(dimensions)) // per_block * block_bytes


def _metadata(writer: gguf.GGUFWriter, shape: BigShape) -> None:
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(500_000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list([_token(i) for i in range(shape.vocabulary)])
    writer.add_token_types([3 if i < 3 else 1 for i in range(shape.vocabulary)])
    writer.add_token_merges([f"{i:x} {i % 997:x}" for i in range(shape.merges)])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)


def _token(i: int) -> str:
    """A text of its own, as long as those of real vocabularies: 7 bytes in the mean, one in 64 over 15."""
    return f"{i:x}".rjust(20 if i % 64 == 0 else 5 + i % 5, "~")
