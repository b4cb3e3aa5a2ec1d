"""Gemma 4's graph: inputs by layer as in Gemma 3n, keys that may serve as values, experts beside a dense feed-forward.

Source: src/models/gemma4.cpp.
"""

from __future__ import annotations

from shoestring.planning.llama_cpp.attention import attention
from shoestring.planning.llama_cpp.feed_forward import dense, mixture
from shoestring.planning.llama_cpp.graph import I32, Graph
from shoestring.planning.llama_cpp.graph_memory import Tensor


def looked_up_by_layer(g: Graph) -> Tensor | None:
    """Every layer's own embedding of the tokens, which is looked up before anything else; None without."""
    if not g.has("per_layer_token_embd.weight"):
        return None
    rows = g.op(
        (g.shape("per_layer_token_embd.weight")[0], g.tokens), g.input("tokens by layer", (g.tokens,), I32)
    )
    g.expand(rows)
    return rows


def inputs_by_layer(g: Graph, embedded: Tensor, looked_up: Tensor) -> Tensor:
    """What every layer is given besides the stream, layer by layer."""
    wide = g.shape("per_layer_proj_norm.weight")[0]
    shape = (wide, g.width("per_layer_model_proj") // wide, g.tokens)
    projected = g.linear("per_layer_model_proj", embedded)
    projected = g.op(projected.shape, projected, in_place=True)
    normed = g.norm("per_layer_proj_norm", g.view(projected, shape))
    scaled = g.view(g.op(looked_up.shape, looked_up, in_place=True), shape)
    summed = g.op(shape, normed, scaled, in_place=True)
    summed = g.op(shape, summed, in_place=True)
    return g.op((wide, g.tokens, shape[1]), g.view(summed))


def block(g: Graph, i: int, stream: Tensor, by_layer: Tensor | None, *, last: bool) -> Tensor:
    """One layer.

    Raises:
        ValueError: it has no attention; callers ask `unaccounted` first.
    """
    name, a = f"blk.{i}.", g.facts.layers[i].attention
    if a is None:
        raise ValueError(f"layer {i} has no attention")
    mixed = attention(g, i, a, g.norm(name + "attn_norm", stream))
    if last:
        mixed, stream = g.rows(mixed), g.rows(stream)
    mixed = g.norm(name + "post_attention_norm", mixed)
    stream = g.op(stream.shape, mixed, stream, in_place=True)
    fed = g.norm(name + "post_ffw_norm", _feed_forward(g, i, stream))
    stream = g.op(stream.shape, fed, stream, in_place=True)
    return stream if by_layer is None else _with_own_input(g, name, stream, by_layer, last=last)


def _feed_forward(g: Graph, i: int, x: Tensor) -> Tensor:
    name, experts = f"blk.{i}.", g.facts.layers[i].experts
    if experts is None:
        return dense(g, name + "ffn_", "", g.norm(name + "ffn_norm", x))
    fed = g.norm(name + "post_ffw_norm_1", dense(g, name + "ffn_", "", g.norm(name + "ffn_norm", x)))
    routed = x
    for _ in range(3):  # normalise, scale, scale by dimension
        routed = g.op(x.shape, routed, in_place=True)
    scores = g.op((experts.count, *x.shape[1:]), routed)
    mixed = mixture(g, name + "ffn_", experts, g.norm(name + "pre_ffw_norm_2", x), scores)
    return g.op(x.shape, fed, g.norm(name + "post_ffw_norm_2", mixed), in_place=True)


def _with_own_input(g: Graph, name: str, stream: Tensor, by_layer: Tensor, *, last: bool) -> Tensor:
    gate = g.linear(name + "inp_gate", stream)
    gate = g.op(gate.shape, gate, in_place=True)
    own = g.view(by_layer, (by_layer.shape[0], g.tokens))
    gate = g.op(gate.shape, gate, g.rows(own) if last else own, in_place=True)
    made = g.norm(name + "post_norm", g.linear(name + "proj", gate))
    return g.op(stream.shape, stream, made, in_place=True)
