"""A checkpoint's tensors without repetition: the experts of a mixture differ in their numbers alone, and are many."""

from __future__ import annotations

from functools import lru_cache

from shoestring.models.facts import ModelFacts, TensorInfo
from shoestring.planning.identity import Identity

_EXPERTS = ".experts."


def alike(facts: ModelFacts) -> tuple[tuple[TensorInfo, int], ...]:
    """Every tensor with how many there are like it, in stored order: of a block's experts the first stands for all.

    Alike are the weights of one owner's numbered experts with one name behind the number; they are of one shape.
    """
    return _alike(Identity(facts))


@lru_cache(maxsize=2)  # each engine asks, and there may be 70,000 tensors
def _alike(key: Identity) -> tuple[tuple[TensorInfo, int], ...]:
    counts: dict[object, int] = {}
    first: list[tuple[object, TensorInfo]] = []
    for tensor in key.facts.tensors:
        before, experts, behind = tensor.name.partition(_EXPERTS)
        group: object = tensor.name
        if experts:
            parts = behind.split(".")
            if len(parts) == 3 and parts[0].isdigit() and parts[2] == "weight":
                group = (before, parts[1])
        known = counts.get(group)
        if known is None:
            first.append((group, tensor))
            counts[group] = 1
        else:
            counts[group] = known + 1
    return tuple((tensor, counts[group]) for group, tensor in first)
