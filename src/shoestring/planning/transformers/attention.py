"""Working memory of attention: projections, rotation, scores.

Sources: `models/*/modeling_*.py`, `integrations/sdpa_attention.py` of transformers 5.24; torch's choice of a fused kernel
and what it does without one (`aten/src/ATen/native/transformers/attention.cpp`, `…/cuda/sdp_utils.cpp`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from shoestring.models.facts import AttentionFacts, LatentFacts, ModelFacts
from shoestring.planning.base import TransformersSettings
from shoestring.planning.transformers.kv_cache import DTYPE_BYTES, token_values
from shoestring.planning.transformers.linear import Multiplication, widest
from shoestring.planning.transformers.shape import FP32, Shape, attention_kind
from shoestring.planning.transformers.weights import rotated_dims


def attention_bytes(attention: AttentionFacts, shape: Shape) -> int:
    """Bytes alive at the widest point of one layer's attention, the layer's input included."""
    return _Attention(attention, shape).peak()


def attention_multiplications(attention: AttentionFacts, shape: Shape) -> Iterator[Multiplication]:
    """Its linear layers."""
    return _Attention(attention, shape).multiplications()


def weights_of_attention(attention: AttentionFacts | None, shape: Shape) -> int:
    """Bytes of the scores that eager attention returns, which a block's variable keeps until it ends."""
    if attention is None or shape.attention != "eager":
        return 0
    return shape.pairs * attention.heads * shape.width


def mask_bytes(shape: Shape) -> int:
    """Bytes of the masks that are made once for a pass.

    sdpa needs one, of a byte, where a window is no longer than the prompt; eager one for full and one for sliding
    layers, in the model's dtype. A mask handed to a kernel without fused attention is kept twice.
    """
    attentions = [layer.attention for layer in shape.kinds.layers if layer.attention]
    if shape.attention == "eager":
        kinds = {a.window is None for a in attentions}
        return shape.rows * shape.settings.context * shape.width * len(kinds)
    kinds = {a.window is None for a in attentions if shape.masked(a)}
    return shape.tokens * shape.keys * len(kinds)


def padding_mask_bytes(facts: ModelFacts, settings: TransformersSettings) -> int:
    """What sequences of unequal length add at most, for left padding needs a mask of its own for every sequence.

    A byte a pair, kept through the pass, and in each layer one in the model's dtype; eager attention has a mask anyway,
    one sequence no padding. Grouped keys are repeated beside a mask, too, which is not counted here.
    """
    if settings.batch == 1 or attention_kind(facts, settings) != "sdpa":
        return 0
    return settings.batch * settings.context**2 * (1 + DTYPE_BYTES[settings.compute_dtype])


