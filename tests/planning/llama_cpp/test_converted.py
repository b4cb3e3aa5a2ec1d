"""The GGUF of a checkpoint: against llama.cpp's own conversion (recorded) and the `gguf` package's names."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import gguf
import header_checkpoint
import pytest
import random_gguf
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_cpp_files import RECORDED, checkpoint_facts
from planning_facts import WriteModel
from type_mix import converted_digest

from shoestring.errors import UsageError
from shoestring.models.facts import ModelFacts, QuantizationFacts, TokenizerFacts
from shoestring.models.gguf_facts import read_facts
from shoestring.models.safetensors_facts import read_checkpoint
from shoestring.models.source import FolderSource
from shoestring.planning.llama_cpp.converted import as_gguf, data_start, why_not_convertible

SLOW = {
    *("deepseek-v2-lite", "deepseek-v3", "llama-4-scout", "llama-3-70b", "llama-65b", "mixtral-8x7b"),
    *("qwen2-72b", "qwen3-30b-a3b", "qwen3-next-80b-a3b"),
}
"""Thousands of tensors, which the benchmark has."""


@pytest.fixture(scope="module")
def facts_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ModelFacts]:
    """A checkpoint's facts by the benchmark's name for it, read once."""
    folder = tmp_path_factory.mktemp("checkpoints")
    known: dict[str, ModelFacts] = {}

    def read(name: str) -> ModelFacts:
        if name not in known:
            known[name] = checkpoint_facts(folder, name)
        return known[name]

    return read


def _made(facts: ModelFacts, file_type: str = "BF16") -> ModelFacts:
    made = as_gguf(facts, file_type)
    assert made is not None
    return made


@pytest.mark.parametrize("name", sorted(set(RECORDED) - SLOW))
def test_names_shapes_and_types_are_those_of_the_conversion(
    name: str, facts_of: Callable[[str], ModelFacts]
) -> None:
    made = _made(facts_of(name))
    assert made.architecture == RECORDED[name]["architecture"]
    assert converted_digest(made.tensors) == RECORDED[name]["converted"]


MAPPED = {
    "llama-3-8b": "LLAMA",
    "qwen2-7b": "QWEN2",
    "qwen3-8b": "QWEN3",
    "gemma-2-9b": "GEMMA2",
    "gemma-3-270m": "GEMMA3",
    "phi-3-mini": "PHI3",
    "gpt2": "GPT2",
    "falcon-h1-0.5b": "FALCON_H1",
    "mamba-130m": "MAMBA",
    "olmo-2-7b": "OLMO2",
    "starcoder2-3b": "STARCODER2",
}


@pytest.mark.parametrize(("name", "architecture"), MAPPED.items())
def test_names_are_those_of_the_gguf_packages_table(
    name: str, architecture: str, facts_of: Callable[[str], ModelFacts]
) -> None:
    facts = facts_of(name)
    table = gguf.get_tensor_name_map(gguf.MODEL_ARCH[architecture], len(facts.layers))
    stored = [tensor.name.replace(".dt_bias", ".dt_proj.bias") for tensor in facts.tensors]
    expected = {table.get_name(tensor, try_suffixes=(".weight", ".bias")) for tensor in stored}
    assert {tensor.name for tensor in _made(facts).tensors} == expected


def test_experts_of_a_block_are_one_tensor(facts_of: Callable[[str], ModelFacts]) -> None:
    made = _made(facts_of("four-experts"))
    experts = {t.name: t.shape for t in made.tensors if "_exps" in t.name and t.name.startswith("blk.0.")}
    assert experts == {
        "blk.0.ffn_gate_exps.weight": (1024, 2816, 4),
        "blk.0.ffn_up_exps.weight": (1024, 2816, 4),
        "blk.0.ffn_down_exps.weight": (2816, 1024, 4),
    }


def test_a_compressed_cache_has_its_way_back_to_keys_and_values_by_head(
    facts_of: Callable[[str], ModelFacts],
) -> None:
    shapes = {tensor.name: tensor.shape for tensor in _made(facts_of("deepseek-v2-lite")).tensors}
    assert shapes["blk.0.attn_k_b.weight"] == (128, 512, 16)
    assert shapes["blk.0.attn_v_b.weight"] == (512, 128, 16)


def test_the_vision_tower_is_left_out(facts_of: Callable[[str], ModelFacts]) -> None:
    made = _made(facts_of("gemma-3-4b"))
    assert made.modalities == ("text",)
    assert all(re.match(r"blk\.\d+\.|token_embd\.|output_norm\.", tensor.name) for tensor in made.tensors)


def test_an_embedding_is_cut_to_the_tokenizer_where_the_conversion_does(
    facts_of: Callable[[str], ModelFacts],
) -> None:
    tokenizer = TokenizerFacts("llama", 262_144, 0, 0, 0, 0, 0, True, True, 2, 1, True, False)
    made = _made(replace(facts_of("gemma-3-4b"), tokenizer=tokenizer))
    assert made.vocab_size == 262_144
    assert made.tensors[1].shape == (2560, 262_144)


def test_windows_that_llama_cpp_does_not_apply_are_gone(facts_of: Callable[[str], ModelFacts]) -> None:
    def windows(name: str) -> set[int | None]:
        return {layer.attention.window for layer in _made(facts_of(name)).layers if layer.attention}

    assert windows("mistral-7b") == {None}
    assert windows("gemma-2-9b") == {None, 4096}


def test_totals_are_those_of_the_tensors(facts_of: Callable[[str], ModelFacts]) -> None:
    made = _made(facts_of("smollm2-135m"), "Q4_K_M")
    assert made.weights.total_bytes == sum(tensor.n_bytes for tensor in made.tensors)
    assert made.parameters.total == sum(tensor.n_elements for tensor in made.tensors) == 134_515_008
    last = made.tensors[-1]
    assert 0 <= made.file_bytes - (last.offset_bytes + last.n_bytes) < 32
    assert (made.format, made.files, made.tied) == ("gguf", (), True)


def test_a_mixtures_active_parameters_leave_out_the_idle_experts(
    facts_of: Callable[[str], ModelFacts],
) -> None:
    facts = facts_of("four-experts")
    assert _made(facts).parameters.active == facts.parameters.active


def test_a_gguf_file_is_requantised(write_model: WriteModel) -> None:
    facts = write_model(random_gguf.Shape())
    made = _made(facts, "Q4_K_M")
    assert {t.name for t in made.tensors} == {t.name for t in facts.tensors}
    assert (made.files, made.architecture, made.layers) == ((), facts.architecture, facts.layers)
    assert made.file_bytes < facts.file_bytes


def test_requantised_to_its_own_type_a_file_keeps_its_length(write_model: WriteModel) -> None:
    facts = write_model(random_gguf.Shape())
    assert _made(facts, "Q8_0").file_bytes == facts.file_bytes


def test_the_start_of_the_data_follows_from_tokenizer_and_tensors(write_model: WriteModel) -> None:
    facts = write_model(
        random_gguf.Shape(vocabulary=5_000, merges=4_000, hidden=64, feed_forward=64, layers=1)
    )
    start = min(tensor.offset_bytes for tensor in facts.tensors)
    assert data_start(facts, facts.tensors) == pytest.approx(start, abs=1500)


def test_an_architecture_without_rules_cannot_be_converted(
    facts_of: Callable[[str], ModelFacts],
) -> None:
    facts = replace(facts_of("smollm2-135m"), architecture="plamo9")
    assert as_gguf(facts, "Q4_K_M") is None
    assert "plamo9" in str(why_not_convertible(facts))


def test_keys_that_llama_cpp_asks_for_must_be_there(facts_of: Callable[[str], ModelFacts]) -> None:
    facts = facts_of("gemma-3n-e2b")
    last = "layers.29.self_attn.k_proj.weight"
    facts = replace(facts, tensors=tuple(t for t in facts.tensors if not t.name.endswith(last)))
    assert as_gguf(facts, "Q4_K_M") is None
    assert "layer 29" in str(why_not_convertible(facts))


def test_a_tensor_without_counterpart_cannot_be_converted(facts_of: Callable[[str], ModelFacts]) -> None:
    facts = facts_of("smollm2-135m")
    strange = replace(facts.tensors[0], name="model.layers.0.self_attn.z_proj.weight")
    facts = replace(facts, tensors=(*facts.tensors, strange))
    assert as_gguf(facts, "Q8_0") is None
    assert "z_proj" in str(why_not_convertible(facts))


def test_a_quantised_checkpoint_is_not_what_a_gguf_is_made_of(
    facts_of: Callable[[str], ModelFacts],
) -> None:
    facts = replace(facts_of("smollm2-135m"), quantization=QuantizationFacts("bitsandbytes", 4))
    assert as_gguf(facts, "Q8_0") is None
    assert "bitsandbytes" in str(why_not_convertible(facts))


def test_an_unknown_file_type_is_an_error_not_a_none(facts_of: Callable[[str], ModelFacts]) -> None:
    with pytest.raises(UsageError, match="Q9_0"):
        as_gguf(facts_of("smollm2-135m"), "Q9_0")


def test_half_precision_is_made_of_single_precision(tmp_path: Path) -> None:
    config = header_checkpoint.FAMILIES["smollm2-135m"]()
    folder = header_checkpoint.write(tmp_path / "single", config, dtype="float32")
    facts = read_checkpoint(FolderSource(folder), id="single")
    kept = {tensor.dtype for tensor in _made(facts, "Q4_K_M").tensors}
    assert kept == {"F32", "Q5_0", "Q8_0", "Q4_K", "Q6_K"}


def test_a_real_file_is_what_becomes_of_its_checkpoint(
    facts_of: Callable[[str], ModelFacts], smollm2_files: tuple[Path, ...]
) -> None:
    real = read_facts(smollm2_files, id="smollm2")
    checkpoint = replace(facts_of("smollm2-135m"), tokenizer=real.tokenizer, chat_template=real.chat_template)
    made = _made(checkpoint, "Q4_1")
    assert {t.name: (t.shape, t.dtype) for t in made.tensors} == {
        t.name: (t.shape, t.dtype) for t in real.tensors
    }
    assert (made.layers, made.parameters, made.weights) == (real.layers, real.parameters, real.weights)
    assert made.file_bytes == pytest.approx(real.file_bytes, abs=1500)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_tensor_of_any_shape_is_converted_or_refused(
    facts_of: Callable[[str], ModelFacts], data: st.DataObject
) -> None:
    facts = facts_of(data.draw(st.sampled_from(["four-experts", "gpt-oss-20b", "falcon-h1-0.5b", "gpt2"])))
    at = data.draw(st.integers(0, len(facts.tensors) - 1))
    shape = tuple(data.draw(st.lists(st.integers(0, 300), max_size=5)))
    tensors = list(facts.tensors)
    tensors[at] = replace(tensors[at], shape=shape)
    facts = replace(facts, tensors=tuple(tensors))
    made = as_gguf(facts, "Q4_K_M")
    assert (made is None) == (why_not_convertible(facts) is not None)
