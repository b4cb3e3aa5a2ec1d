"""What earlier loads on this machine teach about the next plan: predicted against measured, for one engine version.

A correction is a term of its own in an estimate, so that a load can always tell what the plan said without it:
corrections are learnt from uncorrected predictions and never build on one another.

Two kinds of loads teach. Full ones that ended in peace tell how far the plans of an engine are off: their median corrects
all of them. One that ran out of memory, or was stopped by the guard, having held more than was planned, tells only that
this model at this precision needs at least so much: it raises the plans of these alone, by a quarter at most, until one
full load of the same, or three of any length, have ended in peace. So a freak spoils one model's plans, and not for long.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from shoestring.planning.base import CPU, Estimate, Term

TERM = "calibration"
"""Name of the term that holds the correction."""

FEWEST = 3
"""Full loads that are needed before anything is corrected."""

WIDEST = 0.05
"""Largest distance between the quartiles of measured ÷ predicted: wider apart, they say nothing common."""

DISPROVED_BY = 3
"""Loads of any length that ended in peace after which a failure of the same model counts no more."""

MOST_UP, MOST_DOWN = 0.25, 0.02
"""Bounds of a correction. Down is the dangerous direction: a plan that is too small kills the worker."""


@dataclass(frozen=True)
class Observation:
    """One load, as far as calibration is concerned.

    Attributes:
        predicted_bytes: the plan's total without any correction.
        measured_bytes: the worker's peak.
        full: whether the context was filled and the worker ended in peace; others say nothing of a plan's total.
        model: what tells models apart, such as (name, bytes of its files).
        precision: of the weights.
        ending: `peace`, `memory` (it ran out, or was stopped by the guard), or `other`, which teaches nothing.
    """

    engine: str
    engine_version: str
    predicted_bytes: int
    measured_bytes: int
    full: bool
    model: tuple[str, int] = ("", 0)
    precision: str = ""
    ending: Literal["peace", "memory", "other"] = "peace"

    @property
    def exceeded(self) -> bool:
        """Whether it failed for memory having held more than was planned, and not because others took it."""
        return self.ending == "memory" and 0 < self.predicted_bytes < self.measured_bytes


@dataclass(frozen=True)
class Calibration:
    """How an engine's plans turned out on this machine.

    Attributes:
        n: full loads it rests on.
        ratio: measured ÷ predicted in the median.
        low, high: its quartiles.
        factor: what a plan is multiplied with: `ratio`, bounded (see `calibrate`).
        largest_bytes: the largest prediction seen; what a larger plan is corrected by stays at that size's.
        failed: whether it rests on a load of the model itself that ran out of memory.
    """

    n: int
    ratio: float
    low: float
    high: float
    factor: float
    largest_bytes: int
    failed: bool = False


def calibrations(
    observations: Iterable[Observation], model: tuple[str, int] | None = None
) -> dict[str, Calibration]:
    """What there is to learn for a model, of the engine versions that were loaded last; `lesson` looks it up.

    Args:
        observations: of this machine, oldest first.
        model: whose own failures count, too.
    """
    found = tuple(observations)
    newest = {each.engine: each.engine_version for each in found}
    learnt = {engine: calibrate(found, engine, version) for engine, version in newest.items()}
    current = [each for each in found if each.engine_version == newest[each.engine]]
    learnt |= {
        _key(engine, precision): _failure(
            [e for e in current if (e.engine, e.precision) == (engine, precision)], model
        )
        for engine, precision in {(each.engine, each.precision) for each in current}
    }
    return {key: calibration for key, calibration in learnt.items() if calibration}


def lesson(known: Mapping[str, Calibration], engine: str, precision: str) -> Calibration | None:
    """What `calibrations` found for plans of an engine at a precision: the more cautious of what it has."""
    found = (known.get(engine), known.get(_key(engine, precision)))
    return max(filter(None, found), key=lambda each: each.factor, default=None)


def _key(engine: str, precision: str) -> str:
    return f"{engine} at {precision}"


def _failure(observations: Sequence[Observation], model: tuple[str, int] | None) -> Calibration | None:
    """The last failure of a model, of its loads with one engine at one precision; None where later ones disprove it."""
    own = [each for each in observations if each.model == model]
    last = next((n for n in reversed(range(len(own))) if own[n].exceeded), None)
    if last is None:
        return None
    since = [each for each in own[last + 1 :] if each.ending == "peace"]
    if len(since) >= DISPROVED_BY or any(each.full for each in since):
        return None
    failed = own[last]
    ratio = failed.measured_bytes / failed.predicted_bytes
    return Calibration(1, ratio, ratio, ratio, min(ratio, 1 + MOST_UP), failed.predicted_bytes, failed=True)


def calibrate(
    observations: Iterable[Observation], engine: str, engine_version: str | None = None
) -> Calibration | None:
    """What full loads with one version of an engine (None: with any) teach; None where that is too little.

    The median rules, so single outliers do not matter. Upwards it is taken as it is, by a quarter at most. Downwards
    no plan goes below what any of the loads would have needed, and none by more than 2 %.
    """
    fitting = [
        each
        for each in observations
        if each.full
        and each.engine == engine
        and engine_version in (None, each.engine_version)
        and each.predicted_bytes > 0
        and each.measured_bytes > 0
    ]
    if len(fitting) < FEWEST:
        return None
    ratios = sorted(each.measured_bytes / each.predicted_bytes for each in fitting)
    low, median, high = (_quantile(ratios, share) for share in (0.25, 0.5, 0.75))
    if high - low > WIDEST:
        return None
    largest = max(each.predicted_bytes for each in fitting)
    return Calibration(len(ratios), median, low, high, _bounded(median, ratios[-1]), largest)


def apply(total_bytes: int, calibration: Calibration) -> int:
    """A plan's total with the correction; grows with the total."""
    return total_bytes + correction_bytes(total_bytes, calibration)


