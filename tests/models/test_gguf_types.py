"""Our table of tensor types is that of the `gguf` package."""

from __future__ import annotations

import gguf

from shoestring.models.gguf.types import SCALARS, TENSOR_TYPES, ValueType


def test_tensor_types_are_those_of_the_gguf_package() -> None:
    theirs = {int(kind): (kind.name, *sizes) for kind, sizes in gguf.GGML_QUANT_SIZES.items()}
    assert {number: tuple(stored) for number, stored in TENSOR_TYPES.items()} == theirs


def test_value_types_are_those_of_the_gguf_package() -> None:
    assert {kind.name: kind.value for kind in ValueType} == {
        kind.name: kind.value for kind in gguf.GGUFValueType
    }


def test_every_value_type_but_strings_and_arrays_has_a_layout() -> None:
    assert set(ValueType) - set(SCALARS) == {ValueType.STRING, ValueType.ARRAY}
