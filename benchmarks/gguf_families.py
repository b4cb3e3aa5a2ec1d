"""GGUF headers of published models, family by family: llama.cpp's names and shapes, no weights.

Enough to plan with, and for llama.cpp's own dry run. Shapes are those of the models' config.json, names and
layout those that llama.cpp asks for (`src/models/*.cpp`, `load_arch_tensors`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import gguf
import numpy as np

Value = int | float | bool | str | list[int] | list[bool]
Shapes = dict[str, tuple[int, ...]]

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
    """

    architecture: str
    pairs: dict[str, Value]
    tensors: Shapes
    vocabulary: int
    dtype: str = "Q8_0"
    expert_dtype: str | None = field(default=None)


def write_header(path: Path, model: Model) -> Path:
    """Write the header and make the file as long as the whole model, without a byte of weights on the disk."""
    writer = gguf.GGUFWriter(path, model.architecture)
    for key, value in model.pairs.items():
        _add(writer, f"{model.architecture}.{key}", value)
    add_tokenizer(writer, model.vocabulary)
    total = 0
    for name, shape in model.tensors.items():
        kind = _kind(model, name, shape)
        block, block_bytes = gguf.constants.GGML_QUANT_SIZES[kind]
        elements = 1
        for n in shape:
            elements *= n
        n_bytes = elements // block * block_bytes
        total += -(-n_bytes // 32) * 32
        writer.add_tensor_info(name, shape[::-1], np.dtype(np.float32), n_bytes, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    with path.open("r+b") as file:
        file.truncate(-(-path.stat().st_size // 32) * 32 + total)
    return path


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


def scaled(model: Model, *, layers: int, vocabulary: int = 4096) -> Model:
    """The same model with fewer blocks and tokens: quicker to plan, the same in kind."""
    pairs = {key: value[:layers] if isinstance(value, list) else value for key, value in model.pairs.items()}
    pairs["block_count"] = layers
    tensors = {
        name: tuple(vocabulary if n == model.vocabulary else n for n in shape)
        for name, shape in model.tensors.items()
        if not name.startswith("blk.") or int(name.split(".")[1]) < layers
    }
    return replace(model, pairs=pairs, tensors=tensors, vocabulary=vocabulary)
