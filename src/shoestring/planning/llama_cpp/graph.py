"""Building a model's forward graph as llama.cpp does: tensors first, their order when one of them is expanded.

Only sizes exist. Weights and cache are no tensors here: they lie in buffers of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from shoestring.models.facts import AttentionFacts, ModelFacts
from shoestring.planning.base import LlamaCppSettings
from shoestring.planning.llama_cpp.blueprint import Blueprint, Shape
from shoestring.planning.llama_cpp.graph_memory import Tensor
from shoestring.planning.llama_cpp.kv_cache import cells_per_sequence, padded_context

F32, F16, I32, I64 = 4, 2, 4, 8
LAYER_NORM = frozenset(
    {
        *("cohere2", "command-r", "falcon", "gpt2", "gptneox", "nemotron", "orion", "phi2", "stablelm"),
        "starcoder2",
    }
)
"""Architectures that normalise with the mean, too; ggml cannot do that in place."""

SEEING = frozenset({"qwen2vl", "qwen35", "qwen35moe", "qwen3vl", "qwen3vlmoe"})
"""Architectures whose rotary positions have several axes."""


@dataclass(eq=False)
class Graph:
    """llama.cpp's worst-case graph: a full micro-batch against a full cache, one output a sequence.

    Attributes:
        tokens: of the micro-batch, the same number for each sequence.
        inputs: tensors that are filled before the graph runs, in the order of their first reader.
        nodes: operations in the order in which they run.
    """

    blueprint: Blueprint
    settings: LlamaCppSettings
    inputs: list[Tensor] = field(default_factory=list)
    nodes: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.facts: ModelFacts = self.blueprint.facts
        self.batch = self.settings.batch
        n_ctx = padded_context(self.settings) * self.batch
        self.tokens = -(-min(self.settings.ubatch, n_ctx) // self.batch) * self.batch
        self.hidden = self.facts.hidden_size
        self.windows = self.blueprint.windows
        self._weights = self.blueprint.shapes
        self._known: dict[object, Tensor] = {}
        self._leaves: set[int] = set()
        self._visited: set[int] = set()

    # Weights

    def has(self, name: str) -> bool:
        """Whether the model has this tensor."""
        return name in self._weights

    def width(self, name: str) -> int:
        """How many values a matrix makes of a row."""
        return self._weights[name + ".weight"][1]

    def shape(self, name: str) -> Shape:
        """A tensor's shape as stored."""
        return self._weights[name]

    # Tensors

    def input(self, key: object, shape: Shape, element_bytes: int = F32) -> Tensor:
        """A tensor filled from outside; the same for the same key."""
        if key not in self._known:
            tensor = Tensor(_plain(shape), _product(shape) * element_bytes)
            self._leaves.add(id(tensor))
            self._known[key] = tensor
        return self._known[key]

    def op(self, shape: Shape, *sources: Tensor, in_place: bool = False, element_bytes: int = F32) -> Tensor:
        """An operation's result; `in_place` where ggml may let it overwrite a source of the same shape."""
        return Tensor(_plain(shape), _product(shape) * element_bytes, sources, in_place=in_place)

    def view(self, source: Tensor, shape: Shape | None = None) -> Tensor:
        """Another look at a tensor's values, or at some of them."""
        return Tensor(_plain(shape or source.shape), 0, (source,), view_of=source.view_of or source)

    def expand(self, tensor: Tensor) -> None:
        """Let a tensor run next, and before it whatever it needs (`ggml_build_forward_expand`)."""
        if id(tensor) in self._visited:
            return
        self._visited.add(id(tensor))
        for source in tensor.sources:
            self.expand(source)
        (self.inputs if id(tensor) in self._leaves else self.nodes).append(tensor)

    def write(self, source: Tensor, *indices: Tensor) -> None:
        """Store values outside this buffer: in the cache, or as a recurrent state."""
        self.expand(self.op((0,), source, *indices))

    # Layers

    def linear(self, name: str, x: Tensor) -> Tensor:
        """x times a matrix, and its bias."""
        y = self.op((self.width(name), *x.shape[1:]), x)
        return self.bias(name, y)

    def bias(self, name: str, x: Tensor) -> Tensor:
        """x and its bias, where it has one."""
        return self.op(x.shape, x, in_place=True) if self.has(name + ".bias") else x

    def norm(self, name: str, x: Tensor) -> Tensor:
        """Normalise, scale, shift; x itself where the model has no such norm."""
        if not (self.has(name + ".weight") or self.has(name)):
            return x
        normed = self.op(x.shape, x, in_place=self.facts.architecture not in LAYER_NORM)
        return self.bias(name, self.op(x.shape, normed, in_place=True))

    def rows(self, x: Tensor) -> Tensor:
        """Of all tokens, the last of each sequence: those whose logits are wanted."""
        wanted = self.input("out_ids", (self.batch,), I32)
        return self.op((x.shape[0], self.batch), x, wanted)

    def positions(self) -> Tensor:
        """The place of each token in its sequence; of models that see, in time, height, width and one to spare."""
        axes = 4 if self.facts.architecture in SEEING else 1
        return self.input("positions", (self.tokens * axes,), I32)

    def mask(self, a: AttentionFacts) -> Tensor:
        """Which cells a token may see."""
        size = F16 if self.settings.flash_attention else F32
        cells = cells_per_sequence(a, self.settings)
        return self.input(("mask", a.window is not None), (cells, self.tokens), size)


def _plain(shape: Shape) -> Shape:
    """Without the ones at its end: ggml compares shapes of four dimensions."""
    while len(shape) > 1 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _product(shape: Shape) -> int:
    total = 1
    for n in shape:
        total *= n
    return total
