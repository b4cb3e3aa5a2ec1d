"""The modules a checkpoint becomes in memory, from its stored tensors.

What transformers 5 builds is not what lies on disk: the experts of a mixture become two three-dimensional
parameters, a tied head becomes the embedding, and tensors that the model has no place for are left out. Kinds
follow the classes of the library's own models (`models/*/modeling_*.py`), read off every causal language model
that it knows; quantisation looks at nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from shoestring.models.facts import ModelFacts, TensorInfo
from shoestring.planning.alike import alike

ModuleKind = Literal["linear", "embedding", "head", "norm", "conv", "router", "experts", "other"]


@dataclass(frozen=True)
class Module:
    """One module that holds parameters.

    Attributes:
        name: dotted path in the model as loaded, without `.weight`; of experts the parameter's own
            (`model.layers.0.mlp.experts.gate_up_proj`).
        kind: `linear` is what the library sees as a linear layer and may quantise; a router (a parameter that
            is multiplied with, no linear layer) and fused experts are none.
        out_features, in_features: of a matrix (of one expert); 0 where it is none.
        parameters: of the weight, all experts together.
        bias: parameters of the bias; 0: none.
        block: index of the text model's block it belongs to, or None.
        tower: `vision` or `audio`; None: the text model.
        count: matrices of that shape in it (experts, gate and up counted singly); 1 for all others.
    """

    name: str
    kind: ModuleKind
    out_features: int
    in_features: int
    parameters: int
    bias: int = 0
    block: int | None = None
    tower: str | None = None
    count: int = 1


_TOWERS = (
    ("audio", re.compile(r"(^|\.)(audio_tower|audio_model|audio_encoder|embed_audio|audio_embed)(\.|$)")),
    (
        "vision",
        re.compile(
            r"(^|\.)(vision\w*|visual|multi_modal_projector|connector|image_newline|img_processor"
            r"|image_\w+|mm_projector|patch_merger)(\.|$)"
        ),
    ),
)
_BLOCK = re.compile(r"(?:^|\.)(?:layers|layer|h|blocks)\.(\d+)\.")
_EMBEDDINGS = frozenset(
    {
        *(
            "embed_tokens",
            "embed_positions",
            "word_embeddings",
            "position_embeddings",
            "token_type_embeddings",
        ),
        *(
            "wte",
            "wpe",
            "embeddings",
            "position_embedding",
            "embed_tokens_per_layer",
            "embed_in",
            "word_embedding",
        ),
        *("tok_embeddings", "pos_embed", "row_embeddings", "column_embeddings", "tile_embedding", "shared"),
        *("relative_attention_bias", "position_embedding_table", "embedding"),
    }
)
_HEADS = frozenset({"lm_head", "embed_out", "output"})
_ROUTER = re.compile(r"(^|\.)((mlp|mixer|block_sparse_moe|\w+_moe|feed_forward|moe)\.gate|router)$")
_EXPERT = re.compile(r"^(?P<experts>.*\.experts)\.(?P<index>\d+)\.(?P<part>\w+)\.weight$")
_FUSED = re.compile(r"(\.experts\.\w+(_proj|_weight)|\.(input_linear|output_linear)\.weight)$")
_UP_PARTS, _DOWN_PARTS = frozenset({"gate_proj", "up_proj", "w1", "w3"}), frozenset({"down_proj", "w2"})
_NOT_LOADED = re.compile(r"(^mtp\.|\.attn\.(bias|masked_bias)$|rotary_emb\.inv_freq$)")
_RENAMED = (
    (re.compile(r"^language_model\.lm_head\."), "lm_head."),
    (re.compile(r"^language_model\.model\."), "model.language_model."),
    (re.compile(r"^(vision_tower|multi_modal_projector|audio_tower)\."), r"model.\1."),
    (re.compile(r"\.block_sparse_moe\.(gate|experts)\b"), r".mlp.\1"),
    (re.compile(r"^embed_out\."), "lm_head."),
)
_LINEAR_BY_ANOTHER_CLASS = {"falcon": re.compile(r"\.(self_attention|mlp)\.")}
"""Architectures whose layers derive from the linear class and so are not taken for one (`type(m) is nn.Linear`)."""


def modules(facts: ModelFacts) -> tuple[Module, ...]:
    """The modules of a safetensors model in memory, in stored order, experts fused.

    The last answer is kept: a plan asks for the same model hundreds of times.

    Already quantised checkpoints give their matrices by what the packed tensor stands for; scales and other
    statistics are no modules (`stored_bytes` in `weights` counts them).
    """
    if _last and _last[0][0] is facts:
        return _last[0][1]
    found: dict[str, Module] = {}
    experts: dict[str, int] = {}
    for tensor, count in _stored(facts):
        for loaded in _as_loaded(tensor, facts):
            _add(found, loaded, facts)
            expert = _EXPERT.match(loaded.name)
            if expert and count > 1:
                name = _fused_name(expert)
                experts[name] = experts.get(name, 0) + count - 1
    _add_other_experts(found, experts)
    answer = tuple(found.values())
    _last[:] = [(facts, answer)]
    return answer


_last: list[tuple[ModelFacts, tuple[Module, ...]]] = []


def loaded_name(stored: str, architecture: str) -> str:
    """The name that a stored tensor has in the loaded model (`transformers/conversion_mapping.py`)."""
    if architecture == "llama4_text":  # the one that is built as it is stored
        return stored
    for pattern, replacement in _RENAMED:
        stored = pattern.sub(replacement, stored)
    return stored


def tower(name: str) -> str | None:
    """`vision` or `audio` where a module belongs to one, or to its projector; None: the text model."""
    return next((kind for kind, pattern in _TOWERS if pattern.search(name)), None)


def block(name: str) -> int | None:
    """Index of the text model's block that a module lies in, or None."""
    match = _BLOCK.search(name)
    return int(match.group(1)) if match and tower(name) is None else None


