"""What the code of an architecture keeps alive otherwise than Llama's: read off `models/*/modeling_*.py` of 5.24."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Traits:
    """How a block computes, as far as memory goes; the defaults are Llama's.

    Attributes:
        held: copies of the hidden states beside a feed-forward: the embedding, the block's input, the residual and
            the normed input (blocks with attention side by side have its output for the residual).
        held_by_attention: beside attention: the embedding, the block's input, and that normed.
        ungated_copies: of the inner width in a feed-forward without a gate.
        expert_gate_copies: of an expert's inner width beside gate and up: the activation and the product.
        experts_in_fp32: whether experts' outputs are weighted with fp32, which makes them fp32, too.
        shared_first: whether shared experts compute first, so that their output is there while the others do.
        score_copies: of the scores in eager attention in the model's dtype, where there is no softmax in fp32.
        rotates_in_fp32: whether queries and keys are cast for the rotation.
        tables_in_fp32: whether cosines and sines are, so that what they are multiplied with becomes fp32, too.
        rotary_tables: pairs of cosines and sines; two where sliding layers have other frequencies.
        keeps_unrotated: whether queries and keys as projected, and their rotated parts, stay until the scores are there.
        broadcasts_keys: whether one key for all heads is handed to fused attention as it is, which no kernel takes.
    """

    held: int = 4
    held_by_attention: int = 3
    ungated_copies: int = 4
    expert_gate_copies: int = 2
    experts_in_fp32: bool = False
    shared_first: bool = True
    score_copies: int | None = None
    rotates_in_fp32: bool = False
    tables_in_fp32: bool = False
    rotary_tables: int = 1
    keeps_unrotated: bool = False
    broadcasts_keys: bool = False


_LLAMA = Traits()
_TWO_TABLES = Traits(rotary_tables=2)
_NORMED_BEHIND = Traits(held=3, held_by_attention=2, tables_in_fp32=True)
_UNGATED = Traits(ungated_copies=2)  # the inner width before and after its activation
_SQUARED = Traits(ungated_copies=3)  # before its activation, with it, and that squared
_ROUTED_IN_FP32 = Traits(experts_in_fp32=True, shared_first=False)
_TRAITS = {
    # GELU by its formula (`NewGELUActivation`): four copies. Embedded positions and the attention's output stay.
    "gpt2": Traits(held=6, score_copies=2),
    "phi": Traits(keeps_unrotated=True),
    "starcoder2": _UNGATED,
    "gpt_neox": _UNGATED,
    "opt": _UNGATED,
    "gpt_bigcode": Traits(held=6, ungated_copies=2),
    "arcee": _SQUARED,
    "persimmon": _SQUARED,
    "falcon": replace(_UNGATED, broadcasts_keys=True, score_copies=4),
    "stablelm": Traits(
        held=6, keeps_unrotated=True
    ),  # the second norm's output beside the first's, and the attention's
    "cohere": Traits(rotates_in_fp32=True),
    "cohere2": Traits(rotates_in_fp32=True),
    "olmo": Traits(tables_in_fp32=True),
    "olmo2": _NORMED_BEHIND,
    "olmo3": _NORMED_BEHIND,
    "exaone4": Traits(held=3, held_by_attention=2),
    "gemma3": _TWO_TABLES,
    "gemma3_text": _TWO_TABLES,
    # AltUp (`Gemma3nTextAltUp`) carries four streams: as they come in, predicted, and three of them as they were made;
    # the embedding, the last projection; the active stream, normed, LAuReL's and attention's outputs, two sums, the
    # normed input and, as the gate is held by name, the output beside all four of the inner width.
    "gemma3n_text": Traits(held=20, held_by_attention=15, rotary_tables=2),
    # gate and up clamped, the gate's half, up + 1 and the product; the sink beside the scores, softmax in their dtype
    "gpt_oss": Traits(expert_gate_copies=5, score_copies=3),
    "mixtral": Traits(experts_in_fp32=True),
    **dict.fromkeys(("deepseek_v2", "deepseek_v3", "glm4_moe"), _ROUTED_IN_FP32),
}
_NAMED_GATE = frozenset({"gemma3n_text"})


_LIKE_LLAMA = frozenset(
    {
        *(
            "llama",
            "mistral",
            "qwen2",
            "qwen2_moe",
            "qwen3",
            "qwen3_moe",
            "gemma",
            "gemma2",
            "phi3",
            "phimoe",
        ),
        *(
            "granite",
            "granitemoe",
            "smollm3",
            "seed_oss",
            "helium",
            "glm",
            "glm4",
            "olmoe",
            "flex_olmo",
            "gemma4_text",
        ),
    }
)


def is_known(architecture: str) -> bool:
    """Whether an architecture's code was read and its figures held against the library's own."""
    return architecture in _TRAITS or architecture in _LIKE_LLAMA


def traits(architecture: str) -> Traits:
    """An architecture's; Llama's where none are listed."""
    return _TRAITS.get(architecture, _LLAMA)


def gated_copies(architecture: str, *, fused: bool) -> int:
    """Copies of the inner width in a feed-forward with a gate: activation, up and product.

    Gate and up in one matrix (Phi-3, GLM) leave both halves until the end; so does a gate that keeps its name.
    """
    return 4 if fused or named_gate(architecture) else 3


def named_gate(architecture: str) -> bool:
    """Whether gate and up stay by their names until the output is there."""
    return architecture in _NAMED_GATE
