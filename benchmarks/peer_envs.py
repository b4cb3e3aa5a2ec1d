"""Other people's tools, each in a virtual environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_KEPT = ("PATH", "LANG", "LD_LIBRARY_PATH", "PIP_INDEX_URL", "PIP_CONFIG_FILE", "PIP_FIND_LINKS")
TIMEOUT_S = 180


class ToolError(Exception):
    """A tool could not be installed or gave no answer; the message is its own last words."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment with one tool.

    Attributes:
        folder: where it lies.
        package: whose version counts.
        requirements: what pip is told.
    """

    folder: Path
    package: str
    requirements: tuple[str, ...]

    def make(self) -> None:
        """Install the tool unless it is there.

        Raises:
            ToolError: with pip's last words.
        """
        done = self.folder / "installed"
        if done.exists() and done.read_text() == repr(self.requirements):
            return
        _run([sys.executable, "-m", "venv", "--clear", str(self.folder)], dict(os.environ), 120)
        pip = [str(self.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, *self.requirements], dict(os.environ), 900)
        done.write_text(repr(self.requirements))

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def version(self) -> str:
        """Of the tool."""
        code = f"import importlib.metadata as m; print(m.version({self.package!r}))"
        return _run([str(self.python), "-c", code], self._environment({}), TIMEOUT_S).strip()

    def run(self, command: str, arguments: Sequence[str], extra: Mapping[str, str] | None = None) -> str:
        """What one of its commands prints.

        Raises:
            ToolError: it failed; its last words.
        """
        return _run(
            [str(self.folder / "bin" / command), *arguments], self._environment(extra or {}), TIMEOUT_S
        )

    def _environment(self, extra: Mapping[str, str]) -> dict[str, str]:
        """A home of its own, so that no tool sees the user's settings, tokens or caches."""
        home = self.folder / "home"
        home.mkdir(parents=True, exist_ok=True)
        kept = {key: os.environ[key] for key in _KEPT if key in os.environ}
        return kept | {"HOME": str(home), "COLUMNS": "160", "NO_COLOR": "1"} | dict(extra)


def _run(command: Sequence[str], environment: Mapping[str, str], timeout_s: float) -> str:
    try:
        done = subprocess.run(
            command, env=dict(environment), capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolError(str(error)) from error
    if done.returncode:
        words = [line for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
        raise ToolError(words[-1].strip() if words else f"exit status {done.returncode}")
    return done.stdout
