"""Runs the real command in a process of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from command import COMMAND, SECRET, Command, Shell
from hub_server import Hub, User


@pytest.fixture
def shoestring(tmp_path: Path) -> Command:
    """`shoestring("run", "smollm2", …)`: what it printed and its exit status. Keyword arguments: environment."""

    def run(*arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            cwd=tmp_path,
            env=os.environ | environment,
        )

    return run


@pytest.fixture
def shell(loopback_hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A home of its own, and an empty hub that knows a made-up token."""
    monkeypatch.setenv("SHOESTRING_HOME", str(tmp_path / "home"))
    loopback_hub.users[SECRET] = User()
    return Shell(loopback_hub, tmp_path)
