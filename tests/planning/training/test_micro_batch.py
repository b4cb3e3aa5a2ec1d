"""Micro-batches are exact divisors, and every candidate trains the same effective batch."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoestring.errors import UsageError
from shoestring.planning.base import TrainingSettings
from shoestring.planning.training.micro_batch import SHORTEST_EXAMPLE, accumulate, candidates

START = TrainingSettings(1024, 12, gradient_checkpointing=False)


@given(st.integers(1, 4096), st.integers(1, 4096))
def test_batch_times_accumulation_is_what_was_asked_for(effective: int, micro: int) -> None:
    batch, accumulation = accumulate(effective, micro)

    assert batch * accumulation == effective
    assert batch <= micro


@pytest.mark.parametrize(
    ("effective", "micro", "expected"), [(16, 16, (16, 1)), (16, 5, (4, 4)), (7, 3, (1, 7))]
)
def test_the_micro_batch_is_as_large_as_allowed(
    effective: int, micro: int, expected: tuple[int, int]
) -> None:
    assert accumulate(effective, micro) == expected


@pytest.mark.parametrize(("effective", "micro"), [(0, 1), (4, 0), (-1, 2)])
def test_no_batch_is_no_training(effective: int, micro: int) -> None:
    with pytest.raises(UsageError, match="cannot be trained"):
        accumulate(effective, micro)


def test_the_first_candidate_is_what_was_wanted() -> None:
    assert next(candidates(START)) == START


def test_every_candidate_trains_the_same_effective_batch() -> None:
    assert {one.batch * one.accumulation for one in candidates(START)} == {12}


def test_checkpointing_comes_before_a_smaller_optimizer_and_that_before_shorter_examples() -> None:
    found = list(candidates(START))
    changed = [(one.gradient_checkpointing, one.optimizer != "adamw", one.context < 1024) for one in found]

    assert changed == sorted(changed)
    assert found[-1].context == SHORTEST_EXAMPLE


def test_no_candidate_comes_twice() -> None:
    found = list(candidates(START))

    assert len(set(found)) == len(found)
    assert all(a != b for a, b in pairwise(found))
