"""What a user passes becomes a request of the right types, or a sentence that says what is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoestring.errors import UsageError
from shoestring.planning import precision as precisions
from shoestring.planning.base import Request
from shoestring.planning.request import DEFAULT_TRAINING_BATCH, request


def test_nothing_asked_leaves_every_choice_open() -> None:
    assert request() == Request()


def test_sizes_are_bytes_or_text() -> None:
    found = request(ram="12GB", vram=15_000_000_000)
    assert (found.budget_bytes, found.vram_bytes) == (12_000_000_000, 15_000_000_000)


def test_training_has_a_batch_of_its_own() -> None:
    assert request(purpose="qlora").batch == DEFAULT_TRAINING_BATCH
    assert request(purpose="qlora", batch=4).batch == 4


def test_names_are_taken_with_any_capitals() -> None:
    found = request(precision="q4_k_m", kv_precision="Q8_0", quality_floor="INT8")
    assert (found.precision, found.kv_precision, found.quality_floor) == ("Q4_K_M", "q8_0", "int8")


def test_names_that_people_use_are_understood() -> None:
    assert request(precision="bfloat16", kv_precision="fp16") == Request(precision="bf16", kv_precision="f16")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"precision": "nf5"}, "nf4"),
        ({"precision": "4bit"}, "nf4"),
        ({"precision": "Q4_K_X"}, "Q4_K_"),
        ({"kv_precision": "q5_0"}, "q4_0"),
        ({"purpose": "qlra"}, "qlora"),
        ({"quality_floor": "int9"}, "int8"),
    ],
)
def test_a_mistyped_name_gets_the_nearest(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        request(**asked)
    assert said in (caught.value.hint or "")


@pytest.mark.parametrize(
    "asked",
    [
        *(
            {"context": "many"},
            {"context": True},
            {"batch": 1.5},
            {"ram": "much"},
            {"vram": 1.5},
            {"ram": True},
        ),
        *({"precision": 4}, {"engine": 3}, {"purpose": None}, {"kv_precision": 8}, {"quality_floor": 8}),
    ],
)
def test_a_value_of_another_type_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        request(**asked)


def test_a_size_without_a_unit_that_could_hold_nothing_is_asked_about() -> None:
    with pytest.raises(UsageError) as caught:
        request(ram="12")
    assert caught.value.hint == "Did you mean 12GB?"
    assert request(ram="4000000000").budget_bytes == 4_000_000_000


@given(st.text(max_size=12))
def test_any_name_is_known_or_refused(name: str) -> None:
    try:
        said: object = precisions.bits(precisions.known(name))
    except UsageError as error:
        said = error.hint
    assert said


def test_precisions_rank_by_bits_with_their_scales() -> None:
    order = ["fp32", "bf16", "Q8_0", "int8", "Q6_K", "Q4_K_M", "nf4", "nf4-dq", "fp4-dq"]
    ranks = [precisions.bits(name) or 0 for name in order]
    assert ranks == sorted(ranks, reverse=True)


def test_a_file_s_prevailing_type_ranks_as_the_mix_that_it_stands_for() -> None:
    assert precisions.bits("Q4_K") == precisions.bits("Q4_K_M")
