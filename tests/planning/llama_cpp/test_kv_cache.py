"""The key-value cache by formula."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from planning_facts import make_facts

from shoestring.planning.base import LlamaCppSettings
from shoestring.planning.llama_cpp.kv_cache import kv_cache_bytes


def test_counts_keys_and_values_of_every_layer_in_half_precision() -> None:
    facts = make_facts(layers=30, kv_heads=3, head_dim=64)
    smollm2 = 30 * 2 * 192 * 2 * 8192  # 180 MiB
    assert kv_cache_bytes(facts, LlamaCppSettings(context=8192)) == smollm2


def test_query_heads_do_not_count() -> None:
    few, many = make_facts(heads=4), make_facts(heads=16)
    settings = LlamaCppSettings(context=512)
    assert kv_cache_bytes(few, settings) == kv_cache_bytes(many, settings)


def test_sliding_layers_hold_their_window_and_one_micro_batch() -> None:
    facts = make_facts(layers=1, windows=(512,), kv_heads=1, head_dim=256)
    row = 2 * 256 * 2
    assert kv_cache_bytes(facts, LlamaCppSettings(context=8192)) == 1024 * row
    assert kv_cache_bytes(facts, LlamaCppSettings(context=8192, ubatch=64)) == 768 * row


def test_a_window_longer_than_the_context_holds_the_context() -> None:
    facts = make_facts(windows=(4096,))
    assert kv_cache_bytes(facts, LlamaCppSettings(context=1024)) == kv_cache_bytes(
        make_facts(), LlamaCppSettings(context=1024)
    )


def test_the_context_is_rounded_up_to_256_for_each_sequence() -> None:
    facts = make_facts()
    rounded = kv_cache_bytes(facts, LlamaCppSettings(context=1024, batch=3))
    assert kv_cache_bytes(facts, LlamaCppSettings(context=1000, batch=3)) == rounded


@pytest.mark.parametrize(("precision", "per_value"), [("f16", 2.0), ("q8_0", 1.0625), ("q4_0", 0.5625)])
def test_bytes_of_a_value(precision: str, per_value: float) -> None:
    facts = make_facts(layers=1, kv_heads=2, head_dim=64)
    settings = LlamaCppSettings(context=256, kv_precision=precision)  # type: ignore[arg-type]
    assert kv_cache_bytes(facts, settings) == 256 * 2 * 128 * per_value


@given(context=st.integers(2, 100_000), batch=st.integers(1, 64))
def test_grows_with_context_and_in_proportion_to_batch(context: int, batch: int) -> None:
    facts = make_facts(windows=(None, 512))
    one = kv_cache_bytes(facts, LlamaCppSettings(context=context))
    assert one <= kv_cache_bytes(facts, LlamaCppSettings(context=context + 1))
    if context >= 512:  # below, a window's micro-batch is cut by the whole context of all sequences
        assert kv_cache_bytes(facts, LlamaCppSettings(context=context, batch=batch)) == batch * one
