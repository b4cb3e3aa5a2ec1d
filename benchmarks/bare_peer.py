"""A long-lived `bare_xllamacpp.py serve`, spoken to over pipes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("bare_xllamacpp.py")


@dataclass(frozen=True)
class Rates:
    """Tokens per second as the caller saw them, and the text."""

    prefill: float
    decode: float
    text: str


class BarePeer:
    """One bare process with the model loaded."""

    def __init__(self, model: Path, settings: dict[str, int]) -> None:
        command = [sys.executable, str(SCRIPT), str(model), json.dumps(settings), "serve"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._read()  # "ready"

    def generate(self, prompt: list[int], n_tokens: int) -> Rates:
        """Greedy tokens after a prompt of ids."""
        if self._process.stdin is None:
            raise RuntimeError("the peer has no pipe")
        self._process.stdin.write(json.dumps({"prompt": prompt, "n": n_tokens}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._read())
        decode = (answer["pieces"] - 1) / answer["rest_s"]
        return Rates(len(prompt) / answer["first_s"], decode, answer["text"])

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _read(self) -> str:
        if self._process.stdout is None:
            raise RuntimeError("the peer has no pipe")
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the bare peer ended")
        return line
