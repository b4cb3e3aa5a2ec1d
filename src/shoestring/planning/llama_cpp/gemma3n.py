"""Gemma 3n's graph: four streams that take turns (alternating updates), low-rank side paths, inputs by layer.

Source: src/models/gemma3n.cpp.
"""

from __future__ import annotations

from shoestring.models.facts import AttentionFacts
from shoestring.planning.llama_cpp.attention import attention
from shoestring.planning.llama_cpp.graph import I32, Graph
from shoestring.planning.llama_cpp.graph_memory import Tensor

_SPARSE_LAYERS = 10  # whose gates are cut at a quantile (n_layer_sparsity)


class Gemma3n:
    """Builds the graph from the embedded tokens to the one stream that the head reads."""

    def __init__(self, g: Graph, embedded: Tensor) -> None:
        self.g = g
        self.streams = g.shape("blk.0.altup_router.weight")[1]
        self.wide = g.shape("per_layer_proj_norm.weight")[0]  # of one layer's own input
        self.layers = g.width("per_layer_model_proj") // self.wide
        self.token = (g.hidden, g.tokens)
        self.stacked = (g.hidden, g.tokens, self.streams)
        self.others = (g.hidden, g.tokens, self.streams - 1)
        self.by_layer = self._inputs_by_layer(embedded)
        self.stream = self._stack(embedded)

    def _op(self, shape: tuple[int, ...], *sources: Tensor) -> Tensor:
        """An element-wise operation: over the first source of its shape, where nobody else needs that."""
        return self.g.op(shape, *sources, in_place=True)

    def _inputs_by_layer(self, embedded: Tensor) -> Tensor:
        g, shape = self.g, (self.wide, self.layers, self.g.tokens)
        looked_up = g.op((self.wide * self.layers, g.tokens), g.input("tokens by layer", (g.tokens,), I32))
        selected = self._op(shape, g.view(looked_up, shape))
        g.expand(selected)
        projected = g.linear("per_layer_model_proj", embedded)
        projected = self._op(projected.shape, projected)
        normed = g.norm("per_layer_proj_norm", g.view(projected, shape))
        summed = self._op(shape, self._op(shape, normed, selected))
        return g.op((self.wide, g.tokens, self.layers), g.view(summed))

    def _magnitude(self, x: Tensor) -> Tensor:
        shape = (1, *x.shape[1:])
        return self._op(shape, self.g.op(shape, self._op(x.shape, x)))

    def _as_large(self, made: Tensor, like: Tensor) -> Tensor:
        """`made`, scaled to the magnitude of `like`."""
        scaled = self._op(made.shape, made, self._magnitude(like))
        return self._op(made.shape, scaled, self._magnitude(made))

    def _stack(self, embedded: Tensor) -> Tensor:
        repeated = self.g.op(self.others, embedded)
        added = self._as_large(self.g.op(self.others, repeated), embedded)
        return self.g.op(self.stacked, embedded, added)

    def _modalities(self, block: str, x: Tensor) -> Tensor:
        normed = self.g.norm(block + "altup_router_norm", x)
        normed = self._op(normed.shape, normed)
        routed = self.g.op((self.streams, self.g.tokens), normed)
        return self._op(routed.shape, routed)

    def _predict(self, block: str) -> Tensor:
        g, s = self.g, self.streams
        transposed = g.op((s, g.hidden, g.tokens), g.view(self.stream))
        modalities = self._modalities(block, g.view(self.stream, self.token))
        coefficients = g.op((s * s, g.tokens), modalities)
        mixed = g.op((g.hidden, s, g.tokens), transposed, g.view(coefficients))
        mixed = g.op(self.stacked, g.view(mixed))
        return self._op(self.stacked, mixed, self.stream)

    def _correct(self, block: str, predictions: Tensor, activated: Tensor) -> Tensor:
        g = self.g
        innovation = self._op(self.token, activated, g.view(predictions, self.token))
        innovation = g.op(self.stacked, innovation)
        coefficients = g.op((self.streams, g.tokens), self._modalities(block, activated))
        coefficients = self._op(coefficients.shape, coefficients)
        coefficients = g.op((1, g.tokens, self.streams), g.view(coefficients))
        return self._op(self.stacked, self._op(self.stacked, innovation, coefficients), predictions)

    def block(self, i: int, a: AttentionFacts) -> None:
        """One layer."""
        g, block = self.g, f"blk.{i}."
        predictions = self._predict(block)
        active = g.view(predictions, self.token)
        normed = g.norm(block + "attn_norm", active)
        side = g.norm(
            block + "laurel_post_norm", g.linear(block + "laurel_r", g.linear(block + "laurel_l", normed))
        )
        side = self._op(self.token, side, normed)
        mixed = g.norm(block + "post_attention_norm", attention(g, i, a, normed))
        mixed = self._op(self.token, self._op(self.token, mixed, active), side)
        mixed = self._op(self.token, mixed)
        fed = g.norm(block + "post_ffw_norm", self._feed_forward(i, g.norm(block + "ffn_norm", mixed)))
        corrected = self._correct(block, predictions, self._op(self.token, fed, mixed))
        first = self._op(self.token, g.view(corrected, self.token))
        gate = g.linear(block + "inp_gate", first)
        gate = self._op(gate.shape, self._op(gate.shape, gate), g.view(self.by_layer, gate.shape))
        first = g.norm(block + "post_norm", g.linear(block + "proj", gate))
        rest = self._op(self.others, g.view(corrected, self.others), first)
        self.stream = g.op(self.stacked, g.view(corrected, self.token), rest)

    def _feed_forward(self, i: int, x: Tensor) -> Tensor:
        g, block = self.g, f"blk.{i}.ffn_"
        raised, gate = g.linear(block + "up", x), g.linear(block + "gate", x)
        if i < _SPARSE_LAYERS:
            gate = self._cut(gate)
        return g.linear(block + "down", self._op(raised.shape, raised, self._op(gate.shape, gate)))

    def _cut(self, gate: Tensor) -> Tensor:
        one = (1, self.g.tokens)
        mean = self.g.op(one, gate)
        spread = self._op(gate.shape, self._op(gate.shape, gate, mean))
        bound = self.g.op(one, spread)
        for _ in range(3):
            bound = self._op(one, bound)
        bound = self._op(one, mean, bound)
        cut = self._op(gate.shape, gate, bound)
        return self._op(cut.shape, cut)

    def merged(self) -> Tensor:
        """The streams' mean, of the tokens whose logits are wanted."""
        g = self.g
        total = g.view(self.stream, self.token)
        made = g.op(self.others, g.view(self.stream, self.others))
        made = self._as_large(made, g.view(self.stream, self.token))
        for _ in range(self.streams - 1):
            total = self._op(self.token, total, g.view(made, self.token))
        return g.rows(self._op(self.token, total))
