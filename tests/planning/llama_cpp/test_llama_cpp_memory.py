"""llama.cpp's memory, block by block and device by device."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning_facts import GB, make_facts, make_machine, tensors_of

from shoestring.hardware.base import Gpu
from shoestring.models.facts import ExpertFacts, ModelFacts
from shoestring.planning.base import CPU, LlamaCppSettings
from shoestring.planning.llama_cpp.kv_cache import kv_cache_bytes
from shoestring.planning.llama_cpp.model import LlamaCppMemory
from shoestring.planning.llama_cpp.offload import placement
from shoestring.planning.placement import peak_by_device, place

SETTINGS = LlamaCppSettings(context=512)
MACHINE = make_machine()
MEMORY = LlamaCppMemory()
FACTS = make_facts(layers=6)


def mixture(layers: int = 4) -> ModelFacts:
    """A model whose blocks have 8 experts, 2 of them used."""
    plain = make_facts(layers=layers)
    experts = tensors_of(
        *[
            (f"blk.{i}.ffn_{name}_exps.weight", (256, 512, 8), "Q8_0")
            for i in range(layers)
            for name in ("up", "down")
        ]
    )
    blocks = tuple(replace(layer, experts=ExpertFacts(8, 2, 512)) for layer in plain.layers)
    return replace(plain, tensors=(*plain.tensors, *experts), layers=blocks)


def test_units_hold_all_weights_and_all_cache() -> None:
    units = MEMORY.units(FACTS, SETTINGS, MACHINE)
    assert [unit.name for unit in units] == ["input", *(f"blk.{i}" for i in range(6)), "output"]
    assert sum(unit.weights for unit in units) == FACTS.weights.total_bytes
    assert sum(unit.kv_cache for unit in units) == kv_cache_bytes(FACTS, SETTINGS)


def test_a_mixture_s_experts_are_units_that_are_read_in_part() -> None:
    units = {unit.name: unit for unit in MEMORY.units(mixture(), SETTINGS, MACHINE)}
    experts = units["blk.1.experts"]
    assert experts.read == experts.weights // 4
    assert units["blk.1"].read == units["blk.1"].weights


def test_every_byte_of_weights_and_cache_is_charged_once_whatever_the_split() -> None:
    whole = MEMORY.estimate(FACTS, SETTINGS, MACHINE, (CPU,) * 8)
    split = MEMORY.estimate(FACTS, SETTINGS, MACHINE, (CPU, *[CPU] * 3, *["gpu0"] * 3, CPU))
    for group in ("weights", "kv_cache"):
        sums = [sum(term.bytes for term in found.terms if term.group == group) for found in (whole, split)]
        assert sums[0] == sums[1]


def test_a_head_that_is_the_embedding_is_a_copy_on_a_gpu() -> None:
    tied = replace(
        FACTS, tensors=tuple(tensor for tensor in FACTS.tensors if tensor.name != "output.weight"), tied=True
    )
    on_gpu = MEMORY.estimate(tied, SETTINGS, MACHINE, (CPU, *["gpu0"] * 7))
    embedding = next(tensor.n_bytes for tensor in tied.tensors if tensor.name == "token_embd.weight")
    held = {term.device: term.bytes for term in on_gpu.terms if term.name in ("weights", "weights_mapped")}
    assert held[CPU] == embedding
    assert held["gpu0"] == sum(tensor.n_bytes for tensor in tied.tensors)


def test_a_gpu_s_context_is_counted_and_its_figures_are_said_to_be_unmeasured() -> None:
    found = MEMORY.estimate(FACTS, SETTINGS, MACHINE, (CPU, *["gpu0"] * 7))
    assert any(term.name == "cuda_context" and term.device == "gpu0" for term in found.terms)
    assert any("never measured" in note for note in found.notes)


def test_without_a_vocabulary_the_runtime_has_no_figure() -> None:
    found = MEMORY.estimate(replace(FACTS, tokenizer=None), SETTINGS, MACHINE, (CPU,) * 8)
    assert "vocabulary" in found.missing["runtime"]


@pytest.mark.parametrize("facts", [FACTS, mixture()], ids=["dense", "mixture"])
@settings(deadline=None, max_examples=30)
@given(gpus=st.lists(st.integers(0, 40_000_000), min_size=1, max_size=3), overhead=st.booleans())
def test_the_settings_make_the_engine_place_what_the_plan_says(
    facts: ModelFacts, gpus: list[int], overhead: bool
) -> None:
    context = 512 * 1024**2 if overhead else 540 * 10**6
    budgets = {f"gpu{i}": n_bytes + context for i, n_bytes in enumerate(gpus)} | {CPU: GB}
    machine = replace(MACHINE, gpus=(Gpu("a GPU", GB, GB, None, None, None, None),) * len(gpus))
    found = place(MEMORY, facts, SETTINGS, machine, budgets)
    assert isinstance(found.settings, LlamaCppSettings)
    assert found.assignment == tuple(placement(facts, found.settings, len(gpus)).values())
    assert all(
        peak_by_device(found.estimate).get(f"gpu{i}", 0) <= budgets[f"gpu{i}"] for i in range(len(gpus))
    )
