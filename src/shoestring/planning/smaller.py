"""What to try after a plan failed for memory in spite of its figures: plans that need clearly less, and fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from shoestring.hardware.base import Hardware
from shoestring.models.facts import ModelFacts
from shoestring.planning import precision as precisions
from shoestring.planning.base import Plan, Request
from shoestring.planning.calibration import Calibration
from shoestring.planning.candidates import Candidate, candidates, smaller
from shoestring.planning.solver import LEAST_CONTEXT, plan_each

CLEARLY_LESS = 0.9
"""Of the failed plan's peak: it needed more than it said, so what saves little would fail alike."""

_SHORTER = (2, 4, 8)


def smaller_plans(
    facts: ModelFacts,
    hardware: Hardware,
    request: Request,
    failed: Plan,
    *,
    calibrations: Mapping[str, Calibration] | None = None,
) -> tuple[Plan, ...]:
    """Plans of the same engine and files that fit and need clearly less than `failed`; those that give up least first.

    What costs only speed comes first, then what the request left open: precision before context. What was asked for
    by name is given up last, but it is.

    Args:
        request: what the failed plan answered.
    """
    wish = replace(request, engine=failed.engine, batch=failed.batch)
    found = _ordered(facts, hardware, wish, failed)
    plans = plan_each(found, facts, hardware, wish, calibrations=calibrations)
    return tuple(plan for plan in plans if plan.fits and _peak(plan) < CLEARLY_LESS * _peak(failed))


def _ordered(facts: ModelFacts, hardware: Hardware, request: Request, failed: Plan) -> Iterator[Candidate]:
    every = [
        each
        for each in candidates(facts, hardware, replace(request, precision=None), failed.context)
        if not each.converted
    ]
    same = [each for each in every if each.precision == failed.precision] or _asked(
        facts, hardware, request, failed
    )
    bits = precisions.bits(failed.precision) or 0.0
    lower = [each for each in every if (precisions.bits(each.precision) or 0.0) < bits]
    yield from (changed for each in same for _, changed in smaller(each))
    if request.precision is None:
        yield from lower
        yield from _shorter(same)
    else:
        yield from _shorter(same)
        yield from lower
    yield from _shorter(lower)
    if failed.batch > 1:
        yield from (replace(each, settings=replace(each.settings, batch=1)) for each in (*same, *lower))


def _asked(facts: ModelFacts, hardware: Hardware, request: Request, failed: Plan) -> list[Candidate]:
    found = candidates(facts, hardware, request, failed.context)
    return [each for each in found if not each.converted and each.precision == failed.precision]


def _shorter(found: Iterable[Candidate]) -> Iterator[Candidate]:
    for each in found:
        for part in _SHORTER:
            context = each.settings.context // part
            if context >= LEAST_CONTEXT:
                yield replace(each, settings=replace(each.settings, context=context))


def _peak(plan: Plan) -> int:
    return max(plan.bytes.total or 0, plan.bytes.load_peak or 0)
