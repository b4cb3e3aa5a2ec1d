"""What a block keeps from forward to backward, tensor by tensor, as autograd saves it.

The rules, each held against `torch.autograd.graph.saved_tensors_hooks` in the tests (c: bytes of the compute dtype):

- A frozen matrix keeps nothing but itself; a trained one its input, which matrices that read the same tensor share.
- An adapter is fp32, so peft casts its input (`_cast_input_dtype`): every adapted matrix keeps an fp32 copy of its
  own, unless the model computes in fp32, and the r values between A and B. bitsandbytes' 4-bit product keeps no
  activation at all (`MatMul4Bit.forward`).
- An RMS norm keeps its input in fp32 and one value a row; a trained one the normalised rows, too.
- Fused attention keeps queries, keys, values, output and one fp32 a head; keys and values are expanded to all
  heads where a mask is given (a sliding window shorter than the example), and the mask is kept in float.
- Eager attention keeps the scores' softmax in fp32 and once more in the compute dtype: heads × tokens each.
- silu(gate) · up keeps gate, silu(gate) and up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shoestring.models.facts import AttentionFacts, ExpertFacts, ModelFacts
from shoestring.planning.base import TrainingSettings
from shoestring.planning.training.families import (
    ATTENTION_INPUTS,
    ATTENTION_OUTPUTS,
    FAMILIES,
    FEED_FORWARD_INPUTS,
    FUSED_ATTENTION_INPUTS,
    GATED,
    Family,
)
from shoestring.planning.transformers.modules import Module

WIDTHS = {"fp32": 4, "bf16": 2, "fp16": 2}
"""Bytes of a value by compute dtype."""
_LARGEST_GROUPED_HEAD = 256  # `use_gqa_in_sdpa`: beyond, keys and values are expanded


@dataclass(frozen=True)
class Block:
    """One block in training.

    Attributes:
        index: of the block.
        held: its modules.
        adapted: names of modules that have an adapter.
        adapter_values: parameters of its experts' adapters.
    """

    facts: ModelFacts
    settings: TrainingSettings
    index: int
    held: tuple[Module, ...]
    adapted: frozenset[str]
    adapter_values: int
    on_cpu: bool

    @property
    def family(self) -> Family:
        return FAMILIES[self.facts.architecture]

    @property
    def width(self) -> int:
        """Bytes of a value that is computed."""
        return WIDTHS[self.settings.compute_dtype]

    @property
    def full(self) -> bool:
        return self.settings.method == "full"

    @property
    def tokens(self) -> int:
        return self.settings.batch * self.settings.context

    @property
    def attention(self) -> AttentionFacts:
        attention = self.facts.layers[self.index].attention
        if attention is None:
            raise ValueError(f"block {self.index} has no attention")
        return attention

    @property
    def experts(self) -> ExpertFacts | None:
        return self.facts.layers[self.index].experts

    def input_bytes(self) -> int:
        """Of the hidden state that enters: all that checkpointing keeps of the block."""
        return self.tokens * self.facts.hidden_size * self.width

    def kept_bytes(self) -> int:
        """Everything autograd keeps of the block."""
        per_token = (
            sum(self._norms())
            + self._linears()
            + self._attention()
            + self._feed_forward()
            + self._dropout()
            + self._mixture()
        )
        return self.tokens * per_token + self._constants()

    def work_bytes(self) -> int:
        """Gradients that are alive at once while the block is gone through backwards, beside what it kept.

        Either a norm's four fp32 terms, or the feed-forward's gradients of gate, up and product, in fp32 where an
        adapter's input was; and the largest 4-bit matrix made whole again (`MatMul4Bit.backward`).
        """
        inner = self.facts.layers[self.index].feed_forward
        if self.experts:
            inner = max(inner, self.experts.used * self.experts.feed_forward)
        per_value = self.width if self.width == 4 or self.full else 7
        matrix = max((m.parameters for m in self.held if m.kind == "linear"), default=0)
        whole = self.width * matrix if self.settings.method == "qlora" else 0
        return self.tokens * max(18 * self.facts.hidden_size, per_value * inner) + whole

    def _norms(self) -> Iterator[int]:
        attention = self.attention
        for module in self.held:
            if module.kind != "norm":
                continue
            size, rows = module.parameters, 1
            heads = {"q_norm": attention.heads, "k_norm": attention.kv_heads}.get(_last(module), 0)
            if heads and size == attention.head_dim_k:
                size, rows = size * heads, heads
            yield self._norm(size, rows)
        if self.family.parallel and not self.family.one_norm:
            yield -self.width * self.facts.hidden_size  # both norms read, and keep, the same tensor

    def _norm(self, size: int, rows: int) -> int:
        return norm_bytes(self.family, size, rows, self.width, trained=self.full)

    def _linears(self) -> int:
        linears = [m for m in self.held if m.kind == "linear"]
        own = 4 * self.settings.lora_rank * sum(m.name in self.adapted for m in linears)
        if not self.full and self.width != 4:
            return own + 4 * sum(m.in_features for m in linears if m.name in self.adapted)
        return own + self.width * sum(self._shared_inputs(linears))

    def _shared_inputs(self, linears: Sequence[Module]) -> Iterator[int]:
        """Values of the distinct inputs of trained or adapted matrices."""
        seen = set()
        for module in linears:
            if not (self.full or module.name in self.adapted):
                continue
            last = _last(module)
            group = "attention" if last in ATTENTION_INPUTS else module.name
            if last in FEED_FORWARD_INPUTS:
                group = "attention" if self.family.one_norm else module.name.removesuffix(last)
            if self._output_is_kept and last in ATTENTION_OUTPUTS and module.in_features == self._queries:
                continue  # the attention's output is kept already
            if group not in seen:
                seen.add(group)
                yield module.in_features

    @property
    def _output_is_kept(self) -> bool:
        """Whether the attention's output lies as the next matrix reads it, and fused attention keeps it."""
        fused = self.settings.attention != "eager" and not self._in_python
        return fused and not self.family.copied_output

    @property
    def _queries(self) -> int:
        return self.attention.heads * self.attention.head_dim_v

    @property
    def _in_python(self) -> bool:
        """Whether torch's fused attention falls back to separate operations: on the CPU with dropout."""
        return self.family.dropout and self.on_cpu

    def _attention(self) -> int:
        a = self.attention
        queries, outputs = a.heads * a.head_dim_k, a.heads * a.head_dim_v
        scores = a.heads * self.settings.context
        if self.family.dropout and (self._in_python or self.settings.attention == "eager"):
            width = self.width if self.settings.attention == "eager" else 4
            return width * (2 * queries + outputs) + 3 * width * scores
        if self.settings.attention == "eager":
            rounded = self.width if self.width != 4 else 0
            capped = self.width if self.family.soft_capped else 0
            return self.width * (2 * queries + outputs) + (4 + rounded + capped) * scores
        return self.width * (queries + outputs + self._keys_and_values()) + 4 * a.heads + self._mask()

    def _keys_and_values(self) -> int:
        """Values of keys and values that fused attention keeps."""
        a = self.attention
        keys, values = a.kv_heads * a.head_dim_k, a.kv_heads * a.head_dim_v
        grouped = a.kv_heads == a.heads or not (self._masked or a.head_dim_k > _LARGEST_GROUPED_HEAD)
        if not grouped:
            return a.heads * (a.head_dim_k + a.head_dim_v)
        if any(_last(m) in FUSED_ATTENTION_INPUTS for m in self.held):
            return keys + a.heads * a.head_dim_k + keys + values  # values are a view of the whole product
        return keys + values

    @property
    def _masked(self) -> bool:
        window = self.attention.window
        return window is not None and self.settings.context >= window

    def _mask(self) -> int:
        return self.width * self.settings.context if self._masked else 0

    def _feed_forward(self) -> int:
        inner = self.facts.layers[self.index].feed_forward
        if self.experts or not inner:
            return 0
        gated = any(_last(m) in GATED for m in self.held)
        return self.width * inner * (3 if gated else self.family.activation_copies)

    def _dropout(self) -> int:
        """Masks of two branches: in the compute dtype on the CPU, a byte on a GPU."""
        return 2 * self.facts.hidden_size * (self.width if self.on_cpu else 1) if self.family.dropout else 0

    def _mixture(self) -> int:
        """Of a mixture that runs as a grouped product: every used expert's rows, sorted, and the router's choice."""
        experts = self.experts
        if not experts:
            return 0
        used, hidden, inner = experts.used, self.facts.hidden_size, experts.feed_forward
        rows = self.width * used * (2 * hidden + 4 * inner)
        renormalised = self.family.renormalised_router
        choice = 4 * experts.count + 8 * used + 24 * used
        weights = 4 + 8 * used if renormalised else self.width * used
        return rows + choice + weights + self.width * hidden

    def _constants(self) -> int:
        """Bytes kept once, however many tokens there are: Gemma's scales in fp32; experts with their adapters added.

        peft adds an adapter of fused experts to the weight itself (`ParamWrapper`), so the sum is kept.
        """
        norms = (4 * m.parameters for m in self.held if m.kind == "norm")
        scales = sum(norms) if self.family.norm == "rms_plus_one" else 0
        adapted = sum(
            m.parameters for m in self.held if m.kind in ("experts", "router") and m.name in self.adapted
        )
        cast = self.adapter_values if self.width != 4 else 0
        return scales + self.width * (adapted + cast)


def norm_bytes(family: Family, size: int, rows: int, width: int, *, trained: bool) -> int:
    """Bytes of a token that a norm keeps: `size` values in `rows` rows that are normalised each."""
    if family.norm == "layer":
        return width * (size + 2 * rows)
    normalised = (width if family.norm == "rms" else 4) * size if trained else 0
    return 4 * size + 4 * rows + normalised


def _last(module: Module) -> str:
    return module.name.rsplit(".", 1)[-1]
