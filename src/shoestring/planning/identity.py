"""Facts as a key: what was found of a model is kept for the very object it was found of."""

from __future__ import annotations

from shoestring.models.facts import ModelFacts


class Identity:
    """A key that is equal to itself alone: facts are told apart by identity, not value by value."""

    def __init__(self, facts: ModelFacts) -> None:
        self.facts = facts

    def __hash__(self) -> int:
        return id(self.facts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identity) and other.facts is self.facts
