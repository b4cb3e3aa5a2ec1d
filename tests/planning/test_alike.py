"""Experts that differ in their number alone stand for each other; whatever else there is stands for itself."""

from __future__ import annotations

from dataclasses import replace

from planning_facts import make_facts

from shoestring.models.facts import ModelFacts, TensorInfo
from shoestring.planning.alike import alike


def facts_with(*names: str) -> ModelFacts:
    tensors = tuple(TensorInfo(name, (8, 4), "BF16", 64, 64 * i) for i, name in enumerate(names))
    return replace(make_facts(), format="safetensors", tensors=tensors)


def counted(*names: str) -> list[tuple[str, int]]:
    return [(tensor.name, count) for tensor, count in alike(facts_with(*names))]


def test_the_first_expert_of_a_block_stands_for_all() -> None:
    experts = [f"layers.{layer}.mlp.experts.{i}.up_proj.weight" for layer in (0, 1) for i in range(256)]
    assert counted("embed.weight", *experts, "norm.weight") == [
        ("embed.weight", 1),
        ("layers.0.mlp.experts.0.up_proj.weight", 256),
        ("layers.1.mlp.experts.0.up_proj.weight", 256),
        ("norm.weight", 1),
    ]


def test_matrices_of_another_name_are_others() -> None:
    assert counted("mlp.experts.0.w1.weight", "mlp.experts.0.w2.weight", "mlp.experts.1.w1.weight") == [
        ("mlp.experts.0.w1.weight", 2),
        ("mlp.experts.0.w2.weight", 1),
    ]


def test_biases_scales_and_experts_without_a_number_stand_for_themselves() -> None:
    names = (
        "mlp.experts.0.w1.bias",
        "mlp.experts.1.w1.bias",
        "mlp.experts.w1.weight",
        "mlp.experts.w2.weight",
    )
    assert counted(*names) == [(name, 1) for name in names]
