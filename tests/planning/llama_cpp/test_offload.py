"""Where the parts of a model go, as llama.cpp's source has it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from planning_facts import make_facts

from shoestring.planning.base import CPU, LlamaCppSettings
from shoestring.planning.llama_cpp.blueprint import Blueprint
from shoestring.planning.llama_cpp.compute import buffers
from shoestring.planning.llama_cpp.offload import (
    copied_weight_bytes,
    layer_devices,
    placement,
    unit_of,
    units,
)


def test_the_last_layers_go_first_and_the_head_before_them() -> None:
    assert layer_devices(4, 2, (), 1) == (CPU, CPU, CPU, "gpu0", "gpu0")


def test_one_more_than_the_blocks_takes_everything_but_the_input() -> None:
    devices = placement(make_facts(layers=3), LlamaCppSettings(context=256, gpu_layers=4), 1)
    assert devices == {
        "input": CPU,
        "blk.0": "gpu0",
        "blk.1": "gpu0",
        "blk.2": "gpu0",
        "output": "gpu0",
    }


def test_more_layers_than_there_are_change_nothing() -> None:
    assert layer_devices(4, 99, (), 1) == ("gpu0",) * 5


@given(counts=st.lists(st.integers(0, 40), min_size=1, max_size=4).filter(any), rest=st.integers(0, 20))
def test_a_split_that_sums_to_the_layers_is_followed_to_the_layer(counts: list[int], rest: int) -> None:
    total = sum(counts)
    devices = layer_devices(total + rest - 1, total, counts, len(counts))
    assert [devices.count(f"gpu{i}") for i in range(len(counts))] == counts
    assert devices.count(CPU) == rest


def test_without_a_gpu_everything_is_on_the_cpu() -> None:
    assert set(layer_devices(4, 99, (1, 1), 0)) == {CPU}


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("token_embd.weight", "input"),
        ("position_embd.weight", "input"),
        ("per_layer_token_embd.weight", "input"),
        ("altup_proj.weight", "output"),
        ("output_norm.weight", "output"),
        ("output.weight", "output"),
        ("blk.11.attn_q.weight", "blk.11"),
        ("blk.11.ffn_gate_inp.weight", "blk.11"),
        ("blk.11.ffn_up_shexp.weight", "blk.11"),
        ("blk.11.ffn_gate_up_exps.weight", "blk.11.experts"),
    ],
)
def test_tensors_are_placed_with_their_part(name: str, unit: str) -> None:
    assert unit_of(name, "llama") == unit


def test_every_tensor_has_one_place() -> None:
    facts = make_facts(layers=3)
    assert sorted(i for places in units(facts).values() for i in places) == list(range(len(facts.tensors)))


def test_matrices_left_on_the_cpu_are_copied_to_the_gpu_for_a_prompt() -> None:
    facts = make_facts(layers=3)
    settings = LlamaCppSettings(context=256, gpu_layers=2)
    largest = {"input": 900, "blk.0": 50, "blk.1": 70, "blk.2": 80, "output": 900}
    assert copied_weight_bytes(largest, placement(facts, settings, 1), settings) == 70


def test_with_everything_on_the_gpu_nothing_is_copied() -> None:
    facts = make_facts(layers=3)
    settings = LlamaCppSettings(context=256, gpu_layers=4)
    largest = dict.fromkeys(units(facts), 70)
    assert copied_weight_bytes(largest, placement(facts, settings, 1), settings) == 0


def test_the_host_then_holds_less_than_a_whole_graph() -> None:
    facts, settings = make_facts(layers=3), LlamaCppSettings(context=4096)
    found = buffers(Blueprint(facts), settings)
    assert 0 < found.host < found.compute
