"""From a config to the layers of the text model, by the rules that transformers applies."""

from __future__ import annotations

from dataclasses import dataclass, replace

from shoestring.models.facts import AttentionFacts, LayerFacts
from shoestring.models.safetensors import kinds, parts
from shoestring.models.safetensors.config import MAX_CONTEXT, MAX_LAYERS, Json, Section
from shoestring.models.safetensors.defaults import DEFAULTS
from shoestring.models.safetensors.families import FAMILIES, TEXT_MODELS, Family

MAX_KEYS = 4096
"""Of a text model's config; real ones have a hundred."""


@dataclass(frozen=True)
class TextModel:
    """The text model that a config describes.

    Attributes:
        architecture: its `model_type`.
        config: its part of the config, with the defaults of its class.
        layers: one a block; empty where the config does not say how many there are.
        hidden_size, vocab_size: 0 where an unknown architecture does not state them.
        context_length: positions it was made for; None where there is no limit, or none stated.
        not_understood: what cannot be counted, one sentence each.
    """

    architecture: str
    config: Section
    layers: tuple[LayerFacts, ...]
    hidden_size: int
    vocab_size: int
    context_length: int | None
    not_understood: tuple[str, ...] = ()


def read_text_model(config: Section) -> TextModel:
    """The text model of a whole `config.json`.

    Raises:
        InvalidModelFileError: a value is absurd, missing or contradicts another.
    """
    outer = config.name("model_type")
    if outer is None:
        raise config.wrong("does not state model_type")
    nested = config.section("text_config")
    architecture = (nested.name("model_type") if nested else None) or TEXT_MODELS.get(outer, outer)
    text = (nested or config).with_defaults(DEFAULTS.get(architecture, {}))
    if len(text.values) > MAX_KEYS:
        raise text.wrong(f"has {len(text.values):,} keys")
    family = FAMILIES.get(architecture)
    if family is None:
        return _unknown(architecture, text)
    layers, notes = _layers(text, family, architecture)
    return TextModel(
        architecture=architecture,
        config=text,
        layers=layers,
        hidden_size=text.required(*parts.HIDDEN),
        vocab_size=text.required("vocab_size"),
        context_length=_context(text),
        not_understood=notes,
    )


def _context(text: Section) -> int | None:
    return text.integer("max_position_embeddings", "n_positions", "max_sequence_length", most=MAX_CONTEXT)


def _unknown(architecture: str, text: Section) -> TextModel:
    layers = text.integer(*parts.LAYERS, most=MAX_LAYERS) or 0
    return TextModel(
        architecture=architecture,
        config=text,
        layers=(LayerFacts(None, 0),) * layers,
        hidden_size=text.integer(*parts.HIDDEN) or 0,
        vocab_size=text.integer("vocab_size") or 0,
        context_length=_context(text),
        not_understood=(_unknown_cache(f"{architecture} models keep"),),
    )


def _unknown_cache(who: str) -> str:
    return f"How {who} their context in memory is not known to this version, so cache and compute have no figure."


def _layers(
    text: Section, family: Family, architecture: str
) -> tuple[tuple[LayerFacts, ...], tuple[str, ...]]:
    n = text.required(*parts.LAYERS, most=MAX_LAYERS)
    listed = None if family.fixed else text.names("layer_types", n)
    of_layers = tuple(kinds.OLD_NAMES.get(kind, kind) for kind in listed or family.kinds(text, n))
    if architecture == "gemma4_text":
        of_layers = (*of_layers[:-1], kinds.FULL)  # Gemma4TextConfig forces the last one
    strange = sorted(set(of_layers) - kinds.KNOWN)
    experts = family.mixture(text, n) if family.mixture else (None,) * n
    dense = _feed_forward(text, n, architecture)
    built = []
    for i, kind in enumerate(of_layers):
        own = _of_layer(text, i, kind, architecture)
        attention = None if strange or kind in (kinds.LINEAR, kinds.CONV) else _attention(own, family, kind)
        has_state = not strange and kind in (kinds.LINEAR, kinds.CONV, kinds.HYBRID)
        state = family.state(own) if has_state and family.state else None
        without = family.mixer_only or (experts[i] and not family.both)
        same = own.values.get(parts.INNER) is text.values.get(parts.INNER)
        stated = dense[i] if same else own.required(parts.INNER)
        inner = 0 if without else stated
        built.append(LayerFacts(attention, inner, state, experts[i]))
    if not strange and any(layer.attention is None and layer.state is None for layer in built):
        strange = ["such"]  # a config that lists layers its family does not have
    notes = tuple(_unknown_cache(f"{kind} layers keep") for kind in strange)
    return tuple(_share(text, built, of_layers)), notes


