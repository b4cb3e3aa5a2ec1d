"""What a linear layer takes while it multiplies, beyond its result, where bitsandbytes holds its weights.

Sources: `backends/default/ops.py`, `backends/cpu/ops.py`, `backends/cuda/ops.py`, `autograd/_functions.py` and
`functional.py` of bitsandbytes 0.50.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from shoestring.planning.transformers.shape import FP32, Shape
from shoestring.planning.transformers.weights import BLOCK

_REPACKED_TEMPORARIES = 7
"""Bytes a weight while bitsandbytes rearranges a 4-bit matrix for the CPU (`_convert_weight_packed_for_cpu`): every
value as an int32, as a byte, transposed, and the halves shifted and combined."""


@dataclass(frozen=True)
class Multiplication:
    """One linear layer at work.

    Attributes:
        held: bytes of activations alive when it begins, its input among them.
        inputs, outputs: its features.
    """

    held: int
    inputs: int
    outputs: int


def widest(shape: Shape, multiplications: Iterable[Multiplication]) -> int:
    """Bytes of activations alive at the widest point of layers that bitsandbytes multiplies; 0: none are."""
    if not shape.kinds.quantized:
        return 0
    return max((m.held + _within(shape, m) for m in multiplications), default=0)


def repacking(multiplications: Iterable[Multiplication]) -> int:
    """The same while each is rearranged for the CPU, before it multiplies for the first time."""
    return max((m.held + _REPACKED_TEMPORARIES * m.inputs * m.outputs for m in multiplications), default=0)


def _within(shape: Shape, m: Multiplication) -> int:
    if shape.settings.precision == "int8":
        return shape.rows * (_int8_on_cpu(shape, m) if shape.on_cpu else _int8_on_gpu(shape, m))
    if shape.packed:
        # Multiplied in bf16 whatever is computed in.
        cast = 0 if shape.settings.compute_dtype == "bf16" else 2 * (m.inputs + m.outputs)
        return shape.rows * (cast + m.outputs * shape.width)
    parameters = m.inputs * m.outputs
    scales = FP32 * -(-parameters // BLOCK) if shape.settings.precision.endswith("-dq") else 0
    return parameters * shape.width + scales + shape.rows * m.outputs * shape.width


def _int8_on_cpu(shape: Shape, m: Multiplication) -> int:
    """Bytes a token.

    Quantising the input: in fp16, which values are outliers (a byte each), scaled in fp32, and that once more, first
    cast, then rounded. The product: int32, the products of the scales in fp32, and the two multiplied: the int32
    cast to fp32 beforehand, and the result.
    """
    in_fp16 = 0 if shape.settings.compute_dtype == "fp16" else 2
    return max(m.inputs * (in_fp16 + 1 + 2 * FP32), m.inputs + m.outputs * 4 * FP32)


def _int8_on_gpu(shape: Shape, m: Multiplication) -> int:
    """Bytes a token: the input in fp16 and int8, its magnitudes and outliers; the product as int32, fp16 and cast."""
    is_fp16 = shape.settings.compute_dtype == "fp16"
    quantizing = m.inputs * ((0 if is_fp16 else 2) + 1 + 2 + 1)
    return max(quantizing, m.inputs + m.outputs * (4 + 2 + (0 if is_fp16 else shape.width)))
