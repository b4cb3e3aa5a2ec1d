"""The modules of a checkpoint are those of the model that the library builds of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from shoestring.models.facts import ModelFacts
from shoestring.planning.transformers.modules import modules

FAMILIES = (
    *(
        "llama-3-8b",
        "qwen2-7b",
        "qwen3-30b-a3b",
        "gemma-2-9b",
        "gemma-3-4b",
        "phi-3-mini",
        "deepseek-v2-lite",
    ),
    *("mixtral-8x7b", "gpt2", "falcon-7b", "falcon-h1-0.5b", "jamba-v0.1", "mamba-130m", "gpt-oss-20b"),
)


@pytest.mark.parametrize("family", FAMILIES)
def test_linear_layers_are_the_libraries_by_name_and_shape(
    family: str, facts_of: Callable[[str], ModelFacts], model_of: Callable[[str], Any]
) -> None:
    import torch
    from transformers.pytorch_utils import Conv1D

    of_library = {
        name: tuple(reversed(m.weight.shape)) if isinstance(m, Conv1D) else tuple(m.weight.shape)
        for name, m in model_of(family).named_modules()
        if (type(m) is torch.nn.Linear or isinstance(m, Conv1D)) and name != "lm_head"
    }
    ours = {m.name: (m.out_features, m.in_features) for m in modules(facts_of(family)) if m.kind == "linear"}
    assert ours == of_library


@pytest.mark.parametrize("family", FAMILIES)
def test_parameters_are_the_libraries(
    family: str, facts_of: Callable[[str], ModelFacts], model_of: Callable[[str], Any]
) -> None:
    counted = sum(m.parameters + m.bias for m in modules(facts_of(family)))
    assert counted == sum(p.numel() for p in model_of(family).parameters())


def test_experts_become_one_parameter_a_block(facts_of: Callable[[str], ModelFacts]) -> None:
    first = [m for m in modules(facts_of("mixtral-8x7b")) if m.kind == "experts" and m.block == 0]
    assert [(m.name, m.count, m.parameters) for m in first] == [
        ("model.layers.0.mlp.experts.gate_up_proj", 16, 16 * 14336 * 4096),
        ("model.layers.0.mlp.experts.down_proj", 8, 8 * 14336 * 4096),
    ]


def test_a_tied_head_is_the_embedding(facts_of: Callable[[str], ModelFacts]) -> None:
    assert not [m for m in modules(facts_of("smollm2-135m")) if m.kind == "head"]


def test_a_tower_is_no_block_of_the_text_model(facts_of: Callable[[str], ModelFacts]) -> None:
    vision = [m for m in modules(facts_of("gemma-3-4b")) if m.tower == "vision"]
    assert vision
    assert all(m.block is None for m in vision)
