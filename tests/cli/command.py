"""The real command, as tests start it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hub_server import Hub

Command = Callable[..., subprocess.CompletedProcess[str]]
COMMAND = [sys.executable, "-W", "error", "-m", "shoestring"]
SECRET = "hf_ThisIsNobodysToken123"


@dataclass
class Shell:
    """Runs commands in one home, against one hub."""

    hub: Hub
    home: Path
    said: str = ""

    def __call__(self, *arguments: str, stdin: str = "", **environment: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [*COMMAND, *arguments],
            input=stdin,
            env={**os.environ, **self.hub.environment(self.home / "hf"), **environment},
            capture_output=True,
            text=True,
        )
        self.said += done.stdout + done.stderr
        return done.returncode, done.stdout, done.stderr
