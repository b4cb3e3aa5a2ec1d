"""Which part of a model a tensor belongs to, by the names that transformers' classes give their modules."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

from shoestring.models.facts import LayerFacts, Parameters, QuantizationFacts, TensorInfo
from shoestring.models.safetensors.quantization import logical_elements

_LAYER = re.compile(r"(?:^|\.)(?:layers|layer|h|blocks)\.(\d+)\.")
_DIGITS = re.compile(r"\d+")
_BUFFER = re.compile(r"(\.attn\.(bias|masked_bias)|rotary_emb\.inv_freq|\.position_ids|\.rope_freqs)$")
"""Constants that older checkpoints store and no newer model loads."""
_NORM = r"(norm\w*|ln_\w+|\bln\d?|layernorm\w*|LayerNorm)\.(weight|bias)$"
_COMPONENTS = tuple(
    (component, re.compile(pattern))
    for component, pattern in (
        ("projector", r"(^|\.)(multi_modal_projector|mm_projector|connector|embed_vision|embed_audio)\."),
        ("audio", r"(^|\.)audio_(tower|model|encoder)\."),
        ("vision", r"(^|\.)(vision_(tower|model|encoder|embed\w*)|visual|image_newline)(\.|$)"),
        ("head", r"(^|\.)(lm_head|embed_out)\."),
        ("norms", _NORM),
        (
            "embedding",
            r"(^|\.)(embed_tokens(_per_layer)?|wte|wpe|embed_in|(word|position|token_type)_embeddings|embeddings)\.",
        ),
        ("router", r"\.((mlp|block_sparse_moe|feed_forward|moe)\.(gate|router)|router|shared_expert_gate)\."),
        ("experts", r"\.(experts\.|block_sparse_moe\.(input|output)_linear)"),
        ("state", r"\.(mixer|mamba|linear_attn|conv)\."),
        ("attention", r"\.(self_attn|self_attention|attn|attention)\."),
        (
            "feed_forward",
            r"\.(mlp|feed_forward|shared_mlp|ffn|block_sparse_moe|intermediate|output|fc\d)\b",
        ),
    )
)
ORDER = (
    *("embedding", "attention", "state", "feed_forward", "router", "experts", "norms", "head"),
    *("vision", "audio", "projector", "prediction", "other"),
)
TOWERS = frozenset({"vision", "audio", "projector"})


def component_of(tensor_name: str) -> str:
    """`embedding`, `attention`, `state` (of recurrent layers), `feed_forward`, `router`, `experts`, `norms`, `head`,
    `vision`, `audio`, `projector` or `other`."""
    return _component_of(_DIGITS.sub("0", tensor_name))


@lru_cache(maxsize=4096)  # the tensors of a large mixture differ in their numbers only
def _component_of(name: str) -> str:
    return next((component for component, pattern in _COMPONENTS if pattern.search(name)), "other")


def layer_of(tensor_name: str) -> int | None:
    """The number of the layer that a tensor's name states, of whichever tower, or None."""
    match = _LAYER.search(tensor_name)
    return int(match.group(1)) if match and len(match.group(1)) <= 6 else None


def is_extra(tensor_name: str) -> bool:
    """Whether it belongs to a module that predicts further tokens and is numbered apart from the model's layers."""
    return tensor_name.startswith("mtp.")


def count_parameters(
    tensors: Iterable[TensorInfo],
    layers: Sequence[LayerFacts],
    quantization: QuantizationFacts | None,
    *,
    without_head: bool,
) -> Parameters:
    """Parameters of the model that the tensors stand for, what is packed counted unpacked.

    Active are those that decoding one token uses: of a layer's experts its share, nothing of the towers that read
    images and sound, nor of the layers that predict further tokens (`prediction`, beyond the last block).

    Args:
        without_head: whether the head's matrix is the embedding's, and a stored one its copy.
    """
    counted: Counter[str] = Counter()
    experts: Counter[int] = Counter()
    for tensor in tensors:
        component = component_of(tensor.name)
        copy = without_head and component == "head" and tensor.name.endswith(".weight")
        if copy or _BUFFER.search(tensor.name):
            continue
        n = logical_elements(tensor, quantization)
        layer = layer_of(tensor.name) if component not in TOWERS else None
        if is_extra(tensor.name) or (layer is not None and layers and layer >= len(layers)):
            component = "prediction"
        elif component == "experts" and layer is not None:
            experts[layer] += n
        counted[component] += n
    total = counted.total()
    idle = sum(_idle(n, layers[i]) for i, n in experts.items() if layers)
    idle += counted["prediction"] + sum(counted[tower] for tower in TOWERS)
    return Parameters(total, total - idle, {name: counted[name] for name in ORDER if counted[name]})


def _idle(n: int, layer: LayerFacts) -> int:
    """Of the parameters of a layer's experts, those that one token does not pass through."""
    experts = layer.experts
    return n * (experts.count - experts.used) // experts.count if experts else 0
