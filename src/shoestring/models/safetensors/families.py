"""The model families that are understood: one line each, a name and the rules that make its layers.

A family is a `model_type` of transformers. One that is missing here still has its weights counted, but no cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shoestring.models.safetensors import kinds, parts


@dataclass(frozen=True)
class Family:
    """The rules of one model type.

    Attributes:
        kinds: what each layer is where the config does not list `layer_types`.
        attention: what an attention layer has; None: there are none.
        state: what a recurrent layer has; None: there are none.
        mixture: which layers have experts; None: none has.
        fixed: whether a `layer_types` in the config is ignored, since the class derives its own.
        both: whether a layer with experts has its dense feed-forward, too.
        mixer_only: whether recurrent layers have no feed-forward of their own.
    """

    kinds: kinds.KindRule = kinds.by_window
    attention: parts.AttentionRule | None = parts.grouped
    state: parts.StateRule | None = None
    mixture: parts.MixtureRule | None = None
    fixed: bool = False
    both: bool = False
    mixer_only: bool = False


_PLAIN = Family()
_LATE = Family(kinds.late_window)
_MULTI_HEAD = Family(attention=parts.multi_head)
_EVERY_LAYER = Family(mixture=parts.every_layer)
_LATENT = Family(attention=parts.latent, mixture=parts.after_first_dense)
_MAMBA = Family(kinds.always(kinds.LINEAR), None, parts.mamba, fixed=True, mixer_only=True)
_DELTA_NET = Family(kinds.one_full_in(4, kinds.LINEAR, "full_attention_interval"), state=parts.delta_net)

FAMILIES: Mapping[str, Family] = {
    "apertus": _PLAIN,
    "arcee": _PLAIN,
    "bamba": Family(kinds.attention_at_indices, state=parts.mamba2, fixed=True),
    "bitnet": _PLAIN,
    "bloom": _MULTI_HEAD,
    "codegen": _MULTI_HEAD,
    "cohere": _PLAIN,
    "cohere2": Family(kinds.one_full_in(4, key="sliding_window_pattern"), parts.grouped_by_hidden_size),
    "deepseek_v2": _LATENT,
    "deepseek_v3": _LATENT,
    "dots1": Family(mixture=parts.after_first_dense),
    "ernie4_5": _PLAIN,
    "exaone": _PLAIN,
    "exaone4": Family(kinds.one_full_in(4, key="sliding_window_pattern")),
    "falcon": Family(attention=parts.falcon),
    "falcon_h1": Family(kinds.always(kinds.HYBRID), state=parts.mamba2, fixed=True),
    "falcon_mamba": _MAMBA,
    "flex_olmo": _EVERY_LAYER,
    "gemma": _PLAIN,
    "gemma2": Family(kinds.one_full_in(2)),
    "gemma3_text": Family(kinds.one_full_in(6, key="sliding_window_pattern")),
    "gemma3n_text": Family(kinds.one_full_in(5)),
    "gemma4_text": Family(kinds.one_full_in(6), mixture=parts.beside_dense, both=True),
    "glm": _PLAIN,
    "glm4": _PLAIN,
    "glm4_moe": Family(mixture=parts.after_first_dense),
    "glm4_moe_lite": Family(attention=parts.latent, mixture=parts.in_listed_layers),
    "gpt2": _MULTI_HEAD,
    "gpt_bigcode": Family(attention=parts.multi_query),
    "gpt_neox": _MULTI_HEAD,
    "gpt_oss": Family(kinds.one_full_in(2), mixture=parts.every_layer),
    "gptj": _MULTI_HEAD,
    "granite": _PLAIN,
    "granitemoe": _EVERY_LAYER,
    "granitemoehybrid": Family(kinds.always(kinds.LINEAR), state=parts.mamba2, mixture=parts.beside_shared),
    "granitemoeshared": Family(mixture=parts.beside_shared),
    "helium": _PLAIN,
    "hunyuan_v1_dense": _PLAIN,
    "internlm3": _PLAIN,
    "jais2": _PLAIN,
    "jamba": Family(
        kinds.attention_at_offset, state=parts.mamba_in_jamba, mixture=parts.at_offset, fixed=True
    ),
    "lfm2": Family(kinds.convolutions_between, state=parts.short_conv),
    "llama": _PLAIN,
    "llama4_text": Family(kinds.positions_or_chunks, mixture=parts.interleaved),
    "mamba": _MAMBA,
    "mamba2": Family(kinds.always(kinds.LINEAR), None, parts.mamba2, fixed=True, mixer_only=True),
    "minimax_m2": _EVERY_LAYER,
    "ministral": _PLAIN,
    "ministral3": _PLAIN,
    "mistral": _PLAIN,
    "mixtral": _EVERY_LAYER,
    "nanochat": _PLAIN,
    "nemotron": _PLAIN,
    "olmo": _PLAIN,
    "olmo2": _PLAIN,
    "olmo3": Family(kinds.one_full_in(4)),
    "olmoe": _EVERY_LAYER,
    "opt": _MULTI_HEAD,
    "persimmon": _MULTI_HEAD,
    "phi": _PLAIN,
    "phi3": _PLAIN,
    "phimoe": _EVERY_LAYER,
    "qwen2": _LATE,
    "qwen2_5_vl_text": _LATE,
    "qwen2_moe": Family(kinds.early_window, mixture=parts.sparse_steps),
    "qwen2_vl_text": _LATE,
    "qwen3": _LATE,
    "qwen3_5_moe_text": Family(_DELTA_NET.kinds, state=parts.delta_net, mixture=parts.sparse_steps),
    "qwen3_5_text": _DELTA_NET,
    "qwen3_moe": Family(mixture=parts.sparse_steps),
    "qwen3_next": Family(_DELTA_NET.kinds, state=parts.delta_net, mixture=parts.sparse_steps),
    "qwen3_vl_text": _PLAIN,
    "seed_oss": _PLAIN,
    "smollm3": Family(kinds.positions_or_window),
    "solar_open": Family(mixture=parts.with_shared),
    "stablelm": Family(attention=parts.grouped_by_hidden_size),
    "starcoder2": _PLAIN,
    "vaultgemma": Family(kinds.one_full_in(2)),
}

TEXT_MODELS: Mapping[str, str] = {
    "aya_vision": "cohere2",
    "gemma3": "gemma3_text",
    "gemma3n": "gemma3n_text",
    "gemma4": "gemma4_text",
    "idefics3": "llama",
    "internvl": "qwen2",
    "lfm2_vl": "lfm2",
    "llama4": "llama4_text",
    "llava": "llama",
    "llava_next": "llama",
    "mistral3": "mistral",
    "paligemma": "gemma",
    "qwen2_5_vl": "qwen2_5_vl_text",
    "qwen2_vl": "qwen2_vl_text",
    "qwen3_5": "qwen3_5_text",
    "qwen3_5_moe": "qwen3_5_moe_text",
    "qwen3_vl": "qwen3_vl_text",
    "smolvlm": "llama",
}
"""The text model inside, where a multi-modal config does not name it (`sub_configs_defaults`)."""

TIES_BY_DEFAULT = frozenset(
    {"aya_vision", "gemma3", "gemma3n", "gemma4", "internvl", "lfm2_vl", "mistral3", "paligemma"}
)
"""Multi-modal classes whose `tie_word_embeddings` is true unless the config says otherwise."""
