"""From a config to the layers of the text model, by the rules that transformers applies."""

from __future__ import annotations

from dataclasses import dataclass, replace

from shoestring.models.facts import AttentionFacts, LayerFacts
from shoestring.models.safetensors import kinds, parts
from shoestring.models.safetensors.config import MAX_CONTEXT, MAX_LAYERS, Section
from shoestring.models.safetensors.defaults import DEFAULTS
from shoestring.models.safetensors.families import FAMILIES, TEXT_MODELS, Family


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
    of_layers = listed or family.kinds(text, n)
    strange = sorted(set(of_layers) - kinds.KNOWN)
    experts = family.mixture(text, n) if family.mixture else (None,) * n
    dense = _feed_forward(text, n, architecture)
    built = []
    for i, kind in enumerate(of_layers):
        attention = None if strange or kind in (kinds.LINEAR, kinds.CONV) else _attention(text, family, kind)
        has_state = not strange and kind in (kinds.LINEAR, kinds.CONV, kinds.HYBRID)
        state = family.state(text) if has_state and family.state else None
        inner = 0 if experts[i] or family.mixer_only else dense[i]
        built.append(LayerFacts(attention, inner, state, experts[i]))
    if not strange and any(layer.attention is None and layer.state is None for layer in built):
        strange = ["such"]  # a config that lists layers its family does not have
    notes = tuple(_unknown_cache(f"{kind} layers keep") for kind in strange)
    return tuple(_share(text, built, of_layers)), notes


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
    if text.flag("use_bidirectional_attention"):  # Gemma3TextConfig: half on either side
        return window // 2 + 1
    return window


_INNER_KEYS = {
    "falcon": "ffn_hidden_size",
    "gpt2": "n_inner",
    "llama4_text": "intermediate_size_mlp",
}
"""Names of a dense feed-forward's width, where it is not `intermediate_size`."""


def _feed_forward(text: Section, n: int, architecture: str) -> tuple[int, ...]:
    key = _INNER_KEYS.get(architecture, parts.INNER)
    if architecture == "lfm2" and text.integer("block_ff_dim"):
        key = "block_ff_dim"
    inner = text.per_layer(key, n)
    if inner is None and architecture in ("gpt2", "falcon"):
        inner = (4 * text.required(*parts.HIDDEN),) * n
    return inner or (0,) * n


def _share(text: Section, layers: list[LayerFacts], of_layers: tuple[str, ...]) -> list[LayerFacts]:
    """The last `num_kv_shared_layers` read the cache of the last own layer of their kind (Gemma 3n)."""
    shared = text.integer("num_kv_shared_layers", least=0) or 0
    first = len(layers) - shared
    if shared and (first < 1 or set(of_layers[first:]) - set(of_layers[:first])):
        raise text.wrong(f"lets {shared} of {len(layers)} layers share a cache that no layer keeps")
    for i in range(first, len(layers)):
        owner = max(j for j in range(first) if of_layers[j] == of_layers[i])
        attention = layers[i].attention
        if attention is not None:
            layers[i] = replace(layers[i], attention=replace(attention, shares_cache_of=owner))
    return layers
