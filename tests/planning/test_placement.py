"""GPUs first, then main memory, then the disk; every engine by its own rule."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from planning_facts import GB, make_facts, make_machine

from shoestring.hardware.base import Gpu, Hardware
from shoestring.models.facts import ModelFacts
from shoestring.planning.base import (
    CPU,
    DISK,
    Assignment,
    EngineSettings,
    Estimate,
    LlamaCppSettings,
    Term,
    TrainingSettings,
    TransformersSettings,
    Unit,
    VllmSettings,
)
from shoestring.planning.placement import Placed, fits, peak_by_device, place

FACTS = make_facts()
MACHINE = make_machine()
A_GPU = Gpu("a GPU", GB, GB, None, None, None, None)
LLAMA_CPP = LlamaCppSettings(context=512)
TRANSFORMERS = TransformersSettings(context=512)
OFFLOADED = TransformersSettings(context=512, offload=True)


@dataclass(frozen=True)
class Toy:
    """Units of the given sizes; every device that is used needs `overhead` bytes besides."""

    sizes: tuple[tuple[str, int], ...]
    overhead: int = 0
    engine: str = "toy"

    def units(self, facts: ModelFacts, settings: EngineSettings, hardware: Hardware) -> tuple[Unit, ...]:
        return tuple(Unit(name, size) for name, size in self.sizes)

    def estimate(
        self, facts: ModelFacts, settings: EngineSettings, hardware: Hardware, assignment: Assignment
    ) -> Estimate:
        held = [
            Term("weights", "weights", device, size)
            for (_, size), device in zip(self.sizes, assignment, strict=True)
            if device != DISK
        ]
        runtime = [
            Term("runtime", "runtime", device, self.overhead) for device in {*assignment, CPU} - {DISK}
        ]
        return Estimate((*held, *runtime), {})


class _Uneven(Toy):
    """The overhead is the first GPU's alone."""

    def estimate(
        self, facts: ModelFacts, settings: EngineSettings, hardware: Hardware, assignment: Assignment
    ) -> Estimate:
        held = super().estimate(facts, settings, hardware, assignment)
        return replace(held, terms=tuple(t for t in held.terms if t.group == "weights" or t.device == "gpu0"))


def blocks(count: int, size: int = 10, experts: int = 0) -> tuple[tuple[str, int], ...]:
    """An input, blocks (each with its experts, if any) and an output."""
    found = [("input", size)]
    for i in range(count):
        found.append((f"blk.{i}", size))
        if experts:
            found.append((f"blk.{i}.experts", experts))
    return (*found, ("output", size))


def placed(
    sizes: tuple[tuple[str, int], ...], settings: EngineSettings, overhead: int = 0, **budgets: int
) -> Placed:
    return place(Toy(sizes, overhead), FACTS, settings, MACHINE, budgets)


class TestLlamaCpp:
    def test_without_a_gpu_everything_is_in_main_memory(self) -> None:
        assert set(placed(blocks(4), LLAMA_CPP, cpu=1000).assignment) == {CPU}

    def test_all_blocks_and_the_head_go_to_a_gpu_that_holds_them_but_never_the_input(self) -> None:
        found = placed(blocks(4), LLAMA_CPP, gpu0=50, cpu=1000)
        assert found.assignment == (CPU, *["gpu0"] * 5)
        assert isinstance(found.settings, LlamaCppSettings)
        assert found.settings.gpu_layers == 5

    def test_a_smaller_gpu_takes_the_head_and_the_last_blocks(self) -> None:
        found = placed(blocks(4), LLAMA_CPP, gpu0=25, cpu=1000)
        assert found.assignment == (CPU, CPU, CPU, CPU, "gpu0", "gpu0")
        assert isinstance(found.settings, LlamaCppSettings)
        assert (found.settings.gpu_layers, found.settings.tensor_split) == (2, ())

    def test_what_a_gpu_needs_besides_leaves_less_room(self) -> None:
        assert placed(blocks(4), LLAMA_CPP, 10, gpu0=25, cpu=1000).assignment.count("gpu0") == 1

    def test_two_unequal_gpus_share_in_proportion(self) -> None:
        two = replace(MACHINE, gpus=(A_GPU, A_GPU))
        found = place(Toy(blocks(11)), FACTS, LLAMA_CPP, two, {"gpu0": 40, "gpu1": 80, CPU: 1000})
        assert isinstance(found.settings, LlamaCppSettings)
        assert found.settings.tensor_split == (4, 8)
        assert found.assignment[1:5] == ("gpu0",) * 4

    def test_experts_stay_on_the_cpu_as_few_as_must(self) -> None:
        found = placed(blocks(4, experts=100), LLAMA_CPP, gpu0=50 + 250, cpu=1000)
        assert [device for device in found.assignment if device == CPU] == [CPU] * 3  # the input and two
        assert isinstance(found.settings, LlamaCppSettings)
        assert found.settings.cpu_expert_layers == 2
        assert found.settings.gpu_layers == 5

    def test_where_not_even_the_rest_fits_a_gpu_whole_blocks_stay_behind(self) -> None:
        found = placed(blocks(4, experts=100), LLAMA_CPP, gpu0=30, cpu=1000)
        assert [device for device in found.assignment if device != CPU] == ["gpu0"]


