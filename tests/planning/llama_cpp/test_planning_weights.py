"""Weights as they lie in memory."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from planning_facts import make_facts, tensors_of

from shoestring.models.facts import ModelFacts
from shoestring.planning.base import LlamaCppSettings
from shoestring.planning.llama_cpp.weights import held, mapped_bytes

SETTINGS = LlamaCppSettings(context=512)
AVX2 = ("avx2",)
EMBEDDING = ("token_embd.weight", (256, 1000), "Q4_0")
HEAD = ("output.weight", (256, 1000), "Q4_0")
MATRIX = ("blk.0.ffn_up.weight", (256, 512), "Q4_0")
NORM = ("output_norm.weight", (256,), "F32")


def mapped(facts: ModelFacts, settings: LlamaCppSettings, features: tuple[str, ...]) -> int:
    return mapped_bytes([held(facts.tensors, settings, features, tied=facts.tied)], settings)


def rearranged(facts: ModelFacts, settings: LlamaCppSettings, features: tuple[str, ...]) -> int:
    return held(facts.tensors, settings, features, tied=facts.tied).rearranged


def test_the_whole_tensor_region_is_mapped_where_nothing_is_rearranged() -> None:
    facts = make_facts()
    assert mapped(facts, SETTINGS, AVX2) == facts.weights.total_bytes
    assert rearranged(facts, SETTINGS, AVX2) == 0


def test_rearranged_matrices_are_held_twice_when_they_lie_between_others() -> None:
    facts = replace(make_facts(), tensors=tensors_of(EMBEDDING, HEAD, MATRIX, NORM))
    assert mapped(facts, SETTINGS, AVX2) == sum(t.n_bytes for t in facts.tensors)
    assert rearranged(facts, SETTINGS, AVX2) == sum(t.n_bytes for t in facts.tensors[1:3])


def test_rearranged_matrices_at_the_end_are_unmapped() -> None:
    facts = replace(make_facts(), tensors=tensors_of(EMBEDDING, NORM, HEAD, MATRIX))
    assert mapped(facts, SETTINGS, AVX2) == sum(t.n_bytes for t in facts.tensors[:2])


def test_an_embedding_is_copied_only_where_it_serves_as_the_head() -> None:
    tied = replace(make_facts(), tensors=tensors_of(EMBEDDING, NORM), tied=True)
    untied = replace(make_facts(), tensors=tensors_of(EMBEDDING, ("output.weight", (256, 1000), "Q8_0")))
    assert rearranged(tied, SETTINGS, AVX2) == tied.tensors[0].n_bytes
    assert mapped(tied, SETTINGS, AVX2) == sum(t.n_bytes for t in tied.tensors)
    assert rearranged(untied, SETTINGS, AVX2) == 0


def test_only_row_counts_that_the_kernels_take_are_rearranged() -> None:
    odd = replace(
        make_facts(), tensors=tensors_of(EMBEDDING, HEAD, ("blk.0.ffn_up.weight", (256, 509), "Q4_0"))
    )
    assert rearranged(odd, SETTINGS, AVX2) == odd.tensors[1].n_bytes


def test_what_is_rearranged_depends_on_the_processor_and_may_be_switched_off() -> None:
    facts = make_facts()  # Q8_0: rearranged on ARM only
    assert rearranged(facts, SETTINGS, ("dotprod", "neon")) > 0
    assert rearranged(facts, SETTINGS, ()) == 0
    assert rearranged(facts, LlamaCppSettings(context=512, repack=False), ("dotprod",)) == 0


def test_without_mapping_only_what_is_used_in_place_is_read() -> None:
    facts = replace(make_facts(), tensors=tensors_of(EMBEDDING, HEAD, NORM))
    settings = LlamaCppSettings(context=512, mmap=False)
    assert mapped(facts, settings, AVX2) == facts.tensors[0].n_bytes + facts.tensors[2].n_bytes


def test_tables_that_are_only_looked_up_are_not_rearranged() -> None:
    facts = replace(make_facts(), tensors=tensors_of(("position_embd.weight", (256, 1024), "Q4_0")))
    assert rearranged(facts, SETTINGS, AVX2) == 0


@given(st.integers(0, 4), st.booleans())
def test_parts_take_together_what_all_their_tensors_take(cut: int, mmap: bool) -> None:
    settings, tensors = replace(SETTINGS, mmap=mmap), tensors_of(EMBEDDING, HEAD, MATRIX, NORM)
    parts = [held(own, settings, AVX2, tied=False) for own in (tensors[:cut], tensors[cut:])]
    whole = held(tensors, settings, AVX2, tied=False)
    assert mapped_bytes(parts, settings) == mapped_bytes([whole], settings)
    assert sum(part.rearranged for part in parts) == whole.rearranged
