"""What every part of a forward pass asks: how many tokens, how wide, computed by what."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from shoestring.models.facts import AttentionFacts, LayerFacts, ModelFacts
from shoestring.planning.base import AttentionKind, TransformersSettings
from shoestring.planning.transformers.kv_cache import DTYPE_BYTES
from shoestring.planning.transformers.modules import Module
from shoestring.planning.transformers.traits import Traits, traits
from shoestring.planning.transformers.weights import is_quantized

FP32 = 4
_EAGER_ONLY = frozenset(
    {"gemma2", "gemma4", "gpt_oss", "vaultgemma", "granite_swa", "granitemoe_swa", "mimo_v2_flash"}
)
"""Architectures whose class states `_supports_sdpa = False`: they get eager attention."""


@dataclass(frozen=True)
class Kinds:
    """What of a model's modules decides over working memory; found once a model and precision.

    Attributes:
        layers: those that differ.
        gated: whether feed-forwards have a gate; fused: whether gate and up are one matrix.
        fused_queries: whether queries, keys and values are; query_norm: whether queries are normed.
        expert_bias: whether experts have one.
        quantized: whether blocks have linear layers that bitsandbytes holds.
        largest: weights of the largest matrix that it holds; all: of all of them together.
        per_layer: values of a token that are made for all layers beforehand (Gemma 3n's per-layer inputs).
    """

    layers: tuple[LayerFacts, ...]
    gated: bool
    fused: bool
    fused_queries: bool
    query_norm: bool
    expert_bias: bool
    quantized: bool
    largest: int
    all: int
    per_layer: int


def kinds(facts: ModelFacts, settings: TransformersSettings, found: Iterable[Module]) -> Kinds:
    """Read off the modules of the text model."""
    own = [m for m in found if m.tower is None]
    names = {m.name.rsplit(".", 1)[-1] for m in own if m.kind in ("linear", "other")}
    quantized = [m.parameters for m in own if is_quantized(m, facts, settings.precision)]
    return Kinds(
        layers=tuple(dict.fromkeys(facts.layers)),
        gated=bool(names & {"gate_proj", "gate_up_proj", "w1"}),
        fused="gate_up_proj" in names,
        fused_queries=bool(names & {"qkv_proj", "query_key_value", "c_attn", "Wqkv"}),
        query_norm=any(m.name.endswith(".q_norm") for m in own),
        expert_bias=any(m.kind == "experts" and m.bias for m in own),
        quantized=bool(quantized),
        largest=max(quantized, default=0),
        all=sum(quantized),
        per_layer=sum(m.out_features for m in own if m.name.endswith("per_layer_model_projection")),
    )


@dataclass(frozen=True)
class Shape:
    """One forward pass.

    Attributes:
        tokens: of each sequence that pass.
        on_cpu: whether the CPU computes (its kernels need other temporaries than CUDA's).
        packed: whether 4-bit weights are multiplied as they are, rearranged for the CPU.
    """

    facts: ModelFacts
    settings: TransformersSettings
    kinds: Kinds
    tokens: int
    on_cpu: bool
    packed: bool = False

    @cached_property
    def traits(self) -> Traits:
        return traits(self.facts.architecture)

    @cached_property
    def width(self) -> int:
        """Bytes of a value."""
        return DTYPE_BYTES[self.settings.compute_dtype]

    @property
    def rows(self) -> int:
        return self.settings.batch * self.tokens

    @property
    def hidden(self) -> int:
        """Bytes of one token's hidden states."""
        return self.facts.hidden_size * self.width

    @property
    def keys(self) -> int:
        """Tokens that each query meets; one that is decoded meets the whole context."""
        return self.settings.context if self.tokens == 1 else self.tokens

    @property
    def pairs(self) -> int:
        return self.rows * self.keys

    @cached_property
    def attention(self) -> AttentionKind:
        return attention_kind(self.facts, self.settings)

    def masked(self, attention: AttentionFacts) -> bool:
        """Whether fused attention gets a mask: where a window is no longer than the prompt, or images may look ahead."""
        if self.attention != "sdpa" or self.tokens == 1:
            return False
        window = attention.window
        return self.masks_all or (window is not None and self.keys >= window)

    @property
    def masks_all(self) -> bool:
        """Whether full layers are masked, too: Gemma 3 with its vision tower lets the tokens of an image see each other
        (`create_causal_mask_mapping`), whether there is an image or not."""
        return self.facts.architecture == "gemma3_text" and "image" in self.facts.modalities


def attention_kind(facts: ModelFacts, settings: TransformersSettings) -> AttentionKind:
    """The implementation that is really used: some models have no sdpa."""
    if settings.attention == "sdpa" and facts.architecture in _EAGER_ONLY:
        return "eager"
    return settings.attention
