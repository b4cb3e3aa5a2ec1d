"""Earlier loads correct later plans: carefully, and never twice."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoestring.planning.base import CPU, Estimate, Term
from shoestring.planning.calibration import (
    DISPROVED_BY,
    FEWEST,
    MOST_DOWN,
    MOST_UP,
    Calibration,
    Observation,
    apply,
    calibrate,
    calibrations,
    corrected,
    lesson,
    sentence,
)

GB = 10**9


def seen(
    *ratios: float, engine: str = "llama_cpp", version: str = "1", full: bool = True
) -> list[Observation]:
    return [Observation(engine, version, GB, round(GB * ratio), full) for ratio in ratios]


def learnt(*ratios: float) -> Calibration:
    calibration = calibrate(seen(*ratios), "llama_cpp")
    if calibration is None:
        raise LookupError(ratios)
    return calibration


def estimate(n_bytes: int = GB, device: str = CPU) -> Estimate:
    return Estimate((Term("weights", "weights", device, n_bytes),), {device: n_bytes})


def total(of: Estimate) -> int:
    return sum(term.bytes for term in of.terms)


close = st.lists(st.floats(0.985, 1.015), min_size=FEWEST, max_size=12)
any_ratios = st.lists(st.floats(0.01, 100), min_size=FEWEST, max_size=12)
sizes = st.integers(0, 10**13)


def test_the_median_corrects_and_the_sentence_says_on_what_grounds() -> None:
    calibration = learnt(1.002, 1.008, 1.012, 1.020, 1.021)
    assert apply(GB, calibration) == 1_012_000_000
    assert sentence(calibration) == (
        "Corrected by +1.2 % after 5 full loads on this machine (spread +0.8 to +2.0 %)."
    )


def test_loads_that_agree_with_the_plan_are_said_to() -> None:
    assert sentence(learnt(0.998, 1.0, 1.002)) == (
        "Confirmed by 3 full loads on this machine (spread −0.1 to +0.1 %)."
    )


@pytest.mark.parametrize("ratios", [(), (1.1,), (1.1, 1.1)])
def test_few_loads_teach_nothing(ratios: tuple[float, ...]) -> None:
    assert calibrate(seen(*ratios), "llama_cpp") is None


def test_loads_that_disagree_teach_nothing() -> None:
    assert calibrate(seen(0.9, 1.0, 1.1, 1.2), "llama_cpp") is None


def test_one_outlier_does_not_matter() -> None:
    assert learnt(1.01, 1.01, 1.01, 1.01, 9.0).factor == 1.01


def test_only_full_loads_count() -> None:
    assert calibrate([*seen(1.1, 1.1), *seen(1.1, 1.1, full=False)], "llama_cpp") is None


def test_another_engine_or_version_does_not_count() -> None:
    others = [*seen(2.0, 2.0, 2.0, engine="transformers"), *seen(1.2, 1.2, 1.2, version="0")]
    assert calibrate([*others, *seen(1.1, 1.1, 1.1)], "llama_cpp", "1") == learnt(1.1, 1.1, 1.1)


def test_each_engine_is_known_by_the_version_that_was_loaded_last() -> None:
    found = calibrations([*seen(1.2, 1.2, 1.2, version="0"), *seen(1.1, 1.1, 1.1), *seen(1.3, engine="fake")])
    assert found == {"llama_cpp": learnt(1.1, 1.1, 1.1)}


def test_what_cannot_be_is_left_out() -> None:
    odd = [Observation("llama_cpp", "1", 0, GB, True), Observation("llama_cpp", "1", GB, -5, True)]
    assert calibrate([*odd, *seen(1.1, 1.1)], "llama_cpp") is None


def test_downwards_no_plan_goes_below_what_one_of_the_loads_needed() -> None:
    assert learnt(0.985, 0.985, 0.985, 0.99).factor == 0.99
    assert learnt(0.985, 0.985, 0.985, 1.01).factor == 1.0


def test_downwards_is_never_far() -> None:
    assert learnt(0.5, 0.5, 0.5).factor == 1 - MOST_DOWN


def test_beyond_the_sizes_seen_the_correction_grows_no_further() -> None:
    calibration = learnt(1.01, 1.01, 1.01)
    assert apply(50 * GB, calibration) - 50 * GB == apply(GB, calibration) - GB


def test_a_correction_is_a_term_of_its_own() -> None:
    terms = corrected(estimate(), learnt(1.01, 1.01, 1.01)).terms
    assert [(term.name, term.bytes) for term in terms] == [("weights", GB), ("calibration", GB // 100)]


def test_the_load_peak_is_corrected_upwards_only() -> None:
    assert corrected(estimate(), learnt(1.01, 1.01, 1.01)).load_peak == {CPU: GB + GB // 100}
    assert corrected(estimate(), learnt(0.99, 0.99, 0.99)).load_peak == {CPU: GB}


def test_a_plan_for_a_gpu_is_left_alone() -> None:
    plain = estimate(device="gpu0")
    assert corrected(plain, learnt(1.01, 1.01, 1.01)) is plain


@given(any_ratios)
def test_a_correction_stays_within_its_bounds(ratios: list[float]) -> None:
    calibration = calibrate(seen(*ratios), "llama_cpp")
    assert calibration is None or 1 - MOST_DOWN <= calibration.factor <= 1 + MOST_UP


@given(close.flatmap(lambda ratios: st.tuples(st.just(ratios), st.permutations(ratios))))
def test_the_order_of_loads_does_not_matter(both: tuple[list[float], list[float]]) -> None:
    ratios, shuffled = both
    assert learnt(*ratios) == learnt(*shuffled)


@given(close, sizes, sizes)
def test_a_larger_plan_stays_the_larger_one(ratios: list[float], one: int, other: int) -> None:
    calibration = learnt(*ratios)
    assert (apply(one, calibration) <= apply(other, calibration)) or one > other


@given(close, st.floats(1.0, 1.05))
def test_larger_measurements_never_correct_downwards(ratios: list[float], more: float) -> None:
    assert learnt(*(ratio * more for ratio in ratios)).factor >= learnt(*ratios).factor - 1e-9


@given(close, sizes)
def test_correcting_twice_is_correcting_once(ratios: list[float], n_bytes: int) -> None:
    once = corrected(estimate(n_bytes), learnt(*ratios))
    assert corrected(once, learnt(*ratios)) == once


@given(st.floats(1.0, 1.2))
def test_corrections_do_not_build_on_one_another(truth: float) -> None:
    records: list[Observation] = seen(truth, truth, truth)
    for _ in range(5):
        calibration = calibrate(records, "llama_cpp")
        plan = estimate() if calibration is None else corrected(estimate(), calibration)
        correction = sum(term.bytes for term in plan.terms if term.name == "calibration")
        records.append(replace(records[0], predicted_bytes=total(plan) - correction))
    assert learnt(*(each.measured_bytes / each.predicted_bytes for each in records)).factor == pytest.approx(
        truth, abs=1e-8
    )


MODEL = ("some-model", 123)


def load(ratio: float, ending: str = "memory", *, full: bool = False, precision: str = "bf16") -> Observation:
    return Observation(
        "transformers",
        "5",
        GB,
        round(GB * ratio),
        full,
        MODEL,
        precision,
        ending,  # type: ignore[arg-type]
    )


def after(*loads: Observation, model: tuple[str, int] = MODEL, precision: str = "bf16") -> Calibration | None:
    return lesson(calibrations(loads, model), "transformers", precision)


def factor(*loads: Observation) -> float:
    found = after(*loads)
    return 1.0 if found is None else found.factor


def test_a_load_that_needed_more_raises_the_next_plans_of_that_model() -> None:
    found = after(load(1.12))
    assert found is not None
    assert found.factor == 1.12
    assert sentence(found) == (
        "Raised by +12.0 %: an earlier load of it on this machine ran out of memory when it held 12.0 % more than "
        "planned."
    )


def test_a_freak_raises_them_by_a_quarter_at_most() -> None:
    assert factor(load(9.0)) == 1 + MOST_UP


def test_a_failure_that_held_less_than_planned_says_nothing_of_the_plan() -> None:
    assert factor(load(0.8)) == 1.0


def test_a_failure_says_nothing_of_other_models_or_precisions() -> None:
    assert after(load(1.2), model=("another", 123)) is None
    assert after(load(1.2), precision="nf4") is None


def test_a_full_load_in_peace_disproves_a_failure() -> None:
    assert factor(load(1.2), load(1.0, "peace", full=True)) == 1.0


def test_short_loads_in_peace_disprove_it_only_together() -> None:
    peace = load(0.9, "peace")
    assert factor(load(1.2), *[peace] * (DISPROVED_BY - 1)) == 1.2
    assert factor(load(1.2), *[peace] * DISPROVED_BY) == 1.0


def test_the_last_failure_counts() -> None:
    assert factor(load(1.2), *[load(0.9, "peace")] * DISPROVED_BY, load(1.05)) == 1.05


def test_what_all_loads_taught_stays_where_it_is_the_more_cautious() -> None:
    full = [load(1.2, "peace", full=True, precision="nf4")] * FEWEST
    assert factor(*full, load(1.1)) == pytest.approx(1.2)


@given(st.lists(st.tuples(st.floats(0.01, 100), st.sampled_from(["peace", "memory", "other"])), max_size=12))
def test_whatever_happened_no_model_is_raised_by_more_than_a_quarter(loads: list[tuple[float, str]]) -> None:
    assert 1 - MOST_DOWN <= factor(*(load(ratio, ending) for ratio, ending in loads)) <= 1 + MOST_UP
