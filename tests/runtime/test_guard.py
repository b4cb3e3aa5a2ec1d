"""The guard looks at two figures and acts on one process."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from shoestring.runtime.guard import Guard, Limits, limits_for
from shoestring.units import GiB, MiB


def guard(limits: Limits | None, available: int, killed: list[bool]) -> Guard:
    return Guard(os.getpid(), limits, lambda: available, lambda: killed.append(True))


def test_within_limits_nothing_happens() -> None:
    killed: list[bool] = []
    assert guard(Limits(64 * GiB, 0), GiB, killed).look()
    assert not killed


def test_over_budget_the_process_is_ended_once_and_the_reason_kept() -> None:
    killed: list[bool] = []
    watching = guard(Limits(1 * MiB, 0), GiB, killed)
    assert not watching.look()
    assert killed == [True]
    assert watching.stopped is not None
    assert "1.05 MB" in watching.stopped.reason


def test_under_the_floor_the_process_is_ended_with_that_reason() -> None:
    killed: list[bool] = []
    watching = guard(Limits(64 * GiB, 100 * MiB), 50 * MiB, killed)
    assert not watching.look()
    assert watching.stopped is not None
    assert "left on this machine" in watching.stopped.reason


def test_without_limits_it_only_records_the_peak() -> None:
    killed: list[bool] = []
    watching = guard(None, 0, killed)
    assert watching.look()
    assert (watching.peak_bytes or 0) > MiB
    assert not killed


def test_a_process_that_is_gone_ends_the_watch() -> None:
    watching = Guard(2**22 - 1, Limits(0, 0), lambda: 0, lambda: None)
    assert not watching.look()
    assert watching.stopped is None


@given(st.integers(0, 2**45), st.integers(2**20, 2**45))
def test_the_budget_is_the_plan_and_a_tenth_and_the_floor_is_small(plan: int, total: int) -> None:
    limits = limits_for(plan, total)
    assert abs(limits.budget_bytes - plan * 1.1) <= 1
    assert limits.floor_bytes <= min(256 * MiB, total / 20)
