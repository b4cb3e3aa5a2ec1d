"""What a model's compute graph is drawn from: names, shapes and layers. Neither settings nor tensors' types bear on it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from shoestring.models.facts import ModelFacts

Shape = tuple[int, ...]

_NO_ROTARY = frozenset({"gpt2", "jamba"})
_SMOLLM3_STEP = 4  # of so many layers the last has no rotary positions (n_no_rope_layer_step)
_SAME_LAYERS = 4


@dataclass(frozen=True)
class Blueprint:
    """What every graph of a model shares, found once."""

    facts: ModelFacts

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """Every tensor's shape as stored, by name."""
        return {tensor.name: tensor.shape for tensor in self.facts.tensors}

    @cached_property
    def windows(self) -> bool:
        """Whether some layer's attention slides."""
        return any(layer.attention and layer.attention.window for layer in self.facts.layers)

    @cached_property
    def telling_layers(self) -> tuple[int, ...]:
        """Layers that can differ in their layout: of those in equal surroundings, the first four; and always the last.

        A layer's layout depends on itself and on where its input lies, which settles after a few like it.
        """
        shapes: list[list[tuple[str, Shape]]] = [[] for _ in self.facts.layers]
        for name, shape in self.shapes.items():
            block, _, own = name.removeprefix("blk.").partition(".")
            if block.isdigit() and int(block) < len(shapes):
                shapes[int(block)].append((own, shape))
        kinds: dict[object, int] = {}
        seen: dict[Shape, int] = {}
        row: list[int] = []
        telling: list[int] = []
        for i, layer in enumerate(self.facts.layers):
            kind = (layer, tuple(sorted(shapes[i])), self.rotary(i))
            row.append(kinds.setdefault(kind, len(kinds)))
            surroundings = tuple(row[-3:])
            seen[surroundings] = seen.get(surroundings, 0) + 1
            if seen[surroundings] <= _SAME_LAYERS or i == len(self.facts.layers) - 1:
                telling.append(i)
        return tuple(telling)

    def rotary(self, i: int) -> bool:
        """Whether the layer's queries and keys carry rotary positions."""
        architecture = self.facts.architecture
        if architecture == "smollm3":
            return (i + 1) % _SMOLLM3_STEP != 0
        if architecture == "cohere2":
            a = self.facts.layers[i].attention
            return a is not None and a.window is not None
        return architecture not in _NO_ROTARY and "no_rope" not in self.facts.traits

    def also_of(self, facts: ModelFacts) -> bool:
        """Whether these are facts of the same model, but for its tensors' types."""
        mine = self.facts
        return (
            (mine.architecture, mine.layers, mine.traits, mine.tied)
            == (facts.architecture, facts.layers, facts.traits, facts.tied)
            and (mine.hidden_size, mine.vocab_size) == (facts.hidden_size, facts.vocab_size)
            and len(mine.tensors) == len(facts.tensors)
            and all(
                a.name == b.name and a.shape == b.shape
                for a, b in zip(mine.tensors, facts.tensors, strict=True)
            )
        )
