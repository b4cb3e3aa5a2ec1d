"""What autograd keeps differs by architecture: the kinds of norm and activation, the order of a block.

Read off `models/*/modeling_*.py` of transformers 5.24 and held against what autograd really saves in
`tests/planning/training`. An architecture that is not here has no figure for its activations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

NormKind = Literal["rms", "rms_fp32", "rms_plus_one", "layer"]


@dataclass(frozen=True)
class Family:
    """How the blocks of an architecture compute.

    Attributes:
        norm: `rms` normalises in fp32 and scales in the model's dtype, `rms_fp32` scales in fp32, `rms_plus_one`
            (Gemma) in fp32 by one plus the weight; `layer` is torch's own layer norm.
        activation_copies: tensors of the inner width that the activation function keeps: 1 of torch's own, 4 of
            the GELU that is written out in Python (`NewGELUActivation`).
        parallel: attention and feed-forward read the same block input; `one_norm`: through the same norm, too.
        copied_output: queries are put together anew by a partial rotation, so that the attention's output is laid
            out by heads and copied for the matrix that follows.
        dropout: the published configs drop 10 % of attention weights and of each branch's output.
        soft_capped: attention scores pass a tanh, which only eager attention can.
        renormalised_router: a mixture's weights are normalised once more and stay fp32.
    """

    norm: NormKind = "rms"
    activation_copies: int = 1
    parallel: bool = False
    one_norm: bool = False
    copied_output: bool = False
    dropout: bool = False
    soft_capped: bool = False
    renormalised_router: bool = False


_LLAMA = ("llama", "mistral", "qwen2", "qwen3", "granite", "smollm3", "qwen3_moe")
FAMILIES: dict[str, Family] = {
    **dict.fromkeys(_LLAMA, Family()),
    "phi3": Family(copied_output=True),
    "olmo2": Family("rms_fp32"),
    "mixtral": Family(renormalised_router=True),
    "gemma": Family("rms_plus_one"),
    "gemma2": Family("rms_plus_one", soft_capped=True),
    "gemma3_text": Family("rms_plus_one"),
    "phi": Family("layer", 4, parallel=True, one_norm=True, copied_output=True),
    "gpt_neox": Family("layer", 1, parallel=True, copied_output=True),
    "gpt2": Family("layer", 4, dropout=True),
}

ATTENTION_INPUTS = frozenset({"q_proj", "k_proj", "v_proj", "qkv_proj", "query_key_value", "c_attn"})
ATTENTION_OUTPUTS = frozenset({"o_proj", "dense"})
FEED_FORWARD_INPUTS = frozenset({"gate_proj", "up_proj", "gate_up_proj", "fc1", "dense_h_to_4h", "c_fc"})
FUSED_ATTENTION_INPUTS = frozenset({"qkv_proj", "query_key_value", "c_attn"})
GATED = frozenset({"gate_proj", "gate_up_proj"})