class TestTransformers:
    def test_what_gpus_cannot_hold_does_not_spill_unasked(self) -> None:
        found = placed(blocks(4), TRANSFORMERS, gpu0=25, cpu=1000)
        assert set(found.assignment) == {"gpu0"}
        assert not fits(found.estimate, {"gpu0": 25, CPU: 1000})

    def test_two_gpus_hold_it_together(self) -> None:
        found = placed(blocks(4), TRANSFORMERS, gpu0=35, gpu1=35, cpu=1000)
        assert found.assignment == ("gpu0",) * 3 + ("gpu1",) * 3

    def test_a_gpu_that_has_all_the_working_memory_takes_fewer_blocks(self) -> None:
        toy = _Uneven(blocks(4), overhead=30)
        found = place(toy, FACTS, TRANSFORMERS, MACHINE, {"gpu0": 50, "gpu1": 50, CPU: 1000})
        assert found.assignment == ("gpu0",) * 2 + ("gpu1",) * 4

    def test_devices_are_filled_in_the_model_s_order(self) -> None:
        found = placed(blocks(4), OFFLOADED, gpu0=25, cpu=1000)
        assert found.assignment == ("gpu0", "gpu0", CPU, CPU, CPU, CPU)
        assert isinstance(found.settings, TransformersSettings)
        assert found.settings.device_map[0] == ("input", "gpu0")

    def test_what_main_memory_cannot_hold_stays_on_the_disk(self) -> None:
        assert placed(blocks(4), OFFLOADED, cpu=35, disk=1000).assignment == (CPU,) * 3 + (DISK,) * 3

    def test_one_device_needs_no_map(self) -> None:
        found = placed(blocks(4), TRANSFORMERS, cpu=1000)
        assert isinstance(found.settings, TransformersSettings)
        assert found.settings.device_map == ()


def test_training_takes_the_first_gpu_that_holds_all_and_no_other_device() -> None:
    training = TrainingSettings(context=512)
    assert set(placed(blocks(4), training, gpu0=30, gpu1=90, cpu=1000).assignment) == {"gpu1"}
    assert set(placed(blocks(4), training, gpu0=30, cpu=1000).assignment) == {"gpu0"}
    assert set(placed(blocks(4), training, cpu=1000).assignment) == {CPU}


def test_one_gpu_of_several_is_named_to_llama_cpp() -> None:
    two = replace(MACHINE, gpus=(A_GPU, A_GPU))
    found = place(Toy(blocks(4)), FACTS, LLAMA_CPP, two, {"gpu1": 50, CPU: 1000})
    assert isinstance(found.settings, LlamaCppSettings)
    assert found.settings.tensor_split == (0, 5)


def test_a_gpu_too_small_for_a_block_gets_none() -> None:
    three = replace(MACHINE, gpus=(A_GPU, A_GPU, A_GPU))
    found = place(Toy(blocks(9)), FACTS, LLAMA_CPP, three, {"gpu0": 60, "gpu1": 1, "gpu2": 60, CPU: 1000})
    assert isinstance(found.settings, LlamaCppSettings)
    assert found.settings.tensor_split == (5, 0, 5)


def test_vllm_stays_on_a_gpu_even_where_it_does_not_fit() -> None:
    found = placed(blocks(4), VllmSettings(context=512), gpu0=30, cpu=1000)
    assert set(found.assignment) == {"gpu0"}


def test_what_fits_nowhere_is_charged_to_main_memory() -> None:
    found = placed(blocks(4), LLAMA_CPP, cpu=30)
    assert peak_by_device(found.estimate) == {CPU: 60}
    assert not fits(found.estimate, {CPU: 30})


@pytest.mark.parametrize("settings", [LLAMA_CPP, OFFLOADED])
@given(
    sizes=st.lists(st.integers(1, 50), min_size=3, max_size=12),
    gpus=st.lists(st.integers(0, 200), max_size=3),
    cpu=st.integers(0, 600),
    overhead=st.integers(0, 20),
)
def test_a_gpu_is_never_given_more_than_it_holds(
    settings: EngineSettings, sizes: list[int], gpus: list[int], cpu: int, overhead: int
) -> None:
    names = ["input", *(f"blk.{i}" for i in range(len(sizes) - 2)), "output"]
    budgets = {f"gpu{i}": n_bytes for i, n_bytes in enumerate(gpus) if n_bytes} | {CPU: cpu, DISK: GB}
    toy = Toy(tuple(zip(names, sizes, strict=True)), overhead)
    found = place(toy, FACTS, settings, MACHINE, budgets)
    peaks = peak_by_device(found.estimate)
    assert all(peaks.get(gpu, 0) <= budgets[gpu] for gpu in budgets if gpu.startswith("gpu"))
    assert len(found.assignment) == len(sizes)


def test_a_term_without_a_figure_never_fits() -> None:
    estimate = Estimate((), {}, {"kv_cache": "It is not known."})
    assert not fits(estimate, {CPU: GB})
    assert fits(replace(estimate, missing={}), {CPU: GB})
