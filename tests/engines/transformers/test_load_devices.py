"""Where parts go and what devices can do: decided on data, so that GPUs need not be there. None was ever run on one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoestring.engines.transformers.devices import (
    Gpu,
    attention_for,
    by_module,
    checked,
    gpus_of,
    places_of,
)
from shoestring.errors import EngineError
from shoestring.planning.base import TransformersSettings

T4, L4, RADEON = Gpu("Tesla T4", (7, 5)), Gpu("NVIDIA L4", (8, 9)), Gpu("Radeon", None)
ON_GPU = TransformersSettings(context=64, device_map=(("", "gpu0"),))
PARAMETERS = (
    "model.embed_tokens.weight",
    "model.layers.0.self_attn.q_proj.weight",
    "model.layers.0.mlp.gate.weight",
    "model.layers.0.mlp.experts.gate_up_proj",
    "model.layers.0.mlp.experts.down_proj",
    "model.layers.1.self_attn.q_proj.weight",
    "model.layers.1.mlp.up_proj.weight",
    "model.norm.weight",
    "lm_head.weight",
)
BUFFERS = ("model.rotary_emb.inv_freq",)
NAMES = ("embedding", "model.layers.0", "model.layers.0.experts", "model.layers.1", "head")


class TestDtype:
    def test_a_gpu_without_bf16_gets_fp16_and_a_sentence(self) -> None:
        settings, notes = checked(ON_GPU, [T4])
        assert (settings.precision, settings.compute_dtype) == ("fp16", "fp16")
        assert notes == (
            "Tesla T4 does not compute in bf16 (compute capability 7.5, 8.0 is needed); "
            "the model is loaded in fp16 instead.",
        )

    def test_4_bit_weights_stay_and_are_multiplied_in_fp16(self) -> None:
        settings, _ = checked(replace(ON_GPU, precision="nf4"), [T4])
        assert (settings.precision, settings.compute_dtype) == ("nf4", "fp16")

    @pytest.mark.parametrize("gpu", [L4, RADEON])
    def test_one_that_has_bf16_computes_in_it(self, gpu: Gpu) -> None:
        assert checked(ON_GPU, [gpu]) == (ON_GPU, ())

    def test_only_gpus_in_use_count(self) -> None:
        second = replace(ON_GPU, device_map=(("", "gpu1"),))
        assert checked(second, [T4, L4]) == (second, ())


class TestRefused:
    def test_a_gpu_that_torch_does_not_see(self) -> None:
        with pytest.raises(EngineError, match="GPU 0, and torch sees none"):
            checked(ON_GPU, [])

    @pytest.mark.parametrize("places", [("gpu0", "cpu"), ("gpu0", "disk"), ("cpu", "disk")])
    def test_a_split_of_packed_weights(self, places: tuple[str, str]) -> None:
        split = tuple(zip(("embedding", "head"), places, strict=True))
        with pytest.raises(EngineError, match="cannot lie partly"):
            checked(replace(ON_GPU, precision="int8", device_map=split), [L4])

    def test_packed_weights_on_two_gpus_are_not(self) -> None:
        split = replace(ON_GPU, precision="nf4", device_map=(("embedding", "gpu0"), ("head", "gpu1")))
        assert checked(split, [L4, L4]) == (split, ())

    def test_flash_attention_on_a_cpu(self) -> None:
        with pytest.raises(EngineError, match="GPUs only"):
            checked(TransformersSettings(context=64, attention="flash_attention_2"), [])


class TestAttention:
    def test_a_class_without_sdpa_gets_eager(self) -> None:
        assert (
            attention_for("sdpa", attends=True, has_sdpa=False, has_flash=False, installed=False) == "eager"
        )

    def test_a_model_without_attention_gets_eager(self) -> None:
        assert attention_for("sdpa", attends=False, has_sdpa=True, has_flash=True, installed=True) == "eager"

    def test_flash_attention_needs_its_library(self) -> None:
        with pytest.raises(EngineError, match="flash-attn"):
            attention_for("flash_attention_2", attends=True, has_sdpa=True, has_flash=True, installed=False)

    def test_what_is_supported_is_used(self) -> None:
        for wanted in ("sdpa", "eager", "flash_attention_2"):
            found = attention_for(wanted, attends=True, has_sdpa=True, has_flash=True, installed=True)
            assert found == wanted


def test_a_whole_model_on_one_gpu_is_one_entry() -> None:
    assert by_module(places_of((("", "gpu0"),), PARAMETERS, BUFFERS, {})) == {"": 0}


def test_a_plan_s_units_become_the_modules_of_the_class() -> None:
    places = ("gpu0", "gpu0", "gpu0", "gpu1", "cpu")
    found = by_module(places_of(zip(NAMES, places, strict=True), PARAMETERS, BUFFERS, {}))
    assert found == {
        "model.embed_tokens": 0,
        "model.layers.0": 0,
        "model.layers.1": 1,
        "model.norm": "cpu",
        "model.rotary_emb": 0,
        "lm_head": "cpu",
    }


def test_a_block_whose_experts_stay_behind_is_named_by_its_parts() -> None:
    places = ("gpu0", "gpu0", "cpu", "gpu0", "gpu0")
    found = by_module(places_of(zip(NAMES, places, strict=True), PARAMETERS, BUFFERS, {}))
    assert found["model.layers.0.self_attn"] == 0
    assert found["model.layers.0.mlp.experts"] == "cpu"
    assert "model.layers.0" not in found


def test_a_head_that_is_the_embedding_lies_where_that_lies() -> None:
    places = ("gpu0", "gpu0", "gpu0", "gpu1", "gpu1")
    tied = {"lm_head.weight": "model.embed_tokens.weight"}
    found = places_of(zip(NAMES, places, strict=True), PARAMETERS, BUFFERS, tied)
    assert found["lm_head.weight"] == found["model.embed_tokens.weight"] == 0
    assert found["model.norm.weight"] == 1


def test_towers_have_places_of_their_own() -> None:
    parameters = ("model.vision_tower.layers.0.fc.weight", *PARAMETERS)
    found = places_of((("vision", "cpu"), *((name, "gpu0") for name in NAMES)), parameters, (), {})
    assert found["model.vision_tower.layers.0.fc.weight"] == "cpu"
    assert found["model.layers.0.mlp.gate.weight"] == 0


def test_a_part_that_the_plan_does_not_know_is_an_error() -> None:
    with pytest.raises(EngineError, match=r"no place for model\.layers\.1"):
        places_of((("embedding", "cpu"), ("model.layers.0", "disk")), PARAMETERS[:6], (), {})


@given(st.lists(st.sampled_from(["gpu0", "gpu1", "cpu", "disk"]), min_size=5, max_size=5))
def test_every_tensor_is_covered_by_the_entry_that_names_its_place(devices: list[str]) -> None:
    places = places_of(zip(NAMES, devices, strict=True), PARAMETERS, BUFFERS, {})
    entries = by_module(places)
    for name, place in places.items():
        covering = max((e for e in entries if e == "" or f"{name}.".startswith(f"{e}.")), key=len)
        assert entries[covering] == place


def test_gpus_come_in_the_order_in_which_a_token_passes_them() -> None:
    split = (("embedding", "gpu1"), ("model.layers.0", "cpu"), ("head", "gpu0"))
    assert gpus_of(replace(ON_GPU, device_map=split)) == (1, 0)