_PER_LAYER = frozenset(
    {"head_dim", "num_key_value_heads", "num_attention_heads", "sliding_window", "intermediate_size"}
)


def _of_layer(text: Section, i: int, kind: str, architecture: str) -> Section:
    """The config of one layer: what `per_layer_config` states for it, of Gemma 4 also what full layers have."""
    stated = text.section("per_layer_config")
    if stated is not None:
        own = stated.section(str(i))
        if own is not None and set(own.values) - _PER_LAYER:
            raise text.wrong(
                f"changes {', '.join(sorted(set(own.values) - _PER_LAYER))[:100]} for single layers"
            )
        return text.changed(own.values) if own is not None else text
    if architecture != "gemma4_text" or kind != kinds.FULL:
        return text
    changes: dict[str, Json] = {"head_dim": text.integer("global_head_dim") or 512}
    kv_heads = text.integer("num_global_key_value_heads")
    if kv_heads is not None and text.flag("attention_k_eq_v"):
        changes["num_key_value_heads"] = kv_heads
    return text.changed(changes)


def _attention(text: Section, family: Family, kind: str) -> AttentionFacts | None:
    if family.attention is None:
        return None
    facts = family.attention(text)
    if kind == kinds.SLIDING:
        return replace(facts, window=_window(text))
    if kind == kinds.CHUNKED:
        return replace(facts, window=text.required("attention_chunk_size", most=MAX_CONTEXT))
    return facts


def _window(text: Section) -> int:
    window = text.required("sliding_window", most=MAX_CONTEXT)
    if text.value("use_bidirectional_attention") in (True, "all"):  # Gemma 3 and 4: half on either side
        return window // 2 + 1
    return window


_INNER_KEYS = {
    **dict.fromkeys(("codegen", "gpt2", "gpt_bigcode", "gptj"), "n_inner"),
    "bloom": "",
    "falcon": "ffn_hidden_size",
    "granitemoehybrid": "shared_intermediate_size",
    "llama4_text": "intermediate_size_mlp",
    "opt": "ffn_dim",
}
"""Names of a dense feed-forward's width, where it is not `intermediate_size`."""
_FOUR_TIMES = frozenset({"bloom", "codegen", "falcon", "gpt2", "gpt_bigcode", "gptj"})
"""Architectures whose feed-forward is four hidden sizes wide where nothing else is stated."""


def _feed_forward(text: Section, n: int, architecture: str) -> tuple[int, ...]:
    if architecture == "lfm2":
        return (_adjusted(text),) * n
    inner = text.per_layer(_INNER_KEYS.get(architecture, parts.INNER), n)
    if inner is None and architecture in _FOUR_TIMES:
        return (4 * text.required(*parts.HIDDEN),) * n
    inner = inner or (0,) * n
    if not text.flag("use_double_wide_mlp"):
        return inner
    shared = text.integer("num_kv_shared_layers", least=0) or 0  # Gemma4TextMLP: those are twice as wide
    return tuple(width * (2 if i >= n - shared else 1) for i, width in enumerate(inner))


def _adjusted(text: Section) -> int:
    """LFM2's width: two thirds of the stated one, stretched and rounded up (`modeling_lfm2.py`, `Lfm2MLP`)."""
    inner = text.required("block_ff_dim" if text.integer("block_ff_dim") else parts.INNER)
    if text.flag("block_auto_adjust_ff_dim") is False:
        return inner
    inner = int(2 * inner / 3)
    key = "block_ffn_dim_multiplier"
    if key in text.values and text.values[key] is None:
        return inner
    stretched = int((text.number(key, least=0.01, most=100) or 1) * inner)
    multiple = text.integer("block_multiple_of") or 256
    return -(-stretched // multiple) * multiple


def _share(text: Section, layers: list[LayerFacts], of_layers: tuple[str, ...]) -> list[LayerFacts]:
    """The last `num_kv_shared_layers` read the cache of the last own layer of their kind (Gemma 3n)."""
    shared = text.integer("num_kv_shared_layers", least=0) or 0
    first = len(layers) - shared
    if shared and (first < 1 or set(of_layers[first:]) - set(of_layers[:first])):
        raise text.wrong(f"lets {shared} of {len(layers)} layers share a cache that no layer keeps")
    owners = {kind: i for i, kind in enumerate(of_layers[:first])}
    for i in range(first, len(layers)):
        attention = layers[i].attention
        if attention is not None:
            own = replace(attention, shares_cache_of=owners[of_layers[i]])
            layers[i] = replace(layers[i], attention=own)
    return layers
