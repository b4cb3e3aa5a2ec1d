"""Stepping down: a load or a generation failed for memory in spite of its plan, and a smaller plan takes over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shoestring.planning.base import Plan
from shoestring.planning.difference import describe_difference

MOST_STEPS = 3
"""Smaller plans that are tried before the error is raised all the same: each one costs a load."""

Smaller = Callable[[Plan], Sequence[Plan]]
"""Plans that need less than one that failed, and fit what is free now; those that give up least first."""


@dataclass(frozen=True)
class Step:
    """One step down.

    Attributes:
        reason: what happened to the plan that was given up, one sentence.
        failed, taken: that plan, and the one tried instead.
    """

    reason: str
    failed: Plan
    taken: Plan

    def __str__(self) -> str:
        return f"{self.reason} Trying {describe_difference(self.failed, self.taken)} instead."


Told = Callable[[Step], None]
"""Hears of each step as it is taken."""
