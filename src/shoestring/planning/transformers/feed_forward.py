"""Working memory of feed-forwards and of mixtures of experts.

Sources: `models/*/modeling_*.py`, `integrations/moe.py` (`grouped_mm_experts_forward`) of transformers 5.24.
"""

from __future__ import annotations

from collections.abc import Iterator

from shoestring.models.facts import ExpertFacts, LayerFacts
from shoestring.planning.transformers.attention import weights_of_attention
from shoestring.planning.transformers.linear import Multiplication, widest
from shoestring.planning.transformers.shape import FP32, Shape
from shoestring.planning.transformers.traits import gated_copies, named_gate


def feed_forward_bytes(layer: LayerFacts, shape: Shape) -> int:
    """Bytes alive at the widest point of one layer's feed-forward or experts, the layer's input included."""
    held = shape.rows * shape.traits.held * shape.hidden + weights_of_attention(layer.attention, shape)
    if layer.experts is None:
        return _dense(held, layer.feed_forward, shape) if layer.feed_forward else held
    return held + _mixture(layer.experts, shape)


def feed_forward_multiplications(layer: LayerFacts, shape: Shape) -> Iterator[Multiplication]:
    """The linear layers of a layer that has no experts, or of those that every token passes."""
    held = shape.rows * shape.traits.held * shape.hidden + weights_of_attention(layer.attention, shape)
    inner = layer.experts.shared_feed_forward if layer.experts else layer.feed_forward
    return _multiplications(held, inner, shape) if inner else iter(())


def norm_bytes(layer: LayerFacts, shape: Shape) -> int:
    """An RMS norm computes in fp32: its input and two copies, beside embedding, residual and output."""
    copies = shape.rows * (3 * shape.hidden + 2 * FP32 * shape.facts.hidden_size)
    return copies + weights_of_attention(layer.attention, shape)


def _dense(held: int, inner: int, shape: Shape) -> int:
    """Activation, up and their product; without a gate the inner width before its activation, and after."""
    kinds = shape.kinds
    copies = (
        gated_copies(shape.facts.architecture, fused=kinds.fused)
        if kinds.gated
        else shape.traits.ungated_copies
    )
    alive = held + shape.rows * copies * inner * shape.width
    return max(alive, widest(shape, _multiplications(held, inner, shape)))


def _multiplications(held: int, inner: int, shape: Shape) -> Iterator[Multiplication]:
    hidden, of_inner = shape.facts.hidden_size, shape.rows * inner * shape.width
    if shape.kinds.fused:
        yield Multiplication(held, hidden, 2 * inner)
        yield Multiplication(held + 3 * of_inner, inner, hidden)
        return
    yield Multiplication(held, hidden, inner)
    if named_gate(shape.facts.architecture):
        yield Multiplication(held + 2 * of_inner, hidden, inner)
        yield Multiplication(held + 4 * of_inner, inner, hidden)
        return
    if shape.kinds.gated:
        yield Multiplication(held + of_inner, hidden, inner)
    yield Multiplication(held + of_inner, inner, hidden)


def _mixture(experts: ExpertFacts, shape: Shape) -> int:
    """Every token once for each expert it goes to; shared experts before or after, their output or the others' kept."""
    routed = shape.rows * experts.used * max(_up(experts, shape), _down(shape))
    if not experts.shared_feed_forward:
        return routed
    output = shape.rows * shape.hidden
    if shape.traits.shared_first:
        return max(output + routed, _dense(0, experts.shared_feed_forward, shape))
    return max(routed, output + _dense(0, experts.shared_feed_forward, shape))


def _up(experts: ExpertFacts, shape: Shape) -> int:
    """Bytes of one token in one expert: the token, gate and up, a bias picked for it, and what becomes of them."""
    bias = 2 if shape.kinds.expert_bias else 0
    copies = 2 + bias + shape.traits.expert_gate_copies
    return shape.hidden + copies * experts.feed_forward * shape.width


def _down(shape: Shape) -> int:
    """The token, its output, a bias picked for it, that weighted, and in its old place."""
    weighted = 2 * FP32 * shape.facts.hidden_size if shape.traits.experts_in_fp32 else 2 * shape.hidden
    return (3 if shape.kinds.expert_bias else 2) * shape.hidden + weighted
