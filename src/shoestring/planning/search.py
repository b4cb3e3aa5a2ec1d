"""The largest number for which something still holds."""

from __future__ import annotations

from collections.abc import Callable


def largest(most: int, holds: Callable[[int], bool], *, known: int = 0) -> int:
    """The largest count from 1 to `most` for which `holds`, which is true up to some count and false above; else 0.

    `most` and 1 are tried first, since they decide the common cases. `known` is a count that holds already.
    """
    if most <= known:
        return known
    if holds(most):
        return most
    if not known and (most == 1 or not holds(1)):
        return 0
    holding, failing = max(1, known), most
    while failing - holding > 1:
        middle = (holding + failing) // 2
        holding, failing = (middle, failing) if holds(middle) else (holding, middle)
    return holding
