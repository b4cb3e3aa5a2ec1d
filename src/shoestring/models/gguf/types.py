"""The two type tables of GGUF: tensor data types and metadata value types.

Block sizes are those of ggml (ggml/src/ggml-common.h); a test holds the table equal to the `gguf` package's.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple


class TensorType(NamedTuple):
    """How GGML stores a tensor's rows: `block_size` values take `block_bytes` bytes."""

    name: str
    block_size: int
    block_bytes: int


_K = 256  # values in a super-block of the K-quants and i-quants

TENSOR_TYPES: dict[int, TensorType] = {
    0: TensorType("F32", 1, 4),
    1: TensorType("F16", 1, 2),
    2: TensorType("Q4_0", 32, 18),
    3: TensorType("Q4_1", 32, 20),
    6: TensorType("Q5_0", 32, 22),
    7: TensorType("Q5_1", 32, 24),
    8: TensorType("Q8_0", 32, 34),
    9: TensorType("Q8_1", 32, 40),
    10: TensorType("Q2_K", _K, 84),
    11: TensorType("Q3_K", _K, 110),
    12: TensorType("Q4_K", _K, 144),
    13: TensorType("Q5_K", _K, 176),
    14: TensorType("Q6_K", _K, 210),
    15: TensorType("Q8_K", _K, 292),
    16: TensorType("IQ2_XXS", _K, 66),
    17: TensorType("IQ2_XS", _K, 74),
    18: TensorType("IQ3_XXS", _K, 98),
    19: TensorType("IQ1_S", _K, 50),
    20: TensorType("IQ4_NL", 32, 18),
    21: TensorType("IQ3_S", _K, 110),
    22: TensorType("IQ2_S", _K, 82),
    23: TensorType("IQ4_XS", _K, 136),
    24: TensorType("I8", 1, 1),
    25: TensorType("I16", 1, 2),
    26: TensorType("I32", 1, 4),
    27: TensorType("I64", 1, 8),
    28: TensorType("F64", 1, 8),
    29: TensorType("IQ1_M", _K, 56),
    30: TensorType("BF16", 1, 2),
    34: TensorType("TQ1_0", _K, 54),
    35: TensorType("TQ2_0", _K, 66),
    39: TensorType("MXFP4", 32, 17),
    40: TensorType("NVFP4", 64, 36),
    41: TensorType("Q1_0", 128, 18),
}


class ValueType(IntEnum):
    """Type of a metadata value, or of an array's elements."""

    UINT8 = 0
    INT8 = 1
    UINT16 = 2
    INT16 = 3
    UINT32 = 4
    INT32 = 5
    FLOAT32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9
    UINT64 = 10
    INT64 = 11
    FLOAT64 = 12


SCALARS: dict[int, struct.Struct] = {
    ValueType.UINT8: struct.Struct("<B"),
    ValueType.INT8: struct.Struct("<b"),
    ValueType.UINT16: struct.Struct("<H"),
    ValueType.INT16: struct.Struct("<h"),
    ValueType.UINT32: struct.Struct("<I"),
    ValueType.INT32: struct.Struct("<i"),
    ValueType.FLOAT32: struct.Struct("<f"),
    ValueType.BOOL: struct.Struct("<?"),
    ValueType.UINT64: struct.Struct("<Q"),
    ValueType.INT64: struct.Struct("<q"),
    ValueType.FLOAT64: struct.Struct("<d"),
}
"""Fixed-size value types, little-endian."""
