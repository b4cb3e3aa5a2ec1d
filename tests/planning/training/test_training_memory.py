"""The memory model of training: what is charged, where, and what has no figure."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import header_checkpoint
import pytest
from planning_facts import make_machine
from training_models import facts_of

from shoestring.models.facts import ModelFacts
from shoestring.planning.base import CPU, Estimate, TrainingSettings
from shoestring.planning.training.model import TrainingMemory

QLORA = TrainingSettings(512, 2)
LORA = TrainingSettings(512, 2, method="lora", precision="bf16")
FULL = TrainingSettings(64, 1, method="full", precision="fp32", compute_dtype="fp32", lora_rank=0)


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> ModelFacts:
    folder: Path = tmp_path_factory.mktemp("facts")
    return facts_of(folder / "model", header_checkpoint.FAMILIES["smollm2-135m"]())


def estimate(facts: ModelFacts, settings: TrainingSettings, device: str = CPU) -> Estimate:
    memory, machine = TrainingMemory(), make_machine()
    units = memory.units(facts, settings, machine)
    return memory.estimate(facts, settings, machine, (device,) * len(units))


def of_group(found: Estimate, group: str) -> int:
    return sum(term.bytes for term in found.terms if term.group == group)


def total(found: Estimate, device: str = CPU) -> int:
    return sum(term.bytes for term in found.terms if term.device == device)


def test_full_fine_tuning_in_fp32_takes_16_bytes_a_parameter(smollm2: ModelFacts) -> None:
    found = estimate(smollm2, FULL)
    taken = sum(of_group(found, group) for group in ("weights", "gradients", "optimizer"))

    assert taken == 16 * smollm2.parameters.total


def test_a_model_in_bf16_has_gradients_and_state_in_bf16(smollm2: ModelFacts) -> None:
    found = estimate(smollm2, dataclasses.replace(FULL, precision="bf16", compute_dtype="bf16"))
    taken = sum(of_group(found, group) for group in ("weights", "gradients", "optimizer"))

    assert taken == 8 * smollm2.parameters.total


def test_units_add_up_to_the_weights(smollm2: ModelFacts) -> None:
    units = TrainingMemory().units(smollm2, QLORA, make_machine())

    assert sum(unit.weights for unit in units) == of_group(estimate(smollm2, QLORA), "weights")


def test_checkpointing_needs_less_and_a_larger_micro_batch_more(smollm2: ModelFacts) -> None:
    without = dataclasses.replace(QLORA, gradient_checkpointing=False)
    larger = dataclasses.replace(QLORA, batch=4)

    assert (
        total(estimate(smollm2, QLORA))
        < total(estimate(smollm2, larger))
        < total(estimate(smollm2, dataclasses.replace(without, batch=4)))
    )


def test_accumulated_gradients_are_there_while_the_next_loss_is_taken(smollm2: ModelFacts) -> None:
    accumulated = estimate(smollm2, dataclasses.replace(LORA, accumulation=4))

    assert total(accumulated) - total(estimate(smollm2, LORA)) == of_group(accumulated, "gradients")


def test_on_a_gpu_the_worker_stays_in_main_memory(smollm2: ModelFacts) -> None:
    found = estimate(smollm2, QLORA, "gpu0")

    assert {term.name for term in found.terms if term.device == CPU} == {"worker"}
    assert set(found.load_peak) == {CPU, "gpu0"}
    assert any("never measured" in note for note in found.notes)


def test_paged_state_is_charged_to_main_memory(smollm2: ModelFacts) -> None:
    found = estimate(smollm2, dataclasses.replace(FULL, optimizer="paged_adamw"), "gpu0")
    paged = next(term for term in found.terms if term.name == "optimizer_paged")

    assert paged.device == CPU
    assert of_group(found, "optimizer") == 8 * smollm2.parameters.total


def test_automatic_mixed_precision_has_no_figure(smollm2: ModelFacts) -> None:
    found = estimate(smollm2, dataclasses.replace(FULL, compute_dtype="bf16"))

    assert "mixed precision" in found.missing["activations"]


def test_where_peft_refuses_adapters_nothing_of_them_has_a_figure(tmp_path: Path) -> None:
    facts = facts_of(tmp_path / "model", header_checkpoint.FAMILIES["mamba-130m"]())

    assert {"adapters", "gradients", "optimizer", "activations"} <= set(estimate(facts, LORA).missing)