@dataclass(frozen=True)
class _Attention:
    """Values of one token below; `q`, `k`, `v` as projected."""

    facts: AttentionFacts
    shape: Shape

    @cached_property
    def q(self) -> int:
        return self.facts.heads * self.facts.head_dim_k

    @cached_property
    def k(self) -> int:
        return self.facts.kv_heads * self.facts.head_dim_k

    @cached_property
    def v(self) -> int:
        return self.facts.kv_heads * self.facts.head_dim_v

    @cached_property
    def held(self) -> int:
        """Hidden states."""
        return self.shape.traits.held_by_attention * self.shape.hidden * self.shape.rows

    def peak(self) -> int:
        multiplied = widest(self.shape, self.multiplications())
        if self.facts.latent:
            return max(multiplied, self.held + self._latent(self.facts.latent))
        within = max(max(self._query_norm(), self._rotation()) - self.cached, self._fused() + self._scores())
        return max(multiplied, self.held + within)

    @cached_property
    def cached(self) -> int:
        """What this layer will have in the cache, and has not while its keys are made."""
        return 0 if self.shape.tokens == 1 else self._of_rows(token_values(self.facts))

    def _of_rows(self, values: int) -> int:
        return self.shape.rows * values * self.shape.width

    def _query_norm(self) -> int:
        """In fp32, as every RMS norm: cast and multiplied."""
        return (
            self._of_rows(self.q) + self.shape.rows * self.q * 2 * FP32 if self.shape.kinds.query_norm else 0
        )

    def _rotation(self) -> int:
        """Queries and keys as projected; of the one that is rotated the product with the cosines, its halves
        swapped, and the product of those with the sines; of queries the sum, while keys are rotated."""
        q, k = self.q, self.k
        if not rotated_dims(self.shape.facts):
            return 0
        projected = self._of_rows(q + k + self.v)
        traits, width = self.shape.traits, self.shape.width
        if width == FP32 or not (traits.rotates_in_fp32 or traits.tables_in_fp32):
            return projected + self._of_rows(max(3 * q, q + 3 * k))
        if traits.rotates_in_fp32:
            return projected + self.shape.rows * FP32 * max(4 * q + k, 2 * q + 4 * k)
        # The halves keep their dtype; on the CPU they are cast before they are multiplied.
        product = width + (2 if self.shape.on_cpu else 1) * FP32
        return projected + self.shape.rows * max((FP32 + product) * q, FP32 * (q + k) + product * k)

    def _fused(self) -> int:
        """What stays of the projections beside rotated queries, for a name or a view holds it."""
        if self.shape.kinds.fused_queries:
            return self._of_rows(self.q + self.k + self.v)
        if self.shape.traits.keeps_unrotated:
            part = rotated_dims(self.shape.facts) / self.facts.head_dim_k
            return self._of_rows(int((self.q + self.k) * (1 + part)))
        return 0

    def _scores(self) -> int:
        """Queries, and what attention holds of them against all keys."""
        queries = 0 if self._is_view() else self._of_rows(self.q)
        if self.shape.attention == "eager":
            return queries + self._repeated() + self.shape.pairs * self.facts.heads * self._bytes_of_score()
        if self.shape.traits.broadcasts_keys and self.facts.kv_heads == 1 < self.facts.heads:
            keys_and_values = self._keys(self.k + self.v)
            return queries + self._unfused(keys_and_values) + self._mask_of_unfused()
        output = self._of_rows(self.facts.heads * self.facts.head_dim_v)
        statistics = self.shape.rows * self.facts.heads * FP32
        masked = self.shape.masked(self.facts)
        mask = self._matrix * self.shape.width + self._repeated() if masked else 0
        return queries + output + statistics + mask

    def _is_view(self) -> bool:
        """Queries that are not rotated stay the projection's part that they are."""
        return self.shape.kinds.fused_queries and not rotated_dims(self.shape.facts)

    def _bytes_of_score(self) -> int:
        """In eager attention: as computed, cast to fp32, and softmax of that."""
        copies = self.shape.traits.score_copies
        if copies is not None:
            return copies * self.shape.width
        return 2 * FP32 if self.shape.width == FP32 else self.shape.width + 2 * FP32

    @property
    def _matrix(self) -> int:
        """Pairs of query and key of one sequence: without padding all have the same mask."""
        return self.shape.tokens * self.shape.keys

    def _keys(self, values: int) -> int:
        """Values of every key that is met."""
        return self.shape.settings.batch * self.shape.keys * values

    def _repeated(self) -> int:
        """Keys and values repeated for every query head; of one head a view will do."""
        a = self.facts
        if a.kv_heads in (1, a.heads):
            return 0
        return self._keys(a.heads * (a.head_dim_k + a.head_dim_v)) * self.shape.width

    def _unfused(self, keys_and_values: int) -> int:
        """Attention without a fused kernel: queries, keys and values in fp32, queries scaled, the scores, and those
        with the mask added (then softmax of them); what is masked as a matrix."""
        queries = self.shape.rows * self.q * FP32
        cast = queries + keys_and_values * FP32 if self.shape.width < FP32 else 0
        return queries + cast + self.shape.pairs * self.facts.heads * 2 * FP32

    def _mask_of_unfused(self) -> int:
        """A mask of the model's making: a byte, in the model's dtype, and on the CPU cast to fp32."""
        cast = FP32 if self.shape.on_cpu and self.shape.width < FP32 else 0
        return self._matrix * (1 + self.shape.width + cast)

    def _latent(self, latent: LatentFacts) -> int:
        """Multi-head latent attention: keys and values are made of the latent, and both as they were before they
        were parted; queries as projected, their rotated part, and both put together; the latent as projected.

        Keys are wider than values, which no fused kernel of the CPU takes.
        """
        heads = self.facts.heads
        without_position = self.facts.head_dim_k - latent.rope_dim
        expanded = self._keys(heads * (without_position + self.facts.head_dim_v + self.facts.head_dim_k))
        projected = self._of_rows(2 * self.q + heads * latent.rope_dim + latent.rank + latent.rope_dim)
        kept = projected + expanded * self.shape.width
        values = heads * self.facts.head_dim_v
        if self.shape.attention == "eager":
            return kept + self.shape.pairs * heads * self._bytes_of_score()
        if self.shape.on_cpu:
            causal = self._matrix * FP32 if self.shape.tokens > 1 else 0
            return kept + self._unfused(self._keys(self.q + values)) + causal
        return kept + self._of_rows(values) + self.shape.rows * heads * FP32

    def multiplications(self) -> Iterator[Multiplication]:
        hidden = self.shape.facts.hidden_size
        scores = weights_of_attention(self.facts, self.shape)
        output = self.facts.heads * self.facts.head_dim_v
        before = self.held - self.cached
        if self.facts.latent:
            yield Multiplication(before, hidden, self.q)
        elif self.shape.kinds.fused_queries:
            yield Multiplication(before, hidden, self.q + self.k + self.v)
        else:
            yield Multiplication(before, hidden, self.q)
            yield Multiplication(before + self._of_rows(self.q), hidden, self.k)
            yield Multiplication(before + self._of_rows(self.q + self.k), hidden, self.v)
        yield Multiplication(self.held + self._of_rows(output) + scores, output, hidden)
