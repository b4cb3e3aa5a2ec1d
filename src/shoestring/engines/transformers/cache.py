"""KV caches of the kinds a plan names, and the one that is kept from a prompt to the next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
import transformers
from transformers import cache_utils

from shoestring.engines.transformers.failures import first_line
from shoestring.errors import EngineError
from shoestring.planning.base import TransformersSettings

# nbits by precision, with the library that quantises to it: quanto knows 2 and 4 bits, hqq 8 as well.
_QUANTIZED = {"q4_0": ("quanto", 4, "optimum-quanto"), "q8_0": ("hqq", 8, "hqq")}

# Layers that can be cut back to a shorter prompt; a recurrent state cannot, nor what was quantised.
_FULL, _SLIDING = cache_utils.DynamicLayer, cache_utils.DynamicSlidingWindowLayer


def new_cache(model: Any, settings: TransformersSettings) -> Any:
    """An empty cache; None for a model that keeps a state of its own instead (RWKV, xLSTM…).

    Raises:
        EngineError: the library has no such cache for this model, or a package for it is missing.
    """
    if not model._supports_default_dynamic_cache():
        return None
    if settings.cache == "offloaded" and not torch.cuda.is_available():
        raise EngineError(
            "An offloaded cache waits in main memory for its layer's turn on a GPU, and there is no GPU.",
            "Load the model with a dynamic cache.",
        )
    config = model.config.get_text_config(decoder=True)
    try:
        if settings.cache == "static":
            return transformers.StaticCache(config=config, max_cache_len=settings.context)
        if settings.cache == "quantized":
            return _quantized(config, settings)
        return transformers.DynamicCache(config=config, offloading=settings.cache == "offloaded")
    except (ValueError, RuntimeError) as error:
        message = f"This model cannot have a {settings.cache} cache: {first_line(error)}"
        raise EngineError(message, "Load the model with a dynamic cache.") from error


def _quantized(config: Any, settings: TransformersSettings) -> Any:
    backend, bits, package = _QUANTIZED.get(settings.kv_precision, _QUANTIZED["q4_0"])
    try:
        return transformers.QuantizedCache(backend, config, nbits=bits)
    except ImportError as error:
        raise EngineError(
            f"A KV cache of {bits} bits needs the package {package}, which is not installed.",
            f"Install it (pip install {package}), or keep the cache in the model's own precision.",
        ) from error


def has_state(cache: Any) -> bool:
    """Whether a layer carries a recurrent state, which padding before a prompt would change."""
    return any(isinstance(layer, cache_utils.LinearAttentionCacheLayerMixin) for layer in cache.layers)


class Prefix:
    """The cache of the last single prompt and its answer, for a next one that begins alike.

    It holds no more than a generation may: one cache within the context. It is given away before anything else is
    computed, so there are never two.
    """

    def __init__(self, model: Any, settings: TransformersSettings) -> None:
        self._works = settings.cache == "dynamic" and not _moves_with_length(model.config)
        self._kept: tuple[Any, list[int]] | None = None

    def take(self, tokens: Sequence[int]) -> tuple[Any, int]:
        """The kept cache cut to what it shares with a prompt, and how many tokens that is; (None, 0) if none.

        At most all tokens but one: the last one's logits have to be computed.
        """
        kept, self._kept = self._kept, None
        if kept is None:
            return None, 0
        cache, cached = kept
        shared = _shared(cached, tokens[:-1])
        surplus = len(cached) - shared
        if not shared or (surplus and not _can_be_cut(cache)):
            return None, 0
        if surplus:
            cache.crop(-surplus)
        return cache, shared

    def keep(self, cache: Any, tokens: Sequence[int]) -> None:
        """Keep the cache of one sequence that began with these tokens, if its kind can be used again."""
        if self._works and cache is not None and all(_is_plain(layer) for layer in cache.layers):
            self._kept = cache, list(tokens[: cache.get_seq_length()])

    def drop(self) -> None:
        """Free what is kept."""
        self._kept = None


def _shared(old: Sequence[int], new: Sequence[int]) -> int:
    """Length of the beginning that both have."""
    differ = (n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b)
    return next(differ, min(len(old), len(new)))


def _is_plain(layer: Any) -> bool:
    """A layer that a longer prompt can go on from. (Exactly these classes: what derives from them adds states.)"""
    return type(layer) in (_FULL, _SLIDING, cache_utils.DummyLayer)


def _can_be_cut(cache: Any) -> bool:
    """A sliding layer that is full has forgotten what a shorter prompt would need."""
    return all(
        type(layer) is not _SLIDING or layer.get_seq_length() < layer.sliding_window for layer in cache.layers
    )


def _moves_with_length(config: Any) -> bool:
    """Whether a position's rotation depends on how long the text gets, or on images before it."""
    return any(
        (key in ("rope_type", "type") and value in ("dynamic", "longrope", "su")) or "mrope" in key
        for key, value in _items(config.to_dict())
    )


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    for key, inner in value.items() if isinstance(value, Mapping) else ():
        yield str(key), inner
        yield from _items(inner)
