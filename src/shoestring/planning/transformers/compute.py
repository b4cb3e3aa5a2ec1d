"""Working memory of a forward pass on transformers: what is alive at once, operation by operation.

Read off the models' own code (`models/llama/modeling_llama.py` and its kin, `integrations/sdpa_attention.py`,
`integrations/moe.py` of transformers 5.24; `backends/*/ops.py` of bitsandbytes 0.50), and checked against the
tensors that are alive at the peak of real models. `generate` computes logits of the last position only. The peak is
that of reading a prompt as long as the context; a decoding step needs it for one token, and one layer's keys twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from shoestring.models.facts import AttentionFacts, LayerFacts, ModelFacts
from shoestring.planning.base import AttentionKind, TransformersSettings
from shoestring.planning.transformers.kv_cache import DTYPE_BYTES, growth_bytes
from shoestring.planning.transformers.modules import Module
from shoestring.planning.transformers.weights import is_quantized

_FP32 = 4
_EAGER_ONLY = frozenset(
    {"gemma2", "gemma4", "gpt_oss", "vaultgemma", "granite_swa", "granitemoe_swa", "mimo_v2_flash"}
)
"""Architectures whose class states `_supports_sdpa = False`: they get eager attention."""
_UNGATED_TEMPORARIES = {
    "gpt2": 4,
    "phi": 4,
    "starcoder2": 2,
    "gpt_neox": 2,
    "falcon": 2,
    "bloom": 4,
    "opt": 2,
}
"""Copies of the inner width alive in a feed-forward without a gate; the tanh form of GELU is spelt out in steps."""
_MORE_HELD = {"gpt2": 1, "stablelm": 2}
"""Copies of the hidden states alive beside the usual four: embedded positions, a second norm's output."""
_UNFUSED_ON_CPU = frozenset({"falcon"})
"""Architectures whose keys the CPU's fused attention does not take: one for all heads, broadcast."""
_SINK_COPIES = {"gpt_oss": 4}
"""Copies of the scores where a sink is put beside them and softmax stays in the model's dtype."""
_REPACKED_TEMPORARIES = 7
"""Bytes a weight while bitsandbytes rearranges a 4-bit matrix for the CPU (`_convert_weight_packed_for_cpu`): every
value as an int32, three times as a byte (the second of them transposed), and half of that packed."""


@dataclass(frozen=True)
class Compute:
    """Working memory in bytes.

    Attributes:
        prefill: beside a full cache.
        decode: the same for one token a sequence.
        first_use: on a CPU, of rearranging the largest 4-bit matrix, while there is no cache yet.
        missing: why there is no figure, or None.
    """

    prefill: int
    decode: int
    first_use: int = 0
    missing: str | None = None

    @property
    def beside_cache(self) -> int:
        return max(self.prefill, self.decode)


def attention_kind(facts: ModelFacts, settings: TransformersSettings) -> AttentionKind:
    """The implementation that is really used: some models have no sdpa."""
    if settings.attention == "sdpa" and facts.architecture in _EAGER_ONLY:
        return "eager"
    return settings.attention


def compute(
    facts: ModelFacts,
    settings: TransformersSettings,
    found: Iterable[Module],
    *,
    on_cpu: bool,
    packs_4bit: bool,
) -> Compute:
    """Working memory of one device that computes every layer.

    Args:
        found: the model's modules.
        on_cpu: whether the CPU computes (its kernels need other temporaries than CUDA's).
        packs_4bit: whether the processor has AVX512-BF16, for which bitsandbytes rearranges 4-bit weights.
    """
    modules = [m for m in found if m.tower is None]
    missing = _missing(facts)
    if missing:
        return Compute(0, 0, missing=missing)
    pass_ = _Pass(facts, settings, modules, on_cpu)
    largest = max((m.parameters for m in modules if is_quantized(m, facts, settings.precision)), default=0)
    four_bit = settings.precision.startswith(("nf4", "fp4"))
    packed = on_cpu and packs_4bit
    first_use = _REPACKED_TEMPORARIES * largest if four_bit and packed else 0
    unpacked = DTYPE_BYTES[settings.compute_dtype] * largest if four_bit and not packed else 0
    decode = pass_.peak(1) + unpacked + growth_bytes(facts, settings)
    return Compute(pass_.peak(settings.context) + unpacked, decode, first_use)


def _missing(facts: ModelFacts) -> str | None:
    if not facts.layers or any(layer.attention is None and layer.state is None for layer in facts.layers):
        return "How this model's layers compute is not known, so their working memory has no figure."
    if any(layer.state is not None for layer in facts.layers):
        return (
            "Recurrent layers run in transformers' reference code here, whose working memory has no figure; "
            "a dry run measures it."
        )
    return None


