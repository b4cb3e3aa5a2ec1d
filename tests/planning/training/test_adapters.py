"""LoRA's adapters are those that peft adds, to the parameter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import header_checkpoint
import pytest
from training_models import facts_of

from shoestring.planning.training.adapters import adapter_parameters, adapters_unknown
from shoestring.planning.transformers.modules import modules

pytestmark = [  # what peft itself says of these models
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False:UserWarning"),
    pytest.mark.filterwarnings("ignore:The following .*_pattern keys did not match:RuntimeWarning"),
]
FAMILIES = ("llama-3-8b", "qwen2-7b", "gemma-3-270m", "phi-3-mini", "gpt2", "mixtral-8x7b", "falcon-7b")


def counted(folder: Path, config: Any, rank: int) -> int:
    facts = facts_of(folder, config)
    return adapter_parameters(facts, modules(facts), rank)


def test_rank_8_on_all_linear_layers_of_llama_3_8b_is_20_971_520_parameters(tmp_path: Path) -> None:
    assert counted(tmp_path / "model", header_checkpoint.FAMILIES["llama-3-8b"](), 8) == 20_971_520


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_gets_what_peft_gives_it(family: str, tmp_path: Path) -> None:
    make: Callable[[], Any] = header_checkpoint.FAMILIES[family]

    assert counted(tmp_path / "model", make(), 8) == _trainable(make())


def test_no_rank_no_adapter(tmp_path: Path) -> None:
    assert counted(tmp_path / "model", header_checkpoint.FAMILIES["smollm2-135m"](), 0) == 0


def test_peft_refuses_state_space_layers_and_so_there_is_no_figure(tmp_path: Path) -> None:
    facts = facts_of(tmp_path / "model", header_checkpoint.FAMILIES["mamba-130m"]())

    assert "mamba" in (adapters_unknown(facts) or "")


def _trainable(config: Any) -> int:
    import peft

    lora = peft.LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM")
    model = peft.get_peft_model(header_checkpoint.meta_model(config), lora, low_cpu_mem_usage=True)
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
