"""What each layer of a model is, where its config does not list it: the rules of transformers' config classes.

From `transformers/models/*/configuration_*.py` (`__post_init__`, the `layer_types` properties) and, for models that
have no rule of their own, `cache_utils.get_layer_types_and_kwargs`.
"""

from __future__ import annotations

from collections.abc import Callable

from shoestring.models.safetensors.config import MAX_CONTEXT, Section

FULL, SLIDING, CHUNKED = "full_attention", "sliding_attention", "chunked_attention"
LINEAR, CONV, HYBRID = "linear_attention", "conv", "hybrid"
KNOWN = frozenset({FULL, SLIDING, CHUNKED, LINEAR, CONV, HYBRID})
OLD_NAMES = {"attention": FULL, "mamba": LINEAR}
"""As older configs list them (`configuration_utils.py` renames them)."""

KindRule = Callable[[Section, int], tuple[str, ...]]
"""The kind of each of so many layers."""


def window_of(config: Section) -> int | None:
    """The sliding window in tokens, switched off where `use_sliding_window` is stated or assumed false."""
    if config.flag("use_sliding_window") is False:
        return None
    return config.integer("sliding_window", most=MAX_CONTEXT)


def by_window(config: Section, layers: int) -> tuple[str, ...]:
    """All layers slide where there is a window (Mistral, Phi-3, Starcoder2…)."""
    if window_of(config) is not None:
        return (SLIDING,) * layers
    chunk = config.integer("attention_chunk_size", most=MAX_CONTEXT)
    return (FULL if chunk is None else CHUNKED,) * layers


def late_window(config: Section, layers: int) -> tuple[str, ...]:
    """The first `max_window_layers` are full, the others slide (Qwen 2 and 3)."""
    first = config.required("max_window_layers", least=0)
    slides = window_of(config) is not None
    return tuple(SLIDING if slides and i >= first else FULL for i in range(layers))


def early_window(config: Section, layers: int) -> tuple[str, ...]:
    """Every second of the first `max_window_layers` slides (Qwen 2 MoE)."""
    last = config.required("max_window_layers", least=0)
    slides = config.flag("use_sliding_window") is True
    return tuple(SLIDING if slides and i % 2 == 0 and i < last else FULL for i in range(layers))


def one_full_in(period: int, other: str = SLIDING, key: str | None = None) -> KindRule:
    """The last layer of every group is full (Gemma 2 and 3, Cohere 2, gpt-oss; Qwen3-Next with linear others).

    Args:
        period: of the group, where there is no `key` for it or the config does not state it.
    """

    def rule(config: Section, layers: int) -> tuple[str, ...]:
        n = (config.integer(key) if key else None) or period
        return tuple(FULL if (i + 1) % n == 0 else other for i in range(layers))

    return rule


def positions_or_window(config: Section, layers: int) -> tuple[str, ...]:
    """Layers without rotary positions slide where a window is switched on (SmolLM3)."""
    every = config.required("no_rope_layer_interval")
    default = tuple(int((i + 1) % every != 0) for i in range(layers))
    has_rope = config.integers("no_rope_layers", most=1, length=layers) or default
    slides = config.flag("use_sliding_window") is True and window_of(config) is not None
    return tuple(SLIDING if slides and not rope else FULL for rope in has_rope)


def positions_or_chunks(config: Section, layers: int) -> tuple[str, ...]:
    """Layers with rotary positions attend within a chunk (Llama 4)."""
    every = config.required("no_rope_layer_interval")
    stated = config.integers("no_rope_layers", most=1)  # an empty list counts as not stated
    has_rope = stated or tuple(int((i + 1) % every != 0) for i in range(layers))
    if len(has_rope) != layers:
        raise config.wrong("has a list no_rope_layers of another length than its layers")
    chunks = config.integer("attention_chunk_size", most=MAX_CONTEXT) is not None
    return tuple(CHUNKED if rope and chunks else FULL for rope in has_rope)


def attention_at_offset(config: Section, layers: int) -> tuple[str, ...]:
    """One attention layer in every period, the others Mamba (Jamba)."""
    period = config.required("attn_layer_period")
    offset = config.required("attn_layer_offset", least=0, most=period - 1)
    return tuple(FULL if i % period == offset else LINEAR for i in range(layers))


def attention_at_indices(config: Section, layers: int) -> tuple[str, ...]:
    """The listed layers attend, the others are Mamba 2 (Bamba)."""
    indices = frozenset(config.integers("attn_layer_indices") or ())
    return tuple(FULL if i in indices else LINEAR for i in range(layers))


def convolutions_between(config: Section, layers: int) -> tuple[str, ...]:
    """The listed layers attend, the others are short convolutions (LFM2)."""
    stated = config.integers("full_attn_idxs")
    indices = range(layers) if stated is None else frozenset(stated)
    return tuple(FULL if i in indices else CONV for i in range(layers))


def always(kind: str) -> KindRule:
    """Every layer is of one kind."""
    return lambda config, layers: (kind,) * layers
