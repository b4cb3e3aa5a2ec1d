"""GGUF files from a description: the header alone, in a file as long as the model, or with weights that say nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import gguf
import numpy as np

Value = int | float | bool | str | list[int] | list[bool]
Shapes = dict[str, tuple[int, ...]]

_TILE_VALUES = 1 << 20

_F32 = (
    *("ffn_gate_inp", "ssm_conv1d", "ssm_a", "ssm_d", "ssm_norm", "shortconv.conv", "attn_sinks", "altup_"),
    *("ssm_dt_norm", "ssm_b_norm", "ssm_c_norm"),
)
"""Matrices that a conversion leaves in F32."""


@dataclass(frozen=True)
class Model:
    """One model's header.

    Attributes:
        architecture: GGUF's name.
        pairs: metadata below the architecture's name (`block_count`, `attention.head_count`…).
        tensors: shapes by name, fastest-varying dimension first.
        vocabulary: tokens.
        dtype: GGML type of the matrices; norms, biases and the like are F32.
        expert_dtype: the same of the experts, where it is another.
        merges: rules of the byte-pair vocabulary.
    """

    architecture: str
    pairs: dict[str, Value]
    tensors: Shapes
    vocabulary: int
    dtype: str = "Q8_0"
    expert_dtype: str | None = None
    merges: int = 0


def write_header(path: Path, model: Model) -> Path:
    """Write the header and make the file as long as the whole model, without a byte of weights on the disk."""
    writer = gguf.GGUFWriter(path, model.architecture)
    for key, value in model.pairs.items():
        _add(writer, f"{model.architecture}.{key}", value)
    add_tokenizer(writer, model.vocabulary, model.merges)
    total = 0
    for name, shape in model.tensors.items():
        n_bytes = _bytes_of(model, name, shape)
        total += _aligned(n_bytes)
        writer.add_tensor_info(
            name, shape[::-1], np.dtype(np.float32), n_bytes, raw_dtype=_kind(model, name, shape)
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    with path.open("r+b") as file:
        file.truncate(_aligned(path.stat().st_size) + total)
    return path


def write(path: Path, model: Model) -> Path:
    """The same with weights: a few rows of random numbers, repeated. Norms are 1.

    Raises:
        NotImplementedError: the `gguf` package cannot quantise to the model's type.
    """
    write_header(path, model)
    random = np.random.default_rng(0)
    offset = path.stat().st_size - sum(
        _aligned(_bytes_of(model, name, shape)) for name, shape in model.tensors.items()
    )
    with path.open("r+b") as file:
        for name, shape in model.tensors.items():
            n_bytes = _bytes_of(model, name, shape)
            file.seek(offset)
            tile = _tile(random, shape, _kind(model, name, shape))
            for start in range(0, n_bytes, len(tile)):
                file.write(tile[: n_bytes - start])
            offset += _aligned(n_bytes)
    return path


def _tile(random: np.random.Generator, shape: tuple[int, ...], kind: gguf.GGMLQuantizationType) -> bytes:
    if len(shape) == 1:
        return np.ones(shape, np.float32).tobytes()
    elements = math.prod(shape)
    rows = max(1, min(_TILE_VALUES, elements) // shape[0])
    values = random.standard_normal((rows, shape[0]), dtype=np.float32) * 0.02
    return values.tobytes() if kind.name == "F32" else gguf.quants.quantize(values, kind).tobytes()


def _bytes_of(model: Model, name: str, shape: tuple[int, ...]) -> int:
    block, block_bytes = gguf.constants.GGML_QUANT_SIZES[_kind(model, name, shape)]
    return math.prod(shape) // block * block_bytes


def _aligned(n_bytes: int) -> int:
    return -(-n_bytes // 32) * 32


def _kind(model: Model, name: str, shape: tuple[int, ...]) -> gguf.GGMLQuantizationType:
    plain = len(shape) == 1 or name.endswith(".bias") or any(part in name for part in _F32)
    dtype = (model.expert_dtype if "_exps." in name else None) or model.dtype
    return gguf.GGMLQuantizationType["F32" if plain else dtype]


def _add(writer: gguf.GGUFWriter, key: str, value: Value) -> None:
    match value:
        case bool():
            writer.add_bool(key, value)
        case int():
            writer.add_uint32(key, value)
        case float():
            writer.add_float32(key, value)
        case str():
            writer.add_string(key, value)
        case _:
            writer.add_array(key, value)


def add_tokenizer(writer: gguf.GGUFWriter, vocabulary: int, merges: int = 1) -> None:
    """A byte-pair vocabulary of numbers."""
    writer.add_vocab_size(vocabulary)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([f"{i:06d}" for i in range(vocabulary)])
    writer.add_token_types([3 if i < 3 else 1 for i in range(vocabulary)])
    writer.add_token_merges([f"{i:05d} {i % 97:02d}" for i in range(max(1, merges))])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)


def scaled(model: Model, *, layers: int | None = None, vocabulary: int = 4096) -> Model:
    """The same model with fewer tokens, and with no more than so many blocks: quicker to plan, the same in kind."""
    blocks = model.pairs["block_count"]
    kept = min(blocks, layers or blocks) if isinstance(blocks, int) else 0
    pairs = {key: value[:kept] if isinstance(value, list) else value for key, value in model.pairs.items()}
    pairs["block_count"] = kept
    tensors = {
        name: tuple(vocabulary if n == model.vocabulary else n for n in shape)
        for name, shape in model.tensors.items()
        if not name.startswith("blk.") or int(name.split(".")[1]) < kept
    }
    return replace(model, pairs=pairs, tensors=tensors, vocabulary=vocabulary)
