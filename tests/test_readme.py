"""What the README shows is run as it stands."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()
COMMANDS = [
    line
    for block in re.findall(r"```\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("shoestring ")
    and "my-model" not in line
    and line != "shoestring run smollm2"
    # by a name of the hub: test_hub_guide.py and cli/test_run_hub.py run such against a hub on loopback
    and "org/name" not in line
]
pytestmark = [pytest.mark.model, pytest.mark.usefixtures("smollm2_files")]


def run(arguments: list[str]) -> str:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_are_commands_to_run() -> None:
    assert len(COMMANDS) >= 5


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_works(command: str) -> None:
    assert run(["-m", *shlex.split(command)])


def test_the_python_example_works() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    shown = run(["-c", example])
    assert shown.startswith("The capital of France is Paris.")
    assert "Rome" in shown
    assert "MemoryReport" in shown
