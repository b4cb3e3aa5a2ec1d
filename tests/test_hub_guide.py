"""The hub's guide: its sessions print what it says, in its order, against a hub on this machine."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import Hub, User

GUIDE = Path(__file__).parents[1] / "docs" / "hub.md"
TOKEN = "hf_ThisIsNobodysToken"


@pytest.fixture
def environment(loopback_hub: Hub, smollm2_files: tuple[Path, ...], tmp_path: Path) -> dict[str, str]:
    """The guide's hub and cache."""
    (gguf,) = smollm2_files
    files = {"README.md": b"#", "smollm2.Q4_1.gguf": gguf, "smollm2.Q8_0.gguf": gguf}
    loopback_hub.add("ada/smollm2", files)
    loopback_hub.add("grace/gated", {"smollm2.Q4_1.gguf": gguf}, gated="manual", granted={"ada"})
    loopback_hub.users[TOKEN] = User()
    (tmp_path / "token.txt").write_text(TOKEN)
    return {**os.environ, **loopback_hub.environment(tmp_path / "hf"), "COLUMNS": "100"}


def sessions() -> Iterator[tuple[str, str]]:
    """Each command with the output that the guide prints under it."""
    for block in re.findall(r"```console\n(.*?)```", GUIDE.read_text(), re.DOTALL):
        yield from re.findall(r"\$ (.*)\n((?:(?!\$ ).*\n)*)", block)


def printed(command: str, environment: dict[str, str], folder: Path) -> str:
    """What a command prints, both streams, with what is the test's own named as the guide names it."""
    words = shlex.split(command)
    own = dict(word.split("=", 1) for word in words if re.match("[A-Z_]+=", word))
    words = words[len(own) :]
    stdin = None
    if "<" in words:
        at = words.index("<")
        words, stdin = words[:at], (folder / words[at + 1]).read_text()
    done = subprocess.run(
        [sys.executable, "-m", *words],
        input=stdin,
        env=environment | own,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said = done.stdout.replace(environment["HF_ENDPOINT"], "https://huggingface.co")
    return said.replace(environment["HF_HOME"], "~/.cache/huggingface")


def pattern(expected: str) -> str:
    """An ellipsis stands for the rest of a line; alone on a line, for any lines."""
    lines = (
        "(?:.*\n)*" if line == "…" else re.escape(line).replace("…", ".*") + "\n"
        for line in expected.splitlines()
    )
    return "".join(lines)


def test_the_sessions_print_what_the_guide_says(environment: dict[str, str], tmp_path: Path) -> None:
    found = list(sessions())
    assert len(found) > 10
    for command, expected in found:
        said = printed(command, environment, tmp_path)
        assert re.fullmatch(pattern(expected), said), f"{command}\n{said}"


def test_the_python_examples_give_what_the_guide_says(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "doctest", GUIDE], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
