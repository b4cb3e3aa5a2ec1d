"""The largest number for which something still holds."""

from __future__ import annotations

from collections.abc import Callable

_MISLED = 2
"""Tries along the line, on either side of where it meets zero, before the range is halved."""


def largest(most: int, left: Callable[[int], int | None], *, known: int = 0) -> int:
    """The largest count from 1 to `most` that holds, where counts hold up to some number and none above; else 0.

    What is left tells where to look: between a count that holds and one that does not, the next to try lies where a
    straight line between what they leave meets zero. Memory grows in such lines, nearly, so that two or three tries
    find what halving the range finds in ten; where they mislead, halving takes over.

    Args:
        left: of a count, what is left beside it (bytes): 0 or more where it holds, negative by what it is too large;
            None where it does not hold, and by how much it is too large says nothing of where to look.
        known: a count that holds already.
    """
    if most <= known:
        return known
    low, high = max(1, known), most
    below = left(low)
    if not known and not _holds(below):
        return 0
    if low == most:
        return most
    beyond = left(most)
    if _holds(beyond):
        return most
    misled = 0  # tries in a row that did not halve the range
    while high - low > 1:
        width = high - low
        middle = (low + high) // 2 if misled == _MISLED else _meeting(low, below, high, beyond)
        found = left(middle)
        if _holds(found):
            low, below = middle, found
        else:
            high, beyond = middle, found
        misled = 0 if misled == _MISLED or 2 * (high - low) <= width else misled + 1
    return low


def _holds(left: int | None) -> bool:
    return left is not None and left >= 0


def _meeting(low: int, below: int | None, high: int, beyond: int | None) -> int:
    """Strictly between `low` and `high`, where the line through what they leave meets zero; halfway if unknown."""
    if below is None or beyond is None or below < 0:
        return (low + high) // 2
    met = low + (high - low) * below // (below - beyond)
    return min(max(met, low + 1), high - 1)
