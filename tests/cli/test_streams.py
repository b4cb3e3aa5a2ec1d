"""Standard streams that are closed, full or gone: never a traceback, never called a bug."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from command import COMMAND


def _in_shell(redirected: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`shoestring …` as a shell runs it, with its redirections."""
    command = f"{shlex.join(map(str, COMMAND))} {redirected}"
    return subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, timeout=60, env=os.environ | environment
    )


@pytest.mark.parametrize("redirected", ["doctor >&-", "doctor 2>&-", "doctor <&-", "doctor <&- >&- 2>&-"])
def test_a_closed_stream_is_no_error(redirected: str) -> None:
    result = _in_shell(redirected)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.model
def test_a_chat_without_an_input_ends_at_once(smollm2_files: tuple[Path, ...]) -> None:
    result = _in_shell("run smollm2 --context 512 <&-")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.model
def test_an_answer_needs_no_stderr(smollm2_files: tuple[Path, ...]) -> None:
    result = _in_shell("run smollm2 Hi --context 512 --max-tokens 2 2>&-")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.strip()


full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk that is always full")


@full
@pytest.mark.parametrize(
    "command", ["doctor", "doctor --json", "--help", "models list --json", "inspect nothing --json"]
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_under_stdout_is_one_sentence(command: str, unbuffered: str) -> None:
    result = _in_shell(f"{command} > /dev/full", PYTHONUNBUFFERED=unbuffered)
    assert result.returncode == 1
    assert result.stderr == "error: The output could not be written: No space left on device.\n"


@full
def test_a_full_disk_under_stderr_loses_no_answer() -> None:
    result = _in_shell("models list 2> /dev/full")
    assert result.returncode == 0
    assert "smollm2" in result.stdout
    assert _in_shell("inspect nothing 2> /dev/full").returncode == 1
