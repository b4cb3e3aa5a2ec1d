"""The formula for kept activations is what autograd really saves, family by family."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from planning_facts import make_facts, make_machine
from training_models import TINY, facts_of, kept

from shoestring.planning.base import CPU, TrainingSettings
from shoestring.planning.training import loss
from shoestring.planning.training.model import TrainingMemory, blocks_of, outside_bytes

pytestmark = [  # what peft itself says of these models, nothing that we could do otherwise
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False:UserWarning"),
    pytest.mark.filterwarnings("ignore:The following .*_pattern keys did not match:RuntimeWarning"),
]
LORA = TrainingSettings(8, 2, method="lora", precision="bf16", lora_rank=4, gradient_checkpointing=False)
FULL = dataclasses.replace(LORA, method="full", lora_rank=0)
WAYS = {
    "lora bf16": LORA,
    "lora fp32": dataclasses.replace(LORA, precision="fp32", compute_dtype="fp32"),
    "full bf16": FULL,
    "full fp32": dataclasses.replace(FULL, precision="fp32", compute_dtype="fp32"),
    "lora bf16 eager": dataclasses.replace(LORA, attention="eager"),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("family", TINY)
def test_a_block_keeps_what_autograd_saves(family: str, way: str, tmp_path: Path) -> None:
    settings = WAYS[way]
    if family == "gemma2":
        settings = dataclasses.replace(settings, attention="eager")
    facts = facts_of(tmp_path / "model", TINY[family]())

    predicted = blocks_of(facts, settings)[-1].kept_bytes()

    assert predicted == pytest.approx(kept(TINY[family], settings).block, rel=0.001)


@pytest.mark.parametrize("way", WAYS)
def test_head_and_loss_keep_an_fp32_value_for_every_word_of_every_position(way: str, tmp_path: Path) -> None:
    settings = WAYS[way]
    facts = facts_of(tmp_path / "model", TINY["llama"]())
    width = 4 if settings.compute_dtype == "fp32" else 2

    blocks = sum(block.kept_bytes() for block in blocks_of(facts, settings))
    predicted = blocks + outside_bytes(facts, settings) + loss.kept_bytes(facts, 16, width)

    assert predicted == pytest.approx(
        kept(TINY["llama"], settings).total, rel=0.03
    )  # LoRA's first input needs no gradient


@pytest.mark.parametrize("family", ["llama", "gemma3_text", "gpt2", "qwen3"])
def test_with_checkpointing_a_block_keeps_its_input_alone(family: str, tmp_path: Path) -> None:
    settings = dataclasses.replace(LORA, gradient_checkpointing=True)
    facts = facts_of(tmp_path / "model", TINY[family]())

    assert blocks_of(facts, settings)[-1].input_bytes() == kept(TINY[family], settings).block


def test_an_architecture_that_was_never_looked_at_has_no_figure() -> None:
    facts = make_facts(architecture="unheard-of")

    estimate = TrainingMemory().estimate(facts, LORA, make_machine(), (CPU,))

    assert "unheard-of" in estimate.missing["activations"]
