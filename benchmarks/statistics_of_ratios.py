"""Median of paired ratios with a bootstrap 95 % interval: the only figure this noisy machine supports."""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Ratio:
    median: float
    low: float
    high: float
    smallest: float
    largest: float
    n: int

    def __str__(self) -> str:
        return (
            f"{self.median:.3f} (95 % {self.low:.3f} to {self.high:.3f}; "
            f"single pairs {self.smallest:.2f} to {self.largest:.2f}; n = {self.n})"
        )


def paired_ratio(ours: Sequence[float], theirs: Sequence[float], seed: int = 1) -> Ratio:
    """ours ÷ theirs, pair by pair; the interval resamples pairs 4,000 times."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    rng = random.Random(seed)
    medians = sorted(statistics.median(rng.choices(ratios, k=len(ratios))) for _ in range(4000))
    return Ratio(
        statistics.median(ratios), medians[100], medians[3899], min(ratios), max(ratios), len(ratios)
    )
