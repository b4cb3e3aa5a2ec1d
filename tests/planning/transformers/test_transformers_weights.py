"""Bytes of weights: against arithmetic anyone can check, and against bitsandbytes itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoestring.models.facts import ModelFacts
from shoestring.planning.transformers.modules import modules
from shoestring.planning.transformers.weights import (
    footprint_bytes,
    is_quantized,
    scale_bytes,
    weights_bytes,
)

EXACT = (
    *("llama-3-8b", "qwen2-7b", "qwen3-30b-a3b", "gemma-2-9b", "gemma-3-4b", "phi-3-mini", "mixtral-8x7b"),
    *("gpt2", "falcon-7b", "falcon-h1-0.5b", "jamba-v0.1", "mamba-130m", "gpt-oss-20b", "deepseek-v2-lite"),
)


@pytest.mark.parametrize("family", EXACT)
def test_the_footprint_in_16_bits_is_what_the_library_prints(
    family: str, facts_of: Callable[[str], ModelFacts], model_of: Callable[[str], Any]
) -> None:
    assert footprint_bytes(facts_of(family), "bf16", "bf16") == model_of(family).get_memory_footprint()


@pytest.mark.parametrize("family", EXACT)
def test_what_is_quantised_is_what_bitsandbytes_replaces(
    family: str, facts_of: Callable[[str], ModelFacts], model_of: Callable[[str], Any]
) -> None:
    import bitsandbytes
    from transformers import BitsAndBytesConfig
    from transformers.integrations.bitsandbytes import replace_with_bnb_linear
    from transformers.quantizers.base import get_keys_to_not_convert

    model = model_of(family)
    skipped = get_keys_to_not_convert(model) + list(model._keep_in_fp32_modules or ())
    config = BitsAndBytesConfig(load_in_4bit=True)
    replaced = replace_with_bnb_linear(model, modules_to_not_convert=skipped, quantization_config=config)
    of_library = {n for n, m in replaced.named_modules() if isinstance(m, bitsandbytes.nn.Linear4bit)}
    facts = facts_of(family)
    assert {m.name for m in modules(facts) if is_quantized(m, facts, "nf4")} == of_library


def test_llama_3_8b_packs_to_the_known_footprint(facts_of: Callable[[str], ModelFacts]) -> None:
    facts = facts_of("llama-3-8b")
    assert round(footprint_bytes(facts, "nf4", "bf16") / 1e6, 1) == 5591.5
    assert round(weights_bytes(facts, "bf16", "bf16") / 1e9, 2) == 16.06


@pytest.mark.parametrize("precision", ["nf4", "nf4-dq", "fp4", "fp4-dq"])
@pytest.mark.parametrize("shape", [(64, 64), (192, 576), (1536, 576), (96, 4304)])
def test_scales_are_those_that_bitsandbytes_makes(precision: str, shape: tuple[int, int]) -> None:
    import torch
    from bitsandbytes.functional import quantize_4bit

    double = precision.endswith("-dq")
    _, state = quantize_4bit(
        torch.ones(shape), blocksize=64, compress_statistics=double, quant_type=precision[:3]
    )
    tensors = [
        state.absmax,
        state.code,
        *((state.offset, state.state2.absmax, state.state2.code) if double else ()),
    ]
    held = sum(t.numel() * t.element_size() for t in tensors)
    assert scale_bytes(shape[0] * shape[1], double=double) == held


def test_int8_keeps_one_scale_a_row(facts_of: Callable[[str], ModelFacts]) -> None:
    facts = facts_of("smollm2-135m")
    rows = sum(m.out_features for m in modules(facts) if m.kind == "linear")
    int8 = weights_bytes(facts, "int8", "bf16")
    linear = sum(m.parameters for m in modules(facts) if m.kind == "linear")
    assert int8 == weights_bytes(facts, "bf16", "bf16") - linear + 4 * rows


def test_experts_are_not_quantised_and_stay_as_large_as_they_were(
    facts_of: Callable[[str], ModelFacts],
) -> None:
    facts = facts_of("mixtral-8x7b")
    experts = sum(m.parameters for m in modules(facts) if m.kind == "experts")
    assert weights_bytes(facts, "nf4", "bf16") > 2 * experts


@given(st.integers(1, 10**9))
def test_quantised_scales_never_take_more_than_plain_ones_but_for_their_table(parameters: int) -> None:
    table = 4 * 256
    assert scale_bytes(parameters, double=True) <= scale_bytes(parameters, double=False) + 8 + table
