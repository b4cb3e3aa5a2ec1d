"""A checkpoint that is quantised already counts the weights it stands for, and the bytes it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import header_checkpoint
import pytest
from header_checkpoint import FAMILIES, config_of, meta_model, saved_tensors, write_tensors
from header_quantized import METHODS, quantize

from shoestring.errors import InvalidModelFileError
from shoestring.models.facts import ModelFacts, QuantizationFacts, TensorInfo
from shoestring.models.safetensors.config import Section
from shoestring.models.safetensors.quantization import logical_elements, read_quantization
from shoestring.models.safetensors_facts import read_checkpoint
from shoestring.models.source import FolderSource

pytest.importorskip("transformers")


def facts(folder: Path, family: str, method: str) -> tuple[ModelFacts, Any]:
    model = meta_model(FAMILIES[family]())
    tensors, quantization = quantize(saved_tensors(model), method)
    config = {**config_of(model), "quantization_config": quantization}
    return read_checkpoint(FolderSource(write_tensors(folder, config, tensors)), id=family), model


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"mxfp4"}))
def test_the_parameters_are_those_of_the_model_however_they_are_packed(method: str, tmp_path: Path) -> None:
    read, model = facts(tmp_path, "llama-3-8b", method)
    assert read.parameters.total == model.num_parameters() == 8_030_261_248
    assert read.not_understood == ()


def test_the_experts_of_gpt_oss_are_unpacked_from_blocks(tmp_path: Path) -> None:
    read, model = facts(tmp_path, "gpt-oss-20b", "mxfp4")
    assert read.parameters.total == model.num_parameters()
    assert read.quantization is not None
    assert (read.quantization.method, read.quantization.bits, read.quantization.group_size) == (
        "mxfp4",
        4,
        32,
    )


def test_a_packed_mixture_has_its_share_of_active_parameters(tmp_path: Path) -> None:
    read, _ = facts(tmp_path, "mixtral-8x7b", "awq")
    assert read.parameters.active == 12_879_925_248


LINEAR = 32 * (2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 14336)
OTHERS = 8_030_261_248 - LINEAR


@pytest.mark.parametrize(
    ("method", "linear_bytes"),
    [
        ("nf4", LINEAR // 2 + LINEAR // 64 * 4 + 224 * (64 + 80)),
        ("nf4-dq", LINEAR // 2 + LINEAR // 64 + LINEAR // 64 // 256 * 4 + 224 * (64 + 170 + 1024)),
        ("awq", LINEAR // 2 + LINEAR // 128 * 2 + LINEAR // 128 // 2),
        ("fp8", LINEAR + LINEAR // 128 // 128 * 4),
    ],
)
def test_the_bytes_are_those_stored_with_scales(method: str, linear_bytes: int, tmp_path: Path) -> None:
    read, _ = facts(tmp_path, "llama-3-8b", method)
    assert read.weights.total_bytes == linear_bytes + 2 * OTHERS


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("nf4", QuantizationFacts("bitsandbytes", 4, 64, "nf4")),
        ("nf4-dq", QuantizationFacts("bitsandbytes", 4, 64, "nf4", double=True)),
        ("int8", QuantizationFacts("bitsandbytes", 8)),
        ("awq", QuantizationFacts("awq", 4, 128)),
        ("gptq-3", QuantizationFacts("gptq", 3, 128)),
        ("fp8", QuantizationFacts("fp8", 8, 128, "e4m3")),
        ("compressed-int4", QuantizationFacts("compressed-tensors", 4, 128, "int", skipped=("lm_head",))),
        ("compressed-fp8", QuantizationFacts("compressed-tensors", 8, None, "float", skipped=("lm_head",))),
    ],
)
def test_the_method_is_read_from_the_config(method: str, expected: QuantizationFacts) -> None:
    assert read(METHODS[method][1]) == (expected, ())


def read(config: dict[str, Any]) -> tuple[QuantizationFacts | None, tuple[str, ...]]:
    return read_quantization(Section({"quantization_config": config}))


def test_an_unquantised_checkpoint_has_no_method() -> None:
    assert read_quantization(Section({})) == (None, ())


def test_an_unknown_method_is_kept_and_said_not_to_be_understood() -> None:
    quantization, notes = read({"quant_method": "hqq", "bits": 2})
    assert quantization == QuantizationFacts("hqq", 2)
    assert "hqq" in notes[0]


def test_a_negative_group_is_one_scale_a_row() -> None:
    quantization, _ = read({"quant_method": "gptq", "bits": 4, "group_size": -1})
    assert quantization is not None
    assert quantization.group_size is None


def test_groups_of_different_bits_are_not_understood() -> None:
    groups = {f"group_{bits}": {"weights": {"num_bits": bits, "type": "int"}} for bits in (4, 8)}
    _, notes = read({"quant_method": "compressed-tensors", "config_groups": groups})
    assert "different bits" in notes[0]


@pytest.mark.parametrize(
    "config",
    [
        {"quant_method": "gptq", "bits": 5},
        {"quant_method": "awq", "bits": "4"},
        {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf5"},
        {"quant_method": "fp8", "weight_block_size": [128]},
        {"quant_method": {"a": 1}},
        {"bits": 4},
        {"quant_method": "compressed-tensors", "config_groups": {"g": {"weights": {"num_bits": 10**9}}}},
    ],
)
def test_an_absurd_config_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(InvalidModelFileError):
        read(config)


def test_packed_weights_in_a_wider_storage_type_count_alike() -> None:
    nf4 = QuantizationFacts("bitsandbytes", 4, 64, "nf4")
    bytes_, words = (
        TensorInfo("model.layers.0.mlp.up_proj.weight", shape, dtype, 512, 0)
        for dtype, shape in (("U8", (512, 1)), ("BF16", (256, 1)))
    )
    assert logical_elements(bytes_, nf4) == logical_elements(words, nf4) == 1024


@pytest.mark.parametrize("method", ["nf4-dq", "int8"])
def test_bitsandbytes_saves_the_layout_that_the_headers_here_imitate(method: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("bitsandbytes")
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    config = transformers.LlamaConfig(
        vocab_size=128, hidden_size=128, intermediate_size=256, num_hidden_layers=1, num_attention_heads=2
    )
    transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(
        tmp_path / "plain"
    )
    how = transformers.BitsAndBytesConfig(
        load_in_4bit=method == "nf4-dq",
        load_in_8bit=method == "int8",
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
    )
    model = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "plain", quantization_config=how, device_map="cpu"
    )
    model.save_pretrained(tmp_path / "real")
    real = read_checkpoint(FolderSource(tmp_path / "real"), id="real")
    plain = read_checkpoint(FolderSource(tmp_path / "plain"), id="plain")
    assert real.parameters == plain.parameters
    imitated, _ = quantize({t.name: (t.dtype, t.shape) for t in plain.tensors}, method)
    sizes = {name: header_checkpoint.n_bytes(tensor) for name, tensor in imitated.items()}
    stored = {tensor.name: tensor.n_bytes for tensor in real.tensors}
    assert {name: n for name, n in stored.items() if "quant_state" not in name} == {
        name: n for name, n in sizes.items() if "quant_state" not in name
    }
