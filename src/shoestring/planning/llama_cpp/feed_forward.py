"""The feed-forward of a block as llama.cpp computes it (`build_ffn`, `build_moe_ffn` in src/llama-graph.cpp)."""

from __future__ import annotations

from shoestring.models.facts import ExpertFacts
from shoestring.planning.llama_cpp.graph import I32, Graph
from shoestring.planning.llama_cpp.graph_memory import Tensor

_PLAIN_WEIGHTS = frozenset(
    {
        *("bailingmoe", "deepseek", "deepseek2", "dots1", "glm4moe", "gpt-oss", "jamba", "olmoe", "qwen2moe"),
    }
)
"""Architectures that do not divide the weights of the chosen experts by their sum unless the header says so."""


def feed_forward(g: Graph, i: int, x: Tensor) -> Tensor:
    """What the layer's feed-forward adds to the stream: dense, or a mixture of experts with what all tokens share."""
    experts = g.facts.layers[i].experts
    block = f"blk.{i}.ffn_"
    if experts is None:
        return dense(g, block, "", x)
    mixed = mixture(g, block, experts, x)
    if not g.has(block + "up_shexp.weight"):
        return mixed
    shared = dense(g, block, "_shexp", x)
    if g.has(block + "gate_inp_shexp.weight"):
        shared = g.op(shared.shape, shared, _shared_gate(g, x), in_place=True)
    return g.op(mixed.shape, mixed, shared, in_place=True)


def dense(g: Graph, block: str, suffix: str, x: Tensor) -> Tensor:
    """Up, gate and down; of what all tokens share in a mixture the names end in `_shexp`."""
    down = f"{block}down{suffix}"
    inner = g.shape(down + ".weight")[0]
    raised = g.linear(f"{block}up{suffix}", x)
    shape = (inner, *raised.shape[1:])
    if g.has(f"{block}gate{suffix}.weight"):
        active = g.op(shape, g.linear(f"{block}gate{suffix}", x), raised)
    else:  # fused gate and up (twice as wide), or a plain activation, which works in place
        active = g.op(shape, raised, in_place=True)
    return g.linear(down, active)


def _shared_gate(g: Graph, x: Tensor) -> Tensor:
    gate = g.op((1, *x.shape[1:]), x)
    if g.facts.architecture != "qwen2moe":
        return g.op(gate.shape, gate, in_place=True)
    return g.op(gate.shape, g.op(gate.shape, gate, in_place=True), gate, in_place=True)


def mixture(g: Graph, block: str, experts: ExpertFacts, x: Tensor, scored: Tensor | None = None) -> Tensor:
    """The chosen experts' results, weighted and summed; `scored`: by another input than x."""
    n = x.shape[-1] if len(x.shape) > 1 else 1
    used, scores = experts.used, (experts.count, n)
    probabilities = scored or g.bias(block + "gate_inp", g.op(scores, x))
    if g.facts.architecture != "gpt-oss":
        probabilities = g.op(scores, probabilities, in_place=True)
    biased = g.has(block.replace("ffn_", "exp_probs_b.bias"))
    ranked = g.op(scores, probabilities, in_place=True) if biased else probabilities
    chosen = g.view(g.op(scores, ranked, element_bytes=I32), (used, n))
    weights = g.op((1, used, n), g.view(probabilities), chosen)
    weights = _weighted(g, weights, used, n)
    g.expand(weights)
    x = g.view(x, (x.shape[0], 1, n))
    active = _inner(g, block, experts.feed_forward, x, chosen, used, n)
    out = g.op((g.hidden, used, n), active, chosen)
    if g.has(block + "down_exps.bias"):
        out = g.op(out.shape, out, chosen, in_place=True)
    if g.has(block + "down_exps.scale"):
        scales = g.op((1, used, n), g.op((1, experts.count, n)), chosen)
        out = g.op(out.shape, out, scales, in_place=True)
    return _sum(g, g.op(out.shape, out, weights, in_place=True), used, n)


def _weighted(g: Graph, weights: Tensor, used: int, n: int) -> Tensor:
    architecture = g.facts.architecture
    if architecture == "gpt-oss":
        return g.view(g.op((used, n), g.view(weights), in_place=True), (1, used, n))
    if architecture in _PLAIN_WEIGHTS and "expert_weights_norm" not in g.facts.traits:
        return weights
    flat = g.view(weights, (used, n))
    total = g.op((1, n), g.op((1, n), flat))
    return g.view(g.op((used, n), flat, total, in_place=True), (1, used, n))


def _inner(g: Graph, block: str, width: int, x: Tensor, chosen: Tensor, used: int, n: int) -> Tensor:
    shape = (width, used, n)
    if g.has(block + "gate_up_exps.weight"):
        both = g.op((2 * width, used, n), x, chosen)
        return g.op(shape, g.view(both), g.view(both))
    made = []
    for name in ("gate", "up"):
        y = g.op(shape, x, chosen)
        made.append(g.op(shape, y, chosen, in_place=True) if g.has(f"{block}{name}_exps.bias") else y)
    return g.op(shape, *made)


def _sum(g: Graph, weighted: Tensor, used: int, n: int) -> Tensor:
    parts = [g.view(weighted, (g.hidden, n)) for _ in range(used)]
    for part in parts:
        g.expand(part)
    if used == 1:
        return g.op((g.hidden, n), parts[0])
    total = parts[0]
    for part in parts[1:]:
        total = g.op((g.hidden, n), total, part, in_place=True)
    g.expand(total)
    return total
