"""The commands on the real starters: text for people, one document for programs, the agreed keys."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from command import COMMAND, Command

pytestmark = pytest.mark.usefixtures("smollm2_files")


def _document(result: subprocess.CompletedProcess[str], status: int = 0) -> Any:
    assert result.returncode == status, result.stderr
    return json.loads(result.stdout)


def test_doctor_has_the_agreed_keys(shoestring: Command) -> None:
    found = _document(shoestring("doctor", "--json"))
    assert {"cpu", "memory", "gpus", "disk", "environment", "packages", "problems"} <= set(found)
    assert {"model", "cores_physical", "cores_logical", "features"} <= set(found["cpu"])
    assert {"total_bytes", "available_bytes", "limit_bytes"} <= set(found["memory"])


def test_inspect_has_the_agreed_keys(shoestring: Command) -> None:
    found = _document(shoestring("inspect", "smollm2", "--json"))
    agreed = "id format architecture kind parameters weights layers context_length vocab_size license chat_template"
    assert set(agreed.split()) <= set(found)
    assert found["kind"] == "chat"


def test_inspect_lists_every_tensor_when_asked(shoestring: Command) -> None:
    text = shoestring("inspect", "smollm2", "--tensors").stdout
    assert "blk.29.ffn_up.weight" in text
    assert "576 × 1536" in text


def test_plan_has_the_agreed_keys(shoestring: Command) -> None:
    found = _document(shoestring("plan", "smollm2", "--json"))
    assert {"model", "hardware", "request", "recommended", "plans"} <= set(found)
    plan = found["plans"][0]
    agreed = "engine precision kv_precision context batch placement bytes budget_bytes fits headroom_bytes tokens_per_s method"
    assert set(agreed.split()) <= set(plan)
    assert {"weights", "kv_cache", "compute", "runtime", "total", "load_peak"} <= set(plan["bytes"])


def test_plan_shows_what_uses_the_memory(shoestring: Command) -> None:
    text = shoestring("plan", "smollm2").stdout
    assert all(word in text for word in ("weights", "KV cache", "compute", "runtime", " of ", "Fits.", "█"))


def test_a_plan_that_does_not_fit_is_shown_and_ends_with_3(shoestring: Command) -> None:
    result = shoestring("plan", "smollm2", "--context", "8192", "--ram", "250MB")
    assert result.returncode == 3
    assert "Does not fit." in result.stdout
    assert "What would fit: " in result.stdout


def test_models_list_names_the_starters(shoestring: Command) -> None:
    assert [model["id"] for model in _document(shoestring("models", "list", "--json"))][:2] == [
        "smollm2",
        "gemma3-270m",
    ]
    assert "smollm2" in shoestring("models", "list").stdout


def test_removing_what_is_not_here_is_an_error(shoestring: Command, home: Path) -> None:
    assert shoestring("models", "rm", "smollm2").returncode == 1


@pytest.mark.parametrize("command", [[], ["models"]])
def test_without_a_command_the_help_is_shown(shoestring: Command, command: list[str]) -> None:
    result = shoestring(*command)
    assert result.returncode == 2
    assert "Usage: shoestring" in result.stderr


@pytest.mark.parametrize(
    "command", ["doctor", "models", "models list", "models pull", "models rm", "inspect", "plan", "run"]
)
def test_every_command_explains_itself(shoestring: Command, command: str) -> None:
    result = shoestring(*command.split(), "--help")
    assert result.returncode == 0
    assert f"Usage: shoestring {command}" in result.stdout


def test_the_version_is_the_packages(shoestring: Command) -> None:
    from shoestring import __version__

    assert shoestring("--version").stdout == f"shoestring {__version__}\n"


@pytest.mark.parametrize("command", ["doctor", "plan smollm2", "models list", "inspect smollm2"])
def test_a_pipe_gets_no_colours_and_no_trailing_blanks(shoestring: Command, command: str) -> None:
    text = shoestring(*command.split()).stdout
    assert "\033" not in text
    assert not any(line.endswith(" ") for line in text.splitlines())


def test_a_reader_that_has_enough_is_no_error(tmp_path: Path) -> None:
    # A pipe that nobody reads any more breaks at the first write, however short.
    command = f"{' '.join(map(str, COMMAND))} inspect smollm2 --tensors --json | true"
    result = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, timeout=60
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_an_answer_whose_reader_has_enough_is_no_error(smollm2_files: tuple[Path, ...]) -> None:
    story = '"Write a long story." --temperature 0 --max-tokens 60 --context 512'
    command = f"{' '.join(map(str, COMMAND))} run smollm2 {story} | head -c 5"
    result = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr


def test_a_bug_is_one_sentence_and_a_traceback_only_on_demand(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from shoestring.cli._errors import report_unexpected

    assert report_unexpected(KeyError("oops"), as_json=False) == 1
    assert "Traceback" not in capsys.readouterr().err
    monkeypatch.setenv("SHOESTRING_DEBUG", "1")
    report_unexpected(KeyError("oops"), as_json=False)
    assert "KeyError: 'oops'" in capsys.readouterr().err
