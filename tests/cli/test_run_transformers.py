"""`shoestring run` on a real checkpoint: our lines on stderr and nobody else's, checks, steps down and refusals."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from command import Command

pytestmark = pytest.mark.model
ASK = ["What is the capital of France?", "--temperature", "0", "--context", "256", "--max-tokens", "8"]
LOUD = {"TRANSFORMERS_VERBOSITY": "debug", "BITSANDBYTES_NOWELCOME": "0", "PYTHONWARNINGS": "default"}
"""All that libraries would say of themselves."""


def test_stderr_has_our_two_lines_and_nobody_else_s(shoestring: Command, smollm2_checkpoint: Path) -> None:
    result = shoestring("run", str(smollm2_checkpoint), *ASK, "--precision", "int8", **LOUD)
    assert result.stdout.startswith("The capital of France is Paris")
    loaded, figures = result.stderr.splitlines()
    assert re.fullmatch(
        r"Loaded in [\d.]+ m?s \(tokenizer [\d.]+ m?s, weights [\d.]+ m?s\): 134\.5M parameters in int8, \d+ MB of "
        r"weights( \(get_memory_footprint\(\) says \d+ MB\))?, \d+ MB held at most of \d+ MB predicted\.",
        loaded,
    )
    assert re.fullmatch(
        r"\d+ tok/s · first token [\d.]+ m?s · memory \d+ MB \(\d+ MB predicted when full\)", figures
    )


def test_the_load_report_is_in_the_document(shoestring: Command, smollm2_checkpoint: Path) -> None:
    result = shoestring(
        "run", str(smollm2_checkpoint), *ASK, "--precision", "bf16", "--logprobs", "2", "--json"
    )
    answer = json.loads(result.stdout)
    assert answer["load"]["parameters"] == 134_515_008
    assert answer["load"]["weights_bytes"] == sum(answer["load"]["bytes_by_dtype"].values())
    assert [device["name"] for device in answer["load"]["devices"]] == ["cpu"]
    assert len(answer["logprobs"]) == answer["usage"]["completion_tokens"]
    assert all(len(token["top"]) == 2 for token in answer["logprobs"])
    assert result.stderr == ""


def test_packed_weights_are_explained_to_who_asks(shoestring: Command, smollm2_checkpoint: Path) -> None:
    result = shoestring("run", str(smollm2_checkpoint), *ASK, "--precision", "nf4", "--verbose")
    assert "4-bit weights, two in a byte" in result.stderr
    assert re.search(r"^cpu +\d+ MB", result.stderr, re.MULTILINE)


def test_what_does_not_fit_ends_with_the_command_that_would(
    shoestring: Command, smollm2_checkpoint: Path
) -> None:
    result = shoestring(
        "run", str(smollm2_checkpoint), "Hi", "--ram", "580MB", "--precision=bf16", "--context", "256"
    )
    assert result.returncode == 3
    assert "What would fit: nf4-dq weights." in result.stderr
    (command,) = [line for line in result.stderr.splitlines() if line.startswith("try: ")]
    assert command.endswith("run " + f"{smollm2_checkpoint} Hi --ram 580MB --context 256 --precision nf4-dq")


def test_auto_takes_it_and_says_so(shoestring: Command, smollm2_checkpoint: Path) -> None:
    options = ["--ram", "580MB", "--precision", "bf16", "--auto"]
    result = shoestring("run", str(smollm2_checkpoint), *ASK, *options)
    assert "Paris" in result.stdout
    assert "Trying nf4-dq weights instead." in result.stderr.splitlines()[0]


def test_a_check_alone_is_all_that_is_done(shoestring: Command) -> None:
    result = shoestring("run", "smollm2", "--check", "--context", "256")
    assert result.returncode == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["ok"] * 5 + ["smollm2:"]


def test_a_check_before_an_answer_goes_to_stderr(shoestring: Command) -> None:
    result = shoestring("run", "smollm2", *ASK, "--check")
    assert result.stdout.startswith("The capital of France is Paris")
    assert result.stderr.count("ok  ") == 5


def test_a_check_is_in_the_document(shoestring: Command) -> None:
    result = shoestring("run", "smollm2", *ASK, "--check", "--json")
    assert json.loads(result.stdout)["check"]["passed"] is True


def test_a_model_that_does_not_work_ends_with_1(shoestring: Command, nan_gguf: Path) -> None:
    result = shoestring("run", str(nan_gguf), *ASK, "--check")
    assert result.returncode == 1
    assert "FAILED numbers: 1,000 of 1,000 log-probabilities are no numbers" in result.stdout
    assert "Likely cause" in result.stdout


def test_logprobs_need_a_document(shoestring: Command) -> None:
    result = shoestring("run", "smollm2", "Hi", "--logprobs", "2")
    assert result.returncode == 2
    assert "in JSON only" in result.stderr


def test_pickled_weights_are_refused_in_one_sentence(
    shoestring: Command, smollm2_checkpoint: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "pickled"
    folder.mkdir()
    for file in smollm2_checkpoint.glob("*.json"):
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    result = shoestring("run", str(folder), "Hi")
    assert result.returncode == 1
    assert result.stderr.startswith(
        "error: The weights here are pickled (pytorch_model.bin): opening them can run"
    )


def test_an_encoder_is_refused_in_one_sentence(shoestring: Command, tmp_path: Path) -> None:
    import header_checkpoint
    from transformers import BertConfig

    config = BertConfig(
        vocab_size=300, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        architectures=["BertModel"],
    )  # fmt: skip
    folder = header_checkpoint.write(tmp_path / "encoder", config)
    header_checkpoint.write_tokenizer(folder)
    result = shoestring("run", str(folder), "Hi")
    assert result.returncode == 1
    assert "encoder" in result.stderr.splitlines()[0]
