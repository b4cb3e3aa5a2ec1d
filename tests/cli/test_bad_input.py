"""Bad input: one clear sentence on stderr, the right exit status, and never a traceback."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from command import COMMAND, Command


def _refused(result: subprocess.CompletedProcess[str], status: int, sentence: str) -> None:
    assert result.returncode == status, result.stderr
    assert result.stdout == ""
    first = result.stderr.splitlines()[0]
    assert first.startswith("error: ")
    assert sentence in first
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "command", [["run", "smol", "Hi"], ["plan", "smol"], ["inspect", "smol"], ["models", "pull", "smol"]]
)
def test_an_unknown_model(shoestring: Command, command: list[str]) -> None:
    result = shoestring(*command)
    _refused(result, 1, "'smol'")
    assert "shoestring models list" in result.stderr


def test_a_missing_file(shoestring: Command) -> None:
    _refused(shoestring("run", "./missing.gguf", "Hi"), 1, "missing.gguf")


def test_a_text_file_named_gguf(shoestring: Command, tmp_path: Path) -> None:
    (tmp_path / "notes.gguf").write_text("Dear diary, today I learned about tensors.\n")
    _refused(shoestring("run", "notes.gguf", "Hi"), 1, "notes.gguf")


@pytest.mark.parametrize("prompt", ["", "  \n"])
def test_an_empty_prompt_is_refused_before_anything_is_fetched(
    shoestring: Command, prompt: str, home: Path
) -> None:
    _refused(shoestring("run", "smollm2", prompt), 2, "empty")
    assert not (home / "cache").exists()


def test_an_empty_prompt_on_stdin(shoestring: Command) -> None:
    _refused(shoestring("run", "smollm2", "-", stdin=""), 2, "empty")


def test_stdin_that_is_no_text(shoestring: Command, tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    command = [*COMMAND, "run", "smollm2", "-"]
    with (tmp_path / "bytes").open("rb") as stream:
        result = subprocess.run(command, stdin=stream, capture_output=True, text=True, timeout=60)
    _refused(result, 2, "not UTF-8 text")


@pytest.mark.model
def test_a_prompt_longer_than_the_context_says_by_how_much(
    shoestring: Command, smollm2_files: tuple[Path, ...]
) -> None:
    result = shoestring("run", "smollm2", "word " * 600, "--context", "512")
    _refused(result, 2, "more than a context of 512")
    assert "shoestring plan smollm2" in result.stderr


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("--temperature", "-1", "temperature is -1.0, but it must be a number of at least 0"),
        ("--temperature", "nan", "temperature is nan"),
        ("--top-p", "1.5", "top_p is 1.5"),
        ("--top-k", "-1", "top_k is -1"),
        ("--min-p", "1", "min_p is 1.0"),
        ("--repeat-penalty", "0", "repeat_penalty is 0.0"),
        ("--max-tokens", "0", "max_tokens is 0"),
        ("--max-tokens", "99999999999999999999", "must be a whole number from 1 to 2147483647"),
        ("--seed", "-1", "seed is -1"),
        ("--stop", "", "stop is ('',)"),
        ("--max-tokens", "many", "'many' is not a valid integer"),
    ],
)
def test_a_bad_parameter(shoestring: Command, option: str, value: str, sentence: str) -> None:
    _refused(shoestring("run", "smollm2", "Hi", option, value), 2, sentence)


@pytest.mark.model
@pytest.mark.parametrize("context", ["0", "-5", "9999999"])
def test_a_context_that_can_never_work(
    shoestring: Command, smollm2_files: tuple[Path, ...], context: str
) -> None:
    _refused(shoestring("plan", "smollm2", "--context", context), 2, "context")


def test_an_unknown_option_names_the_help(shoestring: Command) -> None:
    result = shoestring("run", "smollm2", "Hi", "--temprature", "0")
    _refused(result, 2, "--temprature")
    assert "shoestring run --help" in result.stderr


@pytest.mark.parametrize(
    ("mistyped", "meant"),
    [
        (["run", "smollm2", "Hi", "--temp", "0"], "--temperature"),
        (["run", "smollm2", "Hi", "--temprature", "0"], "--temperature"),
        (["rum", "smollm2", "Hi"], "run"),
        (["models", "lst"], "list"),
    ],
)
def test_what_is_mistyped_gets_what_was_meant(shoestring: Command, mistyped: list[str], meant: str) -> None:
    _refused(shoestring(*mistyped), 2, "Did you mean")
    assert meant in shoestring(*mistyped).stderr.split("Did you mean")[1]


def test_a_command_that_is_like_none_gets_no_guess(shoestring: Command) -> None:
    result = shoestring("xyzzy")
    _refused(result, 2, "no command 'xyzzy'")
    assert "Did you mean" not in result.stderr


def test_a_size_that_is_none(shoestring: Command, smollm2_files: tuple[Path, ...]) -> None:
    _refused(shoestring("plan", "smollm2", "--ram", "lots"), 2, "'lots' is not a size")


def test_no_network(shoestring: Command, home: Path) -> None:
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0", "PIP_NO_CACHE_DIR": "1"}
    result = shoestring("run", "smollm2", "Hi", **nowhere)
    assert result.returncode == 1
    assert "error: " in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_with_json_an_error_is_a_document_too(shoestring: Command) -> None:
    result = shoestring("run", "smol", "Hi", "--json")
    error = json.loads(result.stdout)["error"]
    assert (error["type"], result.returncode) == ("ModelNotFoundError", 1)
    assert set(error) == {"type", "message", "hint"}


def test_with_json_a_usage_error_is_a_document_too(shoestring: Command) -> None:
    result = shoestring("run", "smollm2", "Hi", "--nope", "--json")
    assert json.loads(result.stdout)["error"]["type"] == "UsageError"
    assert result.returncode == 2


def test_json_without_a_prompt_is_refused(shoestring: Command) -> None:
    result = shoestring("run", "smollm2", "--json")
    assert result.returncode == 2
    assert "prompt" in json.loads(result.stdout)["error"]["hint"]
