"""Every byte is charged to the device that holds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from shoestring.hardware.base import Cpu, Disk, Gpu, Hardware, Memory
from shoestring.models.facts import ModelFacts
from shoestring.planning.base import CPU, DISK, Estimate, TransformersSettings
from shoestring.planning.transformers.model import TransformersMemory
from shoestring.planning.transformers.weights import weights_bytes

GIB = 1024**3
LAPTOP = Hardware(Cpu("x", 4, 8, ("avx2",)), Memory(16 * GIB, 12 * GIB, None), (), Disk("/", 100 * GIB))
T4 = replace(LAPTOP, gpus=(Gpu("Tesla T4", 15 * GIB, 15 * GIB, None, None, (7, 5), False),))
SETTINGS = TransformersSettings(context=2048)
MEMORY = TransformersMemory()


def estimate(
    facts: ModelFacts,
    devices: Callable[[int], tuple[str, ...]],
    settings: TransformersSettings = SETTINGS,
    hardware: Hardware = LAPTOP,
) -> Estimate:
    return MEMORY.estimate(facts, settings, hardware, devices(len(MEMORY.units(facts, settings, hardware))))


def on(device: str) -> Callable[[int], tuple[str, ...]]:
    return lambda n: (device,) * n


def held(found: Estimate, group: str, device: str) -> int:
    return sum(t.bytes for t in found.terms if t.group == group and t.device == device)


def test_units_are_the_model_in_order_and_weigh_what_it_weighs(
    facts_of: Callable[[str], ModelFacts],
) -> None:
    facts = facts_of("mixtral-8x7b")
    units = MEMORY.units(facts, SETTINGS, LAPTOP)
    assert [u.name for u in units[:3]] == ["embedding", "model.layers.0", "model.layers.0.experts"]
    assert units[-1].name == "head"
    assert sum(u.weights for u in units) == weights_bytes(facts, "bf16", "bf16")


def test_of_a_mixture_only_the_experts_used_are_read(facts_of: Callable[[str], ModelFacts]) -> None:
    experts = MEMORY.units(facts_of("mixtral-8x7b"), SETTINGS, LAPTOP)[2]
    assert experts.read == experts.weights // 4


def test_a_tied_head_reads_the_embedding(facts_of: Callable[[str], ModelFacts]) -> None:
    head = MEMORY.units(facts_of("smollm2-135m"), SETTINGS, LAPTOP)[-1]
    assert head.read - head.weights == 49152 * 576 * 2


def test_on_a_gpu_the_worker_stays_in_main_memory(facts_of: Callable[[str], ModelFacts]) -> None:
    found = estimate(facts_of("llama-3.2-1b"), on("gpu0"), hardware=T4)
    assert held(found, "weights", CPU) == held(found, "kv_cache", CPU) == 0
    assert held(found, "runtime", CPU) > 300_000_000
    assert held(found, "kv_cache", "gpu0") == 2048 * 16 * 2 * 8 * 64 * 2
    assert any("never measured" in note for note in found.notes)


def test_blocks_in_main_memory_are_computed_on_the_gpu_and_keep_their_cache_there(
    facts_of: Callable[[str], ModelFacts],
) -> None:
    facts = facts_of("llama-3.2-1b")
    found = estimate(facts, lambda n: ("gpu0",) * (n - 5) + (CPU,) * 5, hardware=T4)
    assert held(found, "kv_cache", CPU) == held(found, "compute", CPU) == 0
    assert held(found, "weights", CPU) > 0
    assert "part_in_passing" in {t.name for t in found.terms if t.device == "gpu0"}


def test_what_is_on_the_disk_takes_no_memory_but_for_the_part_in_passing(
    facts_of: Callable[[str], ModelFacts],
) -> None:
    facts = facts_of("llama-3-8b")
    units = MEMORY.units(facts, SETTINGS, LAPTOP)
    found = estimate(facts, on(DISK))
    assert held(found, "weights", CPU) == pytest.approx(max(u.weights for u in units), abs=1000)


def test_a_4_bit_model_is_not_split_between_gpu_and_main_memory(
    facts_of: Callable[[str], ModelFacts],
) -> None:
    settings = replace(SETTINGS, precision="nf4", compute_dtype="fp16")
    found = estimate(facts_of("llama-3-8b"), lambda n: ("gpu0",) * (n - 1) + (CPU,), settings, T4)
    assert "bitsandbytes" in found.missing["weights"]


def test_loading_in_4_bits_has_one_full_matrix_beside_the_packed_ones(
    facts_of: Callable[[str], ModelFacts],
) -> None:
    facts = facts_of("llama-3-8b")
    found = estimate(facts, on("gpu0"), replace(SETTINGS, precision="nf4", compute_dtype="fp16"), T4)
    packed = held(found, "weights", "gpu0")
    assert packed < found.load_peak["gpu0"] < packed + 3 * GIB


def test_experts_that_stay_in_16_bits_are_told_of(facts_of: Callable[[str], ModelFacts]) -> None:
    found = estimate(facts_of("mixtral-8x7b"), on("gpu0"), replace(SETTINGS, precision="nf4"), T4)
    assert any("Experts" in note for note in found.notes)


def test_recurrent_layers_have_a_cache_and_no_figure_for_their_working_memory(
    facts_of: Callable[[str], ModelFacts],
) -> None:
    found = estimate(facts_of("mamba-130m"), on(CPU))
    assert "kv_cache" not in found.missing
    assert "reference code" in found.missing["compute"]


def test_a_model_without_a_vocabulary_says_so(facts_of: Callable[[str], ModelFacts]) -> None:
    assert "vocabulary" in estimate(facts_of("llama-3-8b"), on(CPU)).missing["runtime"]


def test_an_architecture_whose_code_was_not_read_has_no_figure_for_its_working_memory(
    facts_of: Callable[[str], ModelFacts],
) -> None:
    facts = replace(facts_of("llama-3.2-1b"), architecture="llama5")
    assert "llama5" in estimate(facts, on(CPU)).missing["compute"]


def test_several_sequences_are_taken_to_be_of_one_length_and_the_plan_says_so(
    facts_of: Callable[[str], ModelFacts],
) -> None:
    facts = facts_of("llama-3.2-1b")
    assert not any("padding" in note for note in estimate(facts, on(CPU)).notes)
    two = estimate(facts, on(CPU), replace(SETTINGS, batch=2))
    assert any("padding" in note and "25.2 MB" in note for note in two.notes)


def test_4_bit_weights_that_bitsandbytes_cannot_rearrange_stay_as_they_were_made(
    facts_of: Callable[[str], ModelFacts],
) -> None:
    facts, nf4 = facts_of("gemma-3n-e2b"), replace(SETTINGS, precision="nf4")
    with_bf16 = replace(LAPTOP, cpu=replace(LAPTOP.cpu, features=("avx512_bf16",)))
    assert estimate(facts, on(CPU), nf4, with_bf16).terms == estimate(facts, on(CPU), nf4).terms


def test_weights_that_a_model_takes_out_of_their_layers_are_not_quantised(
    facts_of: Callable[[str], ModelFacts],
) -> None:
    facts = facts_of("mamba-130m")
    assert (
        "out of their layers"
        in estimate(facts, on(CPU), replace(SETTINGS, precision="nf4")).missing["weights"]
    )
    assert "weights" not in estimate(facts, on(CPU)).missing
