"""Data on stdout, as text for people or as one JSON document; everything else on stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, TypeVar

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

T = TypeVar("T")

_PIPE_WIDTH = 160  # columns; nothing is wrapped or cut where nobody looks at a screen


def present(found: T, view: Callable[[T], Iterable[RenderableType]], *, as_json: bool) -> None:
    """Print a report: as JSON, or as `view` shows it to people."""
    if as_json:
        print_json(found)
        return
    screen = console()
    with screen.capture() as drawn:
        for part in view(found):
            screen.print(part)
    # Tables pad their last column; nobody wants that in a file or a paste.
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in drawn.get().splitlines()))
    sys.stdout.flush()


def print_json(document: object) -> None:
    """One indented JSON document on stdout, with the names of the dataclass fields."""
    import msgspec

    encoded = msgspec.json.encode(document, enc_hook=_encode)
    sys.stdout.write(msgspec.json.format(encoded, indent=2).decode() + "\n")
    sys.stdout.flush()


def _encode(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(f"{type(value).__name__} has no JSON form")


def console(file: TextIO | None = None) -> Console:
    """rich's console on stdout (or `file`): coloured on a terminal unless NO_COLOR is set, plain in a pipe."""
    from rich.console import Console

    file = file or sys.stdout
    width = None if file.isatty() or "COLUMNS" in os.environ else _PIPE_WIDTH
    return Console(file=file, highlight=False, markup=False, emoji=False, soft_wrap=False, width=width)


def say(text: str = "") -> None:
    """A line for people, on stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def emphasis(text: str, *, red: bool = False) -> str:
    """Bold on a coloured stderr."""
    return _styled(text, "1;31" if red else "1")


def faint(text: str) -> str:
    """Dim on a coloured stderr."""
    return _styled(text, "2")


def _styled(text: str, code: str) -> str:
    if not sys.stderr.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\033[{code}m{text}\033[0m"
