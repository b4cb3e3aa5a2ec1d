"""Which plan is recommended: the most precise that fits and can still be read along."""

from __future__ import annotations

from dataclasses import replace

import pytest
from planning_facts import GB

from shoestring.errors import UsageError
from shoestring.planning.base import (
    CPU,
    DISK,
    DevicePlan,
    LlamaCppSettings,
    Plan,
    PlanBytes,
    Request,
    TokensPerSecond,
)
from shoestring.planning.ranking import good_enough, key, likely_speed, why

ANY = Request()


def plan_of(
    precision: str,
    *,
    total: int | None = GB,
    speed: float | None = None,
    limit: float | None = None,
    device: str = CPU,
    headroom: int = GB,
    converted: bool = False,
) -> Plan:
    held = PlanBytes(total, 0, 0, 0, total, total)
    return Plan(
        engine="llama_cpp",
        precision=precision,
        kv_precision="f16",
        context=4096,
        batch=1,
        placement={device: DevicePlan(held, 2 * GB, 1)},
        bytes=held,
        budget_bytes=2 * GB,
        fits=total is not None and headroom >= 0,
        headroom_bytes=None if total is None else headroom,
        tokens_per_s=TokensPerSecond(speed, limit or speed),
        method="formula",
        settings=LlamaCppSettings(context=4096),
        reason="",
        converted=converted,
    )


def best(*plans: Plan, request: Request = ANY) -> str:
    return min(plans, key=lambda plan: key(plan, request)).precision


def test_the_most_precise_that_fits_wins_where_speeds_are_not_known() -> None:
    assert best(plan_of("Q4_K_M"), plan_of("Q8_0"), plan_of("bf16", headroom=-1)) == "Q8_0"


def test_what_is_slower_than_people_read_gives_way_to_what_is_not() -> None:
    assert best(plan_of("Q8_0", speed=3), plan_of("Q4_K_M", speed=9)) == "Q4_K_M"


def test_where_nothing_is_fast_enough_the_fastest_wins() -> None:
    assert best(plan_of("Q8_0", speed=2), plan_of("Q4_K_M", speed=4)) == "Q4_K_M"


def test_32_bits_are_no_better_than_16() -> None:
    assert best(plan_of("fp32", total=2 * GB), plan_of("bf16")) == "bf16"


def test_the_disk_comes_last() -> None:
    assert best(plan_of("bf16", device=DISK), plan_of("nf4")) == "nf4"


def test_a_file_at_hand_comes_before_one_that_has_yet_to_be_made() -> None:
    assert not min(
        [plan_of("Q8_0", converted=True), plan_of("Q8_0")], key=lambda plan: key(plan, ANY)
    ).converted


def test_nothing_below_the_floor_is_good_enough() -> None:
    request = Request(quality_floor="int8")
    assert good_enough(plan_of("Q8_0"), request)
    assert not good_enough(plan_of("Q4_K_M"), request)
    assert best(plan_of("Q4_K_M", speed=50), plan_of("int8", speed=1), request=request) == "int8"


def test_of_those_that_do_not_fit_the_nearest_comes_first_and_the_unknown_last() -> None:
    plans = [plan_of("Q8_0", total=None), plan_of("bf16", headroom=-5), plan_of("Q4_K_M", headroom=-1)]
    ordered = sorted(plans, key=lambda plan: key(plan, ANY))
    assert [plan.precision for plan in ordered] == ["Q4_K_M", "bf16", "Q8_0"]


def test_a_floor_that_is_no_precision_is_refused() -> None:
    with pytest.raises(UsageError, match="no precision"):
        key(plan_of("Q8_0"), Request(quality_floor="stored"))


def test_a_limit_counts_for_two_thirds_since_nothing_reaches_it() -> None:
    assert likely_speed(plan_of("Q8_0", limit=9)) == pytest.approx(6)
    assert best(plan_of("Q8_0", limit=9), plan_of("Q4_K_M", speed=9)) == "Q4_K_M"


def test_a_batch_shares_its_speed() -> None:
    assert likely_speed(replace(plan_of("Q8_0", speed=24), batch=4)) == 6


class TestWhy:
    def test_says_that_more_precise_ones_would_be_too_slow(self) -> None:
        chosen, slower = plan_of("Q4_K_M", speed=9), plan_of("Q8_0", speed=3)
        assert "Q8_0 would fit, too, but slower than people read" in why(chosen, [chosen, slower])

    def test_says_that_more_precise_ones_would_not_lie_on_the_gpu(self) -> None:
        chosen, apart = plan_of("Q8_0", device="gpu0"), plan_of("bf16", device=DISK)
        assert "bf16 would fit, too, but only in part on the GPU" in why(chosen, [chosen, apart])

    def test_says_that_it_is_the_only_one(self) -> None:
        chosen = plan_of("Q4_K_M")
        assert "only one that fits" in why(chosen, [chosen, plan_of("Q8_0", headroom=-1)])

    def test_does_not_praise_what_is_slow(self) -> None:
        chosen = plan_of("Q4_K_M", speed=4)
        assert "though slower than people read" in why(chosen, [chosen, plan_of("Q4_K_M", speed=2)])

    def test_else_it_is_the_most_precise(self) -> None:
        chosen = plan_of("Q8_0")
        assert why(chosen, [chosen, plan_of("Q4_K_M")]) == "the most precise that fits"