def is_embedding(name: str) -> bool:
    """Whether a parameter, by its name, is a table of embeddings."""
    return name.removesuffix(".weight").rsplit(".", 1)[-1] in _EMBEDDINGS


def loaded_tensors(facts: ModelFacts) -> Iterable[TensorInfo]:
    """Stored tensors that the model has a place for, under the names they get there."""
    for tensor in facts.tensors:
        yield from _as_loaded(tensor, facts)


def _as_loaded(tensor: TensorInfo, facts: ModelFacts) -> Iterable[TensorInfo]:
    name = loaded_name(tensor.name, facts.architecture)
    index = block(name)
    extra = index is not None and facts.layers and index >= len(facts.layers)
    tied_head = facts.tied and name.rsplit(".", 2)[-2:] == ["lm_head", "weight"]
    if not (extra or tied_head or _NOT_LOADED.search(name)):
        yield replace(tensor, name=name)


def _stored(facts: ModelFacts) -> Iterable[tuple[TensorInfo, int]]:
    """The stored tensors, of alike experts one with their number; of packed ones each, for they may differ."""
    return alike(facts) if facts.quantization is None else ((tensor, 1) for tensor in facts.tensors)


def _add_other_experts(found: dict[str, Module], more: dict[str, int]) -> None:
    """Add experts that were only counted: all are of one shape."""
    for name, others in more.items():
        module = found[name]
        count = module.count + others
        found[name] = replace(module, count=count, parameters=module.parameters // module.count * count)


def _add(found: dict[str, Module], tensor: TensorInfo, facts: ModelFacts) -> None:
    packed = _packed_shape(tensor, facts)
    if packed is None:
        return
    stored, shape = packed
    expert = _EXPERT.match(stored)
    if expert:
        _add_expert(found, expert, shape)
    elif stored.endswith((".bias", "_bias")):
        _add_bias(found, stored, shape)
    else:
        name = stored.removesuffix(".weight")
        known = found.get(name)
        module = _module(name, stored, shape, facts)
        found[name] = replace(module, bias=known.bias) if known else module


def _packed_shape(tensor: TensorInfo, facts: ModelFacts) -> tuple[str, tuple[int, ...]] | None:
    """Name and shape of the weight that a tensor stands for; None for statistics of quantisation.

    Layouts: AWQ packs columns (`qweight`: in × out/8), GPTQ rows (in/8 × out), compressed-tensors rows of the
    transposed (`weight_packed`: out × in/8), MXFP4 blocks of 32 (`*_blocks`: …× in/32 × 16 bytes), bitsandbytes
    a flat column of bytes.
    """
    quantization = facts.quantization
    name, shape = tensor.name, tensor.shape
    if quantization is None:
        return name, shape
    bits = max(1, quantization.bits)
    last = name.rsplit(".", 1)[-1]
    if last == "qweight":
        rows = quantization.method == "gptq"
        in_, out = (shape[0] * 32 // bits, shape[1]) if rows else (shape[0], shape[1] * 32 // bits)
        return name.replace("qweight", "weight"), (out, in_)
    if last == "weight_packed":
        return name.replace("weight_packed", "weight"), (shape[0], shape[1] * 32 // bits)
    if last.endswith("_blocks"):
        return name.removesuffix("_blocks"), (*shape[:-2], shape[-2] * 32)
    if last == "weight" and tensor.dtype == "U8" and shape[-1] == 1:
        return name, (2 * shape[0], 1)
    return None if _STATISTICS.search(name) else (name, shape)


_STATISTICS = re.compile(
    r"\.(qzeros|scales|g_idx|weight_scale\w*|weight_shape|weight_zero_point|weight_g_idx|input_scale|\w+_scales"
    r"|\w*scale_inv|SCB|weight_format|k_scale|v_scale|activation_scale|weight\.(absmax|quant_map|nested_\w+|quant_state\.\w+))$"
)


def _add_expert(found: dict[str, Module], expert: re.Match[str], shape: tuple[int, ...]) -> None:
    name = _fused_name(expert)
    size = _product(shape)
    known = found.get(name)
    if known:
        found[name] = replace(known, parameters=known.parameters + size, count=known.count + 1)
    else:
        found[name] = Module(
            name, "experts", shape[0], shape[1], size, block=block(name), tower=tower(name), count=1
        )


def _fused_name(expert: re.Match[str]) -> str:
    part = expert["part"]
    fused = "gate_up_proj" if part in _UP_PARTS else "down_proj" if part in _DOWN_PARTS else part
    return f"{expert['experts']}.{fused}"


def _add_bias(found: dict[str, Module], stored: str, shape: tuple[int, ...]) -> None:
    owner = stored.removesuffix(".bias").removesuffix("_bias")
    known = found.get(owner)
    if known:
        found[owner] = replace(known, bias=known.bias + _product(shape))
    elif stored.endswith(".bias") and _is_owner(owner):
        # Some files list a bias before its weight; the weight's module takes it over.
        found[owner] = Module(owner, "other", 0, 0, 0, _product(shape), block(owner), tower(owner))
    else:
        found[stored] = Module(stored, "other", 0, 0, _product(shape), 0, block(stored), tower(stored))


def _is_owner(name: str) -> bool:
    return not name.endswith((".A_log", ".D"))


def _module(name: str, stored: str, shape: tuple[int, ...], facts: ModelFacts) -> Module:
    kind = _kind(name, stored, shape, facts)
    matrix = len(shape) >= 2 and kind in ("linear", "embedding", "head", "router", "experts")
    out, in_ = (shape[-2], shape[-1]) if matrix else (0, 0)
    if kind == "linear" and facts.architecture in _TRANSPOSED and _CONV1D.search(name):
        out, in_ = in_, out
    count = _product(shape[:-2]) if kind == "experts" else 1
    return Module(name, kind, out, in_, _product(shape), 0, block(name), tower(name), count)


_TRANSPOSED = frozenset({"gpt2", "openai-gpt", "gpt-sw3", "imagegpt", "decision_transformer"})
_CONV1D = re.compile(r"\.(c_attn|c_proj|c_fc|q_attn)$")
"""GPT-2's `Conv1D` is a linear layer stored as (in, out)."""


def _kind(name: str, stored: str, shape: tuple[int, ...], facts: ModelFacts) -> ModuleKind:
    last = name.rsplit(".", 1)[-1]
    if len(shape) > 2:
        return "experts" if _FUSED.search(stored) and "conv" not in last else _conv_or_other(stored)
    if not stored.endswith(".weight"):
        return "other"
    if len(shape) == 1:
        return "norm" if "norm" in last or last.startswith("ln") or "layernorm" in name else "other"
    if last in _HEADS and tower(name) is None:
        return "head"
    if last in _EMBEDDINGS:
        return "embedding"
    if _ROUTER.search(name):
        return "router"
    another = _LINEAR_BY_ANOTHER_CLASS.get(facts.architecture)
    attention_pool = name.endswith(".head.attention.out_proj")  # inside torch's own MultiheadAttention
    return "other" if attention_pool or (another and another.search(name)) else "linear"


def _conv_or_other(stored: str) -> ModuleKind:
    return "conv" if stored.endswith(".weight") else "other"


def _product(shape: tuple[int, ...]) -> int:
    product = 1
    for n in shape:
        product *= n
    return product