def correction_bytes(total_bytes: int, calibration: Calibration) -> int:
    """What the correction adds to a total (or takes off it)."""
    return round(min(total_bytes, calibration.largest_bytes) * (calibration.factor - 1))


def corrected(estimate: Estimate, calibration: Calibration) -> Estimate:
    """The estimate with the correction as a term of its own; one that is there already is replaced.

    What was measured is main memory: an estimate that uses another device stays as it is.
    """
    terms = tuple(term for term in estimate.terms if term.name != TERM)
    if any(term.device != CPU and term.bytes for term in terms):
        return estimate
    before = sum(term.bytes for term in estimate.terms if term.name == TERM)
    added = correction_bytes(sum(term.bytes for term in terms), calibration)
    peak = estimate.load_peak.get(CPU)
    peaks = {} if peak is None else {CPU: peak - max(before, 0) + max(added, 0)}
    return replace(
        estimate, terms=(*terms, Term(TERM, "runtime", CPU, added)), load_peak={**estimate.load_peak, **peaks}
    )


def sentence(calibration: Calibration) -> str:
    """What was corrected on which grounds, for a plan's notes."""
    if calibration.failed:
        return (
            f"Raised by {_percent(calibration.factor)} %: an earlier load of it on this machine ran out of memory when it "
            f"held {_percent(calibration.ratio)} % more than planned.".replace("held +", "held ")
        )
    spread = f"(spread {_percent(calibration.low)} to {_percent(calibration.high)} %)"
    change = _percent(calibration.factor)
    if change == _percent(1):
        return f"Confirmed by {calibration.n} full loads on this machine {spread}."
    return f"Corrected by {change} % after {calibration.n} full loads on this machine {spread}."


def _bounded(median: float, highest: float) -> float:
    if median >= 1:
        return min(median, 1 + MOST_UP)
    return min(max(highest, 1 - MOST_DOWN), 1.0)


def _quantile(ordered: Sequence[float], share: float) -> float:
    """By linear interpolation between the two nearest."""
    position = share * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def _percent(ratio: float) -> str:
    return f"{(ratio - 1) * 100:+.1f}".replace("-", "−").replace("−0.0", "+0.0")
