"""State and gradients by the libraries' rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoestring.planning.base import Optimizer
from shoestring.planning.training.optimizer import (
    Trained,
    gradient_bytes,
    paged_bytes,
    state_bytes,
    step_bytes,
)

MATRIX = Trained((1024, 512), 4)
SIZES = st.lists(st.integers(1, 1 << 20), min_size=1, max_size=5)


def test_adamw_in_fp32_is_8_bytes_a_parameter_beside_4_of_gradient_and_4_of_weight() -> None:
    assert state_bytes([MATRIX], "adamw") + gradient_bytes([MATRIX]) + 4 * MATRIX.size == 16 * MATRIX.size


def test_adamw_keeps_state_in_the_parameter_s_own_dtype() -> None:
    assert state_bytes([Trained((1024, 512), 2)], "adamw") == 4 * MATRIX.size


def test_8_bit_state_is_two_bytes_and_two_scales_for_every_256_values() -> None:
    codes = 2 * 256 * 4

    assert state_bytes([MATRIX], "adamw_8bit") == 2 * MATRIX.size + 2 * 4 * MATRIX.size // 256 + codes


def test_tensors_under_4096_values_keep_32_bit_state() -> None:
    assert state_bytes([Trained((4095,), 4)], "adamw_8bit") == 8 * 4095


@pytest.mark.parametrize(("optimizer", "expected"), [("sgd", 0), ("sgd_momentum", 4 * 1024 * 512)])
def test_sgd_keeps_momentum_alone(optimizer: Optimizer, expected: int) -> None:
    assert state_bytes([MATRIX], optimizer) == expected


def test_adafactor_keeps_a_row_and_a_column_of_a_matrix_and_all_of_a_vector() -> None:
    assert state_bytes([MATRIX, Trained((100,), 4)], "adafactor") == 4 * (1024 + 512 + 100)


def test_small_tensors_are_not_paged() -> None:
    assert paged_bytes([Trained((99_999,), 4), Trained((100_000,), 4)], "paged_adamw") == 8 * 100_000


def test_a_fused_step_needs_nothing_of_its_own() -> None:
    assert step_bytes([MATRIX], "adamw", on_cpu=True) == step_bytes([MATRIX], "adamw_8bit", on_cpu=False) == 0


def test_adafactor_s_step_makes_the_squared_gradient_and_the_update() -> None:
    assert step_bytes([MATRIX], "adafactor", on_cpu=False) == 8 * MATRIX.size


@given(SIZES)
def test_8_bit_state_is_never_larger_than_32_bit_state_and_its_tables(sizes: list[int]) -> None:
    trained = [Trained((n,), 4) for n in sizes]

    assert state_bytes(trained, "adamw_8bit") <= state_bytes(trained, "adamw") + 2048


@given(SIZES)
def test_what_is_paged_is_part_of_the_state(sizes: list[int]) -> None:
    trained = [Trained((n,), 4) for n in sizes]

    assert paged_bytes(trained, "paged_adamw_8bit") <= state_bytes(trained, "paged_adamw_8bit")
