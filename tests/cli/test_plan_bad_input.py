"""`plan` and `inspect` on what cannot work: a sentence, a hint, the right status, and a document with --json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from header_checkpoint import Tensors, write_tensors

from shoestring.cli import EarlyWorker
from shoestring.cli._app import run_command
from shoestring.errors import EngineError

CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "vocab_size": 100,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "dtype": "bfloat16",
}
_SHAPES = {
    "self_attn.q_proj": (64, 64),
    "self_attn.k_proj": (32, 64),
    "self_attn.v_proj": (32, 64),
    "self_attn.o_proj": (64, 64),
    "mlp.gate_proj": (96, 64),
    "mlp.up_proj": (96, 64),
    "mlp.down_proj": (64, 96),
    "input_layernorm": (64,),
    "post_attention_layernorm": (64,),
}
TENSORS: Tensors = {
    "model.embed_tokens.weight": ("BF16", (100, 64)),
    **{f"model.layers.{i}.{n}.weight": ("BF16", shape) for i in range(2) for n, shape in _SHAPES.items()},
    "model.norm.weight": ("BF16", (64,)),
    "lm_head.weight": ("BF16", (100, 64)),
}


def write(folder: Path, *, without: Sequence[str] = (), **config: object) -> Path:
    tensors = {name: tensor for name, tensor in TENSORS.items() if name not in without}
    return write_tensors(folder / "model", {**CONFIG, **config}, tensors)


def refused(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The status and the first line of what is said; text and JSON must agree, and be as the contract says."""
    status = run_command(arguments, EarlyWorker())
    said = capfd.readouterr()
    assert said.out == ""
    first, *_ = said.err.splitlines()
    assert first.startswith("error: ")
    assert "Traceback" not in said.err
    assert "unexpected" not in said.err
    assert run_command([*arguments, "--json"], EarlyWorker()) == status
    error = json.loads(capfd.readouterr().out)["error"]
    assert first == f"error: {error['message']}"
    return status, first


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--ram", "0"], "can hold nothing"),
        (["--ram", "nan"], "not a size"),
        (["--vram", "-1"], "not a size"),
        (["--context", "129"], "longer than"),
        (["--context", "9" * 30], "longer than"),
        (["--batch", "9" * 30], "too many"),
        (["--for", "qlora", "--batch", "9" * 30], "more than any training takes"),
        (["--for", "lora", "--batch", "0"], "trains nothing"),
        (["--for", "full", "--context", "4"], "cannot be trained"),
        (["--for", "qlora", "--precision", "Q4_K_M"], "does not work on Q4_K_M"),
        (["--for", "qlora", "--engine", "llama_cpp"], "trains nothing"),
        (["--hardware", "H1000"], "'H1000'"),
        (["--precision", "int4"], "'int4'"),
        (["--kv", "q5_0"], "'q5_0'"),
        (["--engine", "lama_cpp"], "'lama_cpp'"),
        (["--engine", "vllm", "--hardware", "laptop-8gb"], "vLLM"),
        (["--engine", "transformers", "--precision", "Q4_K_M"], "No engine here runs"),
        (["--at-least", "✓"], "no precision"),
    ],
)
def test_options_that_can_never_work(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], options: list[str], sentence: str
) -> None:
    hardware = [] if {"--hardware", "--ram", "--vram"} & set(options) else ["--hardware", "t4"]
    status, said = refused(capfd, "plan", str(write(tmp_path)), *options, *hardware)
    assert status == 2
    assert sentence in said


@pytest.mark.parametrize("command", ["plan", "inspect"])
@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"num_hidden_layers": 3}, "layer 2 has no tensors"),
        ({"vocab_size": 0}, "vocab_size"),
        ({"hidden_size": 65}, "[100, 65]"),
        ({"hidden_size": 128}, "embed_tokens"),
        ({"num_attention_heads": 3}, "3 attention heads"),
        ({"num_key_value_heads": 3}, "3 key-value heads"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers"),
        ({"model_type": 5}, "model_type"),
        ({"quantization_config": {"quant_method": "awq", "bits": 0}}, "bits"),
    ],
)
def test_configs_that_cannot_be(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    command: str,
    changed: dict[str, Any],
    sentence: str,
) -> None:
    status, said = refused(capfd, command, str(write(tmp_path, **changed)))
    assert status == 1
    assert sentence in said


def test_plain_keys_where_the_config_compresses_them(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    latent: dict[str, Any] = {
        "kv_lora_rank": 16,
        "qk_rope_head_dim": 8,
        "qk_nope_head_dim": 8,
        "v_head_dim": 16,
    }
    folder = write(tmp_path, model_type="deepseek_v3", first_k_dense_replace=2, **latent)
    assert refused(capfd, "plan", str(folder))[0] == 1


@pytest.mark.parametrize("name", ["mlp.up_proj", "mlp.down_proj", "self_attn.o_proj", "self_attn.q_proj"])
def test_a_matrix_that_only_other_layers_have(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    folder = write(tmp_path, without=[f"model.layers.1.{name}.weight"])
    status, said = refused(capfd, "plan", str(folder))
    assert status == 1
    assert name in said


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"null", b'{"model_', b"[" * 9999, b"\xff\xfe{}", b"\0" * 99]
)
def test_a_config_that_is_none(tmp_path: Path, capfd: pytest.CaptureFixture[str], content: bytes) -> None:
    folder = write(tmp_path)
    (folder / "config.json").write_bytes(content)
    status, said = refused(capfd, "plan", str(folder))
    assert status == 1
    assert "config.json" in said


@pytest.mark.parametrize("length", [0, 7, 8, 100, -1])
def test_weights_that_end_too_soon(tmp_path: Path, capfd: pytest.CaptureFixture[str], length: int) -> None:
    folder = write(tmp_path)
    file = folder / "model.safetensors"
    with file.open("r+b") as stream:
        stream.truncate(length % file.stat().st_size)
    status, said = refused(capfd, "plan", str(folder))
    assert status == 1
    assert "model.safetensors" in said


def test_pickled_weights(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert refused(capfd, "plan", str(folder))[0] == 1


def test_a_folder_that_holds_no_model_says_what_one_holds(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["plan", str(tmp_path)], EarlyWorker()) == 1
    assert "config.json" in capfd.readouterr().err


def test_a_link_to_itself(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert refused(capfd, "inspect", str(tmp_path / "loop"))[0] == 1


def test_transformers_is_not_asked_unless_that_was_wanted(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes seconds to import; what the formula cannot count is a missing figure until it is asked for."""

    def fails(*_: object) -> None:
        raise EngineError("It cannot be asked.")

    monkeypatch.setattr("shoestring.planning.exact.asked_of_the_engine", fails)
    arguments = ["plan", str(write(tmp_path, quantization_config={"quant_method": "novel"})), "--json"]
    assert run_command([*arguments, "--hardware", "t4"], EarlyWorker()) == 3
    plan = json.loads(capfd.readouterr().out)["plans"][0]
    assert plan["precision"] == "novel"
    assert not any("It cannot be asked." in note for note in plan["notes"])
    assert run_command([*arguments, "--hardware", "t4", "--exact"], EarlyWorker()) == 1
    assert json.loads(capfd.readouterr().out)["error"]["message"] == "It cannot be asked."