@dataclass(frozen=True)
class _Pass:
    """One forward pass; `n` below is tokens of each sequence."""

    facts: ModelFacts
    settings: TransformersSettings
    modules: list[Module]
    on_cpu: bool

    @property
    def width(self) -> int:
        return DTYPE_BYTES[self.settings.compute_dtype]

    def peak(self, n: int) -> int:
        """Bytes alive at most while `n` tokens of each sequence pass the last layers, logits included."""
        layers = max(self._layer(layer, n) for layer in set(self.facts.layers)) + self._masks(n)
        logits = self.settings.batch * self.facts.vocab_size * (self.width + 3 * _FP32)
        return max(layers + self._tables(n), self._token(4 * self.facts.hidden_size, n) + logits)

    def _token(self, values: int, n: int) -> int:
        return self.settings.batch * n * values * self.width

    def _tables(self, n: int) -> int:
        """Cosines and sines of every position, kept through the pass."""
        dims = [a.latent.rope_dim if a.latent else a.head_dim_k for a in self._attentions()]
        return self._token(2 * max(dims, default=0), n)

    def _masks(self, n: int) -> int:
        """What is kept through the pass of masks that are made once for it.

        sdpa needs one only where a window is shorter than the prompt; eager one for full and one for sliding layers.
        """
        kind = attention_kind(self.facts, self.settings)
        sliding = {a.window for a in self._attentions() if a.window is not None}
        m = self.settings.context
        if kind == "eager":
            full = any(a.window is None for a in self._attentions())
            return self.settings.batch * n * m * self.width * (full + bool(sliding))
        return n * m if kind == "sdpa" and n > 1 and any(m > window for window in sliding) else 0

    def _attentions(self) -> list[AttentionFacts]:
        return [layer.attention for layer in self.facts.layers if layer.attention]

    def _layer(self, layer: LayerFacts, n: int) -> int:
        attention = self._attention(layer.attention, n) if layer.attention else 0
        return max(attention, self._norm(n), self._feed_forward(layer, n), self._experts(layer, n))

    def _norm(self, n: int) -> int:
        """An RMS norm computes in fp32: its input and two copies, beside embedding, residual and output."""
        hidden = self.facts.hidden_size
        return self._token(3 * hidden, n) + self.settings.batch * n * hidden * 2 * _FP32

    def _feed_forward(self, layer: LayerFacts, n: int) -> int:
        """Embedding, the layer's input, the residual and the normed input; then gate, up and their product."""
        inner = layer.feed_forward or (layer.experts.shared_feed_forward if layer.experts else 0)
        if not inner:
            return 0
        hidden = self.facts.hidden_size
        more = _MORE_HELD.get(self.facts.architecture, 0)
        held = self._token((4 + more) * hidden + self._inner_copies() * inner, n)
        if self.settings.precision != "int8":
            return held
        # Up beside the gate: input in fp16 and int8, products as int32, and twice times their scales in fp32.
        int8 = self.settings.batch * n * (3 * hidden + 12 * inner) + self._token(4 * hidden + inner, n)
        return max(held, int8)

    def _inner_copies(self) -> int:
        names = {m.name.rsplit(".", 1)[-1] for m in self.modules if m.kind == "linear"}
        if "gate_up_proj" in names:
            return 4  # both halves in one, then the activation, then the product
        if names & {"gate_proj", "w1"}:
            return 3
        return _UNGATED_TEMPORARIES.get(self.facts.architecture, 4)

    def _experts(self, layer: LayerFacts, n: int) -> int:
        """Every token once for each expert it goes to (`grouped_mm_experts_forward`)."""
        if layer.experts is None:
            return 0
        hidden, inner = self.facts.hidden_size, layer.experts.feed_forward
        up = hidden + 4 * inner
        down = 4 * hidden
        shared = layer.experts.shared_feed_forward and hidden
        return self._token(4 * hidden + shared + layer.experts.used * max(up, down), n)

    def _attention(self, a: AttentionFacts, n: int) -> int:
        queries, keys, values = a.heads * a.head_dim_k, a.kv_heads * a.head_dim_k, a.kv_heads * a.head_dim_v
        held = self._token(3 * self.facts.hidden_size, n)
        rotation = held + self._token(4 * queries + keys + values, n)
        return max(rotation, held + self._token(queries, n) + self._scores(a, n))

    def _scores(self, a: AttentionFacts, n: int) -> int:
        """What attention itself holds of `n` queries against as many keys (one: against the whole context)."""
        kind = attention_kind(self.facts, self.settings)
        m = self.settings.context if n == 1 else n
        pairs = self.settings.batch * n * m
        repeated = self._repeated(a, m)
        output = self._token(a.heads * a.head_dim_v, n)
        if kind == "eager":
            return repeated + pairs * a.heads * self._copies_of_scores()
        if self.on_cpu and (a.latent is not None or self.facts.architecture in _UNFUSED_ON_CPU):
            # No fused kernel: queries, keys, values, scores and softmax in fp32, and a mask.
            values = 2 * a.heads * a.head_dim_k + a.heads * a.head_dim_v
            in_fp32 = self.settings.batch * m * values * _FP32
            kept = self._token(values, m) if self.width < _FP32 else 0
            if a.latent is not None:  # keys and values made of the latent, and both before they were parted
                kept += self._token(a.heads * (2 * (a.head_dim_k - a.latent.rope_dim + a.head_dim_v)), m)
            return in_fp32 + kept + pairs * _FP32 * 2 * a.heads + n * m * _FP32
        masked = a.window is not None and m > a.window and n > 1 and kind == "sdpa"
        mask = pairs * self.width if masked else 0
        statistics = self.settings.batch * n * a.heads * _FP32
        return output + statistics + (mask + repeated if masked else 0)

    def _copies_of_scores(self) -> int:
        """Bytes a score in eager attention: as computed, and softmax in fp32 with its input upcast."""
        if self.facts.architecture in _SINK_COPIES:
            return _SINK_COPIES[self.facts.architecture] * self.width
        return 2 * _FP32 if self.width == _FP32 else self.width + 2 * _FP32

    def _repeated(self, a: AttentionFacts, m: int) -> int:
        """Keys and values repeated for every query head."""
        if a.heads == a.kv_heads and a.latent is None:
            return 0
        return self._token(a.heads * (a.head_dim_k + a.head_dim_v), m)
