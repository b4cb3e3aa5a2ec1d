"""The cache is counted as the library's own cache classes allocate it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from shoestring.models.facts import ModelFacts
from shoestring.planning.base import TransformersSettings
from shoestring.planning.transformers.kv_cache import cache_bytes, growth_bytes

TOKENS, BATCH = 700, 2


def storage_bytes(cache: Any) -> int:
    """What the tensors of a cache hold: a view counts with all that it is a view of."""
    tensors = [
        t for layer in cache.layers for t in (getattr(layer, "keys", None), getattr(layer, "values", None))
    ]
    for layer in cache.layers:
        for states in (getattr(layer, "conv_states", None), getattr(layer, "recurrent_states", None)):
            tensors += list((states or {}).values())
    return sum(t.untyped_storage().nbytes() for t in tensors if t is not None)


@pytest.mark.parametrize(
    "family", ["llama-3.2-1b", "gemma-3-270m", "gpt2", "phi-3-mini", "deepseek-v2-lite", "gemma-3n-e2b"]
)
def test_after_a_prompt_every_layer_holds_all_of_it(
    family: str, facts_of: Callable[[str], ModelFacts], model_of: Callable[[str], Any]
) -> None:
    import torch

    ids = torch.zeros(BATCH, TOKENS, dtype=torch.long, device="meta")
    with torch.no_grad():
        out = model_of(family)(input_ids=ids, use_cache=True, logits_to_keep=1)
    settings = TransformersSettings(context=TOKENS, batch=BATCH)
    assert cache_bytes(facts_of(family), settings) == storage_bytes(out["cache"])


def test_llama_3_8b_at_8192_takes_one_gibibyte(facts_of: Callable[[str], ModelFacts]) -> None:
    assert cache_bytes(facts_of("llama-3-8b"), TransformersSettings(context=8192)) == 1024**3


def test_a_static_cache_gives_sliding_layers_their_window(facts_of: Callable[[str], ModelFacts]) -> None:
    facts = facts_of("mistral-7b")
    static = cache_bytes(facts, TransformersSettings(context=8192, cache="static"))
    assert static == cache_bytes(facts, TransformersSettings(context=4096))


def test_recurrent_layers_hold_the_same_at_any_context(facts_of: Callable[[str], ModelFacts]) -> None:
    facts = facts_of("mamba-130m")
    short, long = (cache_bytes(facts, TransformersSettings(context=n)) for n in (64, 65536))
    assert short == long == 24 * (1536 * 4 * 2 + 1536 * 16 * 4)


def test_growing_by_a_token_holds_one_layers_keys_twice(facts_of: Callable[[str], ModelFacts]) -> None:
    settings = TransformersSettings(context=8192)
    assert growth_bytes(facts_of("llama-3-8b"), settings) == 8192 * 8 * 128 * 2
