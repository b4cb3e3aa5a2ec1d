"""Which of the plans that fit is recommended, and why.

The rule, in order: what fits; not below the quality asked for; nothing on the disk, and on a machine with a GPU no blocks
in main memory; at least reading speed; the highest precision up to 16 bits; a file at hand before one that has yet to be
made; speed. So a small machine gets the most precise weights that can still be read along, and where none can, the
fastest. Where only the memory's limit is known, two thirds of it stand for the speed; where nothing is, it is enough.
"""

from __future__ import annotations

from collections.abc import Sequence

from shoestring.planning import precision as precisions
from shoestring.planning.base import CPU, DISK, Plan, Request

READING_SPEED = 8.0
"""Tokens a second: about 350 words a minute, faster than most people read (238, Brysbaert 2019)."""

REACHED = 2 / 3
"""Of the memory's limit, what engines were seen to reach: 0.53 to 0.73 on GPUs (sources in `speed.py`), more on a CPU."""

_ENOUGH_BITS = 16.0  # nothing is gained over the checkpoint's own 16 bits


def floor_bits(request: Request) -> float:
    """Bits a weight that the quality floor stands for; 0 where there is none.

    Raises:
        UsageError: the floor names no precision.
    """
    if request.quality_floor is None:
        return 0.0
    return precisions.bits(precisions.known(request.quality_floor)) or 0.0


def good_enough(plan: Plan, request: Request) -> bool:
    """Whether a plan's precision is not below the quality asked for."""
    return (precisions.bits(plan.precision) or 0.0) >= floor_bits(request)


def key(plan: Plan, request: Request) -> tuple[object, ...]:
    """What plans are sorted by, the best first; those that do not fit behind, the nearest to fitting first."""
    floor = floor_bits(request)
    bits = precisions.bits(plan.precision) or 0.0
    speed = likely_speed(plan)
    if not plan.fits:
        missing = float("inf") if plan.headroom_bytes is None else -plan.headroom_bytes
        return (True, bits < floor, missing)
    readable = speed is None or speed >= READING_SPEED
    return (
        False,
        bits < floor,
        DISK in plan.placement,
        spilled(plan),
        not readable,
        -min(bits, _ENOUGH_BITS) if readable else -(speed or 0.0),
        plan.converted,
        -(speed or 0.0),
        plan.bytes.total,
    )


def likely_speed(plan: Plan) -> float | None:
    """Tokens a second of one sequence to reckon with; None where nothing is known."""
    speed = plan.tokens_per_s
    together = speed.estimate or (None if speed.limit is None else speed.limit * REACHED)
    return None if together is None else together / plan.batch


def spilled(plan: Plan) -> bool:
    """Whether GPUs hold a part of the blocks only; llama.cpp's input, one unit, is in main memory always."""
    return len(plan.placement) > 1 and CPU in plan.placement and plan.placement[CPU].units > 1


def why(best: Plan, others: Sequence[Plan]) -> str:
    """Why the best plan is recommended rather than the others, in one clause for the end of its reason."""
    rivals = [plan for plan in others if plan is not best]
    fitting = [plan for plan in rivals if plan.fits]
    if not fitting:
        return "it is the only one that fits" if rivals else ""
    better = [plan for plan in fitting if _quality(plan) > _quality(best)]
    for instead, said in ((_outside, "only in part on the GPU"), (_slow, "slower than people read")):
        names = ", ".join(dict.fromkeys(plan.precision for plan in better if instead(plan)))
        if names:
            return f"{names} would fit, too, but {said}" + (
                f" ({READING_SPEED:.0f} tokens a second)" if instead is _slow else ""
            )
    speed = likely_speed(best)
    if speed is not None and speed < READING_SPEED:
        return "the fastest of those that fit, though slower than people read"
    where = " with every block on the GPU" if len(best.placement) > 1 and not spilled(best) else ""
    return f"the most precise that fits{where}"


def _quality(plan: Plan) -> float:
    return min(precisions.bits(plan.precision) or 0.0, _ENOUGH_BITS)


def _outside(plan: Plan) -> bool:
    return spilled(plan) or DISK in plan.placement


def _slow(plan: Plan) -> bool:
    speed = likely_speed(plan)
    return speed is not None and speed < READING_SPEED
