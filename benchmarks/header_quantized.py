"""The headers of checkpoints that are quantised already: linear layers rewritten into each method's stored layout.

bitsandbytes' layouts are as it saves them; the others are those of the libraries' published files (AutoAWQ's GEMM and
GPTQ's v1 packing, DeepSeek-V3's FP8 blocks, gpt-oss's MXFP4 blocks, llm-compressor's `pack-quantized`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from header_checkpoint import Tensors

Item = tuple[str, tuple[str, tuple[int, ...]]]
_BLOCK = re.compile(r"(^|\.)(layers|h)\.\d+\.")
_NOT_LINEAR = re.compile(r"(norm|conv1d|\.gate\.weight|router|A_log|\.D$|dt_bias|embed)")


def is_linear(name: str, shape: tuple[int, ...]) -> bool:
    """Whether a tensor is the matrix of a linear layer inside a block: embedding, head and routers stay as they are."""
    return (
        len(shape) == 2
        and name.endswith(".weight")
        and bool(_BLOCK.search(name))
        and not _NOT_LINEAR.search(name)
    )


def quantize(tensors: Tensors, method: str) -> tuple[Tensors, dict[str, Any]]:
    """The tensors as `method` stores them, and the `quantization_config` that belongs to them.

    Args:
        method: a key of `METHODS`.
    """
    rewrite, config = METHODS[method]
    stored: Tensors = {}
    for name, (dtype, shape) in tensors.items():
        stored.update(rewrite(name, dtype, shape))
    return stored, config


def _bitsandbytes4(kind: str, double: bool) -> Callable[[str, str, tuple[int, ...]], Iterator[Item]]:
    def rewrite(name: str, dtype: str, shape: tuple[int, ...]) -> Iterator[Item]:
        if not is_linear(name, shape):
            yield name, (dtype, shape)
            return
        n = shape[0] * shape[1]
        blocks = -(-n // 64)
        yield name, ("U8", (-(-n // 2), 1))
        yield f"{name}.absmax", ("U8" if double else "F32", (blocks,))
        yield f"{name}.quant_map", ("F32", (16,))
        yield f"{name}.quant_state.bitsandbytes__{kind}", ("U8", (170 if double else 80,))
        if double:
            yield f"{name}.nested_absmax", ("F32", (-(-blocks // 256),))
            yield f"{name}.nested_quant_map", ("F32", (256,))

    return rewrite


def _bitsandbytes8(name: str, dtype: str, shape: tuple[int, ...]) -> Iterator[Item]:
    if not is_linear(name, shape):
        yield name, (dtype, shape)
        return
    yield name, ("I8", shape)
    yield name.replace(".weight", ".SCB"), ("F32", (shape[0],))
    yield name.replace(".weight", ".weight_format"), ("U8", ())


def _awq(name: str, dtype: str, shape: tuple[int, ...], bits: int = 4, group: int = 128) -> Iterator[Item]:
    if not is_linear(name, shape):
        yield name, (dtype, shape)
        return
    out, in_ = shape
    stem = name.removesuffix("weight")
    yield f"{stem}qweight", ("I32", (in_, out * bits // 32))
    yield f"{stem}qzeros", ("I32", (in_ // group, out * bits // 32))
    yield f"{stem}scales", ("F16", (in_ // group, out))


def _gptq(bits: int, group: int) -> Callable[[str, str, tuple[int, ...]], Iterator[Item]]:
    def rewrite(name: str, dtype: str, shape: tuple[int, ...]) -> Iterator[Item]:
        if not is_linear(name, shape):
            yield name, (dtype, shape)
            return
        out, in_ = shape
        stem = name.removesuffix("weight")
        yield f"{stem}qweight", ("I32", (in_ * bits // 32, out))
        yield f"{stem}qzeros", ("I32", (in_ // group, out * bits // 32))
        yield f"{stem}scales", ("F16", (in_ // group, out))
        yield f"{stem}g_idx", ("I32", (in_,))

    return rewrite


def _fp8(name: str, dtype: str, shape: tuple[int, ...]) -> Iterator[Item]:
    if not is_linear(name, shape):
        yield name, (dtype, shape)
        return
    yield name, ("F8_E4M3", shape)
    yield f"{name}_scale_inv", ("F32", (-(-shape[0] // 128), -(-shape[1] // 128)))


def _mxfp4(name: str, dtype: str, shape: tuple[int, ...]) -> Iterator[Item]:
    """gpt-oss: the experts alone, (experts, in, out) stored as (experts, out, in / 32, 16 bytes)."""
    if not name.endswith(("experts.gate_up_proj", "experts.down_proj")):
        yield name, (dtype, shape)
        return
    experts, in_, out = shape
    yield f"{name}_blocks", ("U8", (experts, out, in_ // 32, 16))
    yield f"{name}_scales", ("U8", (experts, out, in_ // 32))


def _compressed_int4(name: str, dtype: str, shape: tuple[int, ...]) -> Iterator[Item]:
    if not is_linear(name, shape):
        yield name, (dtype, shape)
        return
    out, in_ = shape
    yield f"{name}_packed", ("I32", (out, in_ // 8))
    yield f"{name}_scale", ("BF16", (out, in_ // 128))
    yield f"{name}_shape", ("I64", (2,))


def _compressed_fp8(name: str, dtype: str, shape: tuple[int, ...]) -> Iterator[Item]:
    if not is_linear(name, shape):
        yield name, (dtype, shape)
        return
    yield name, ("F8_E4M3", shape)
    yield f"{name}_scale", ("BF16", (shape[0], 1))


def _bnb(kind: str, double: bool) -> dict[str, Any]:
    return {
        "quant_method": "bitsandbytes",
        "load_in_4bit": True,
        "_load_in_4bit": True,
        "load_in_8bit": False,
        "_load_in_8bit": False,
        "bnb_4bit_quant_type": kind,
        "bnb_4bit_use_double_quant": double,
        "bnb_4bit_compute_dtype": "bfloat16",
        "bnb_4bit_quant_storage": "uint8",
        "llm_int8_skip_modules": None,
    }


def _compressed(form: str, bits: int, kind: str, group: int | None) -> dict[str, Any]:
    weights = {
        "num_bits": bits,
        "type": kind,
        "group_size": group,
        "strategy": "group" if group else "channel",
    }
    return {
        "quant_method": "compressed-tensors",
        "format": form,
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}},
        "ignore": ["lm_head"],
    }


_GPTQ = {"quant_method": "gptq", "desc_act": False, "sym": True}
METHODS: dict[str, tuple[Callable[[str, str, tuple[int, ...]], Iterator[Item]], dict[str, Any]]] = {
    "nf4": (_bitsandbytes4("nf4", False), _bnb("nf4", False)),
    "nf4-dq": (_bitsandbytes4("nf4", True), _bnb("nf4", True)),
    "fp4": (_bitsandbytes4("fp4", False), _bnb("fp4", False)),
    "int8": (_bitsandbytes8, {"quant_method": "bitsandbytes", "load_in_8bit": True, "load_in_4bit": False}),
    "awq": (
        _awq,
        {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True, "version": "gemm"},
    ),
    "gptq": (_gptq(4, 128), {**_GPTQ, "bits": 4, "group_size": 128}),
    "gptq-8": (_gptq(8, 128), {**_GPTQ, "bits": 8, "group_size": 128}),
    "gptq-3": (_gptq(3, 128), {**_GPTQ, "bits": 3, "group_size": 128}),
    "fp8": (
        _fp8,
        {
            "quant_method": "fp8",
            "activation_scheme": "dynamic",
            "fmt": "e4m3",
            "weight_block_size": [128, 128],
        },
    ),
    "mxfp4": (
        _mxfp4,
        {
            "quant_method": "mxfp4",
            "modules_to_not_convert": ["model.layers.*.self_attn", "model.layers.*.mlp.router", "lm_head"],
        },
    ),
    "compressed-int4": (_compressed_int4, _compressed("pack-quantized", 4, "int", 128)),
    "compressed-fp8": (_compressed_fp8, _compressed("float-quantized", 8, "float", None)),
}
"""Rewriting rule and `quantization_config` by name."""
