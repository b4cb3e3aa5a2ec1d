"""Whether the tensors present are those that the metadata promises, before native code relies on it."""

from __future__ import annotations

import re

from shoestring.errors import InvalidModelFileError
from shoestring.models import architecture as rules
from shoestring.models.facts import TensorInfo
from shoestring.models.gguf.hyperparameters import Hyperparameters
from shoestring.models.gguf.reader import GgufHeader

_BLOCK = re.compile(r"blk\.(\d+)\.(.+)")
_NO_WEIGHT = frozenset({"I8", "I16", "I32", "I64", "F64", "Q8_1", "Q8_K"})
"""Types that llama.cpp does not multiply with: integers, doubles, and the two formats of activations."""
_BUFFER_ALIGNMENT = 32  # ggml-impl.h: TENSOR_ALIGNMENT; a mapped buffer that starts elsewhere aborts
_ODD_FEED_FORWARD = frozenset({"arctic", "qwen"})
"""Architectures whose feed-forward is not as wide as `feed_forward_length` says."""


def check_tensors(header: GgufHeader, shape: Hyperparameters, vocab_size: int) -> None:
    """Hold the tensors against the metadata. Of architectures not known here only the alignment is checked.

    Raises:
        InvalidModelFileError: a block, the embedding or a matrix is missing or of another shape or type.
    """
    for tensor in header.tensors:
        if tensor.offset_bytes % _BUFFER_ALIGNMENT:
            problem = f"the data of tensor {tensor.name!r} is not aligned to {_BUFFER_ALIGNMENT} bytes"
            raise _invalid(header, problem)
    if not rules.counts_cells(shape.architecture):
        return
    _check_blocks(header, shape.layers)
    _check_embedding(header, shape.hidden_size, vocab_size)
    for tensor in header.tensors:
        _check_type(header, tensor)
        match = _BLOCK.fullmatch(tensor.name)
        if match:
            _check_projection(header, tensor, match[2], int(match[1]), shape)


def _invalid(header: GgufHeader, problem: str) -> InvalidModelFileError:
    return InvalidModelFileError(
        f"{header.name} is not a usable model: {problem}.",
        "Download it again, or look for another conversion of the model.",
    )


def _check_blocks(header: GgufHeader, layers: int) -> None:
    found = {int(match[1]) for tensor in header.tensors if (match := _BLOCK.fullmatch(tensor.name))}
    if found != set(range(layers)):
        odd = min(found ^ set(range(layers)))
        state = "has no tensors" if odd < layers else "has tensors"
        raise _invalid(header, f"it says that it has {layers} layers, but layer {odd} {state}")


def _check_embedding(header: GgufHeader, hidden_size: int, vocab_size: int) -> None:
    embedding = next((tensor for tensor in header.tensors if tensor.name == "token_embd.weight"), None)
    if embedding is None:
        raise _invalid(header, "it has no token embedding")
    if embedding.shape[0] != hidden_size or (vocab_size and embedding.shape[1:] != (vocab_size,)):
        raise _invalid(
            header,
            f"its token embedding has the shape {list(embedding.shape)} instead of {[hidden_size, vocab_size]}",
        )


def _check_type(header: GgufHeader, tensor: TensorInfo) -> None:
    if tensor.dtype in _NO_WEIGHT:
        raise _invalid(
            header, f"tensor {tensor.name!r} is stored as {tensor.dtype}, which is no type of weights"
        )
    if len(tensor.shape) == 1 and tensor.dtype != "F32":
        raise _invalid(header, f"tensor {tensor.name!r} is stored as {tensor.dtype} where only F32 works")


def _check_projection(
    header: GgufHeader, tensor: TensorInfo, role: str, layer: int, shape: Hyperparameters
) -> None:
    """Matrices agree with heads, head dimensions and inner width (llama.cpp, `load_arch_tensors`)."""
    slides = shape.windows[layer] is not None
    dim_k, dim_v = (
        (shape.sliding_dim_k, shape.sliding_dim_v) if slides else (shape.head_dim_k, shape.head_dim_v)
    )
    gated = 2 if shape.architecture in rules.GATED_ATTENTION else 1  # each query comes with a gate
    expected = {
        "attn_q.weight": (shape.hidden_size, gated * shape.heads[layer] * dim_k),
        "attn_k.weight": (shape.hidden_size, shape.kv_heads[layer] * dim_k),
        "attn_v.weight": (shape.hidden_size, shape.kv_heads[layer] * dim_v),
    }.get(role)
    inner = shape.feed_forward[layer]
    if role == "ffn_down.weight" and inner and shape.architecture not in _ODD_FEED_FORWARD:
        expected = (inner, shape.hidden_size)
    if expected and tensor.shape != expected:
        raise _invalid(
            header, f"tensor {tensor.name!r} has the shape {list(tensor.shape)} instead of {list(expected)}"
        )
