"""The guides' examples are run as they stand."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
GUIDES = {path.name: path.read_text() for path in sorted(DOCS.glob("*.md"))}
COMMANDS = [
    line
    for text in GUIDES.values()
    for block in re.findall(r"```\n(.*?)```", text, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("shoestring ")
]
EXAMPLES = [
    pytest.param(block, id=f"{name}-{n}")
    for name, text in GUIDES.items()
    for n, block in enumerate(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
]
pytestmark = pytest.mark.usefixtures("smollm2_files")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_works(command: str) -> None:
    arguments = [sys.executable, "-m", *shlex.split(command)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_works(example: str, smollm2_checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "my-checkpoint").symlink_to(smollm2_checkpoint)
    command = [sys.executable, "-c", example]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("name", GUIDES)
def test_links_lead_somewhere(name: str) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", GUIDES[name])
    assert all((DOCS / link).exists() for link in links)


def test_every_machine_is_named() -> None:
    from shoestring.hardware.catalog import names

    assert all(f"`{name}`" in GUIDES["planning.md"] for name in names())
