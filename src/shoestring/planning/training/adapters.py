"""LoRA's parameters: which modules get an adapter, and how large it is.

A matrix of `out` rows and `in` columns gets A (r × in) and B (out × r), so r·(in + out) parameters (LoRA,
arXiv:2106.09685, section 4.1). Which matrices: peft's `target_modules="all-linear"`, every linear layer but the
output embedding (`peft/tuners/tuners_utils.py`, `_maybe_include_all_linear_layers`). Adapters are fp32, whatever
the base weights are (`cast_adapter_dtype`), without dropout and without bias.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shoestring.models.facts import ModelFacts
from shoestring.planning.transformers.modules import Module

ADAPTER_BYTES = 4
"""Bytes of one adapter parameter: peft keeps them in fp32 (`autocast_adapter_dtype`)."""

_EXPERTS_AS_MIXTRAL = frozenset({"mixtral", "minimax", "minimax_m2"})
_EXPERTS_AS_QWEN = frozenset(
    {
        *("deepseek_v2", "deepseek_v3", "deepseek_v32", "dots1", "ernie4_5_moe", "glm4_moe", "glm4_moe_lite"),
        *("glm_moe_dsa", "longcat_flash", "solar_open", "mellum", "qwen3_moe", "beam", "qwen3_next", "afmoe"),
        *("hunyuan_v1_moe", "flex_olmo", "olmoe", "sarvam_mla", "exaone_moe", "cohere2_moe"),
    }
)
"""Architectures whose fused experts peft adapts as parameters (`_MODEL_TO_CONVERSION_PATTERN` in peft's
`utils/transformers_weight_conversion.py`), by the names that it takes from an older layout."""
_TAKEN_FOR_EXPERTS = {
    **dict.fromkeys(_EXPERTS_AS_MIXTRAL, ("gate", "w1", "w2", "w3")),
    **dict.fromkeys(_EXPERTS_AS_QWEN, ("gate", "gate_proj", "up_proj", "down_proj")),
}
_DERIVED_LINEAR = {"falcon": ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h")}
"""Classes that derive from the linear class: bitsandbytes passes them over, peft takes them."""


_REFUSED = frozenset({"mamba", "mamba2", "falcon_mamba", "falcon_h1", "nemotron_h"})
"""Architectures whose linear layers peft refuses to adapt all of (`_check_lora_target_modules_mamba`)."""
_NOT_KNOWN = frozenset({"llama4", "llama4_text"})


@dataclass(frozen=True)
class Adapter:
    """The two matrices beside one module.

    Attributes:
        module: what is adapted.
        rank: rows of A, those of all experts together.
        in_features, out_features: of the matrix (of one expert).
    """

    module: Module
    rank: int
    in_features: int
    out_features: int

    @property
    def shapes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Of A and B."""
        return (self.rank, self.in_features), (self.out_features, self.rank)

    @property
    def parameters(self) -> int:
        return self.rank * (self.in_features + self.out_features)


def adapters(facts: ModelFacts, held: Sequence[Module], rank: int) -> tuple[Adapter, ...]:
    """The adapters that peft would add for all linear layers.

    Args:
        held: the model's modules.
        rank: r.
    """
    if rank <= 0:
        return ()
    adapted = _expert_names(facts, held)
    found = []
    for module in held:
        last = module.name.rsplit(".", 1)[-1]
        as_matrix = module.kind == ("router" if last in adapted else "linear")
        if module.kind == "experts" and adapted:
            found.append(_of_experts(module, rank, facts))
        elif as_matrix:
            found.append(Adapter(module, rank, module.in_features, module.out_features))
        elif last in _DERIVED_LINEAR.get(facts.architecture, ()):
            out, in_ = _stored_shape(facts, module)
            found.append(Adapter(module, rank, in_, out))
    return tuple(found)


def adapter_parameters(facts: ModelFacts, held: Sequence[Module], rank: int) -> int:
    """Parameters of all adapters."""
    return sum(adapter.parameters for adapter in adapters(facts, held, rank))


def adapters_unknown(facts: ModelFacts) -> str | None:
    """Why the adapters of a model cannot be counted, in a sentence; None: they can."""
    if facts.architecture in _REFUSED:
        return f"peft refuses adapters on all linear layers of {facts.architecture}: its state-space layers bypass them."
    if facts.architecture in _NOT_KNOWN:
        return f"Which matrices of {facts.architecture} peft adapts is not known to this version."
    return None


def _expert_names(facts: ModelFacts, held: Sequence[Module]) -> tuple[str, ...]:
    """The names that peft takes for a fused mixture's, once any linear layer of the model still has one of them;
    such layers (a shared expert's, a dense block's) then get no adapter of their own."""
    names = _TAKEN_FOR_EXPERTS.get(facts.architecture, ())
    return names if any(module.kind == "experts" for module in held) else ()


def _of_experts(module: Module, rank: int, facts: ModelFacts) -> Adapter:
    """Gate and up are one parameter: it gets twice the rank (`_MOE_FUSED_TARGETS`), and every expert its own."""
    experts = next((layer.experts.count for layer in facts.layers if layer.experts), module.count)
    fused = module.name.endswith("gate_up_proj")
    out = module.parameters // (experts * module.in_features)
    return Adapter(module, rank * experts * (2 if fused else 1), module.in_features, out)


def _stored_shape(facts: ModelFacts, module: Module) -> tuple[int, int]:
    tensor = next(tensor for tensor in facts.tensors if tensor.name.endswith(f"{module.name}.weight"))
    return tensor.shape[0], tensor.shape[1]
