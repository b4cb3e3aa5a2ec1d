"""What a worker holds besides weights, cache and activations."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from planning_facts import make_facts, make_tokenizer, tensors_of

from shoestring.planning.base import LlamaCppSettings
from shoestring.planning.llama_cpp.runtime import (
    graph_bytes,
    reused_bytes,
    sampling_bytes,
    untouched_bytes,
    vocabulary_bytes,
    work_bytes,
)


def test_a_token_takes_its_three_strings_a_map_node_a_bucket_and_its_records() -> None:
    # 172,933 buckets hold 100,000 tokens; heap blocks of 48 bytes hold strings of up to 15
    assert vocabulary_bytes(make_tokenizer(100_000)) == 100_000 * (3 * 48 + 48 + 16 + 8 + 4) + 8 * 172_933


def test_long_strings_take_larger_blocks() -> None:
    short, long = make_tokenizer(1000), make_tokenizer(1000, long_tokens=1000)
    assert vocabulary_bytes(long) - vocabulary_bytes(short) == 3 * 1000 * (20 + 24 + 1 + 8 + 7.5 - 48)


def test_merges_take_three_strings_and_a_node_each_and_one_table_of_all_code_points() -> None:
    without, merges = make_tokenizer(1000), make_tokenizer(1000, merges=10_000)
    difference = vocabulary_bytes(merges) - vocabulary_bytes(without)
    assert difference == 10_000 * 4 * 48 + 8 * 10_273 + 2 * 0x110000


def test_a_small_output_buffer_takes_the_place_of_freed_records_and_a_larger_one_does_not() -> None:
    tokenizer = make_tokenizer(1000)
    assert reused_bytes(tokenizer, 16_000) == 16_000
    assert reused_bytes(tokenizer, 20_000) == 0


def test_small_graphs_have_a_least_size() -> None:
    assert graph_bytes(make_facts(layers=1)) - graph_bytes(make_facts(layers=2)) > -20_000
    assert graph_bytes(make_facts(layers=60)) > 3 * graph_bytes(make_facts(layers=1))


def test_work_space_holds_one_micro_batch_as_wide_as_the_widest_input() -> None:
    settings = LlamaCppSettings(context=2048)
    assert work_bytes(make_facts(feed_forward=1536), settings) == 512 * 1536 * 34 // 32


def test_plain_weights_need_no_work_space() -> None:
    facts = replace(make_facts(), tensors=tensors_of(("token_embd.weight", (256, 1000), "F32")))
    assert work_bytes(facts, LlamaCppSettings(context=2048)) == 0


def test_without_flash_attention_the_work_space_holds_all_attention_weights() -> None:
    settings = LlamaCppSettings(context=2048, flash_attention=False)
    assert work_bytes(make_facts(heads=4), settings) == 2 * 512 * 4 * 2048


@given(st.integers(1, 300_000), st.integers(0, 300_000))
def test_larger_vocabularies_take_more(tokens: int, merges: int) -> None:
    here = vocabulary_bytes(make_tokenizer(tokens, merges))
    assert here < vocabulary_bytes(make_tokenizer(tokens + 1, merges))
    assert here < vocabulary_bytes(make_tokenizer(tokens, merges + 1))


def test_every_sequence_has_its_own_candidates() -> None:
    facts = make_facts(vocabulary=1000)
    assert sampling_bytes(facts, LlamaCppSettings(context=512, batch=3)) == 3 * 12 * 1000


def test_room_for_embeddings_from_outside_is_never_touched() -> None:
    facts = make_facts(hidden=64)
    assert untouched_bytes(facts, LlamaCppSettings(context=2048)) == 2 * 64 * 512 * 4
    assert untouched_bytes(facts, LlamaCppSettings(context=256)) == 2 * 64 * 256 * 4
    assert untouched_bytes(facts, LlamaCppSettings(context=2048, gpu_layers=1)) == 0
