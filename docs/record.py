"""Make docs/images/first-steps.svg: real commands, run in a pseudo-terminal, drawn as a terminal.

python docs/record.py
"""

from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import shlex
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

COMMANDS = (
    'shoestring run smollm2 "What is the capital of France?" --temperature 0',
    "shoestring plan smollm2 --context 8192",
    "shoestring plan gemma3-270m --context 8192 --ram 400MB",
)
WIDTH = 96
DOES_NOT_FIT = 3  # an answer, too
OUTPUT = Path(__file__).with_name("images") / "first-steps.svg"


def run_in_terminal(command: str) -> str:
    """What a command shows on a terminal of `WIDTH` columns, colours included."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"COLUMNS": str(WIDTH), "LINES": "40", "TERM": "xterm-256color"}
    arguments = [sys.executable, "-m", *shlex.split(command)]
    process = subprocess.Popen(arguments, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    shown = bytearray()
    with contextlib.suppress(OSError):  # Linux ends a pseudo-terminal with EIO
        while data := os.read(ours, 1 << 16):
            shown += data
    os.close(ours)
    if process.wait() not in (0, DOES_NOT_FIT):
        raise SystemExit(f"{command} failed:\n{shown.decode()}")
    return shown.decode().replace("\r\n", "\n")


def main() -> None:
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    for command in COMMANDS:
        console.print(Text(f"$ {command}", style="bold green"))
        console.print(Text.from_ansi(run_in_terminal(command)))
    OUTPUT.parent.mkdir(exist_ok=True)
    svg = console.export_svg(title="shoestring")
    # Rich links a web font; a picture in a README must not fetch anything.
    OUTPUT.write_text(re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL))
    print(f"wrote {OUTPUT}")


if __name__ == "__main__":
    main()
