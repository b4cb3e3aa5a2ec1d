"""Data on stdout, as text for people or as one JSON document; everything else on stderr."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, TypeVar

from shoestring.cli._streams import discard

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

T = TypeVar("T")

_CONTROLS = dict.fromkeys({*range(32), *range(127, 160)} - {ord("\n"), ord("\t")})
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

    try:
        encoded = msgspec.json.format(msgspec.json.encode(document, enc_hook=_encode), indent=2)
    except UnicodeEncodeError:  # a file name that is not UTF-8 holds lone surrogates, which JSON can escape
        import json

        encoded = json.dumps(msgspec.to_builtins(document, enc_hook=_encode), indent=2).encode()
    # DEL and C1 can only stand inside strings here; JSON need not escape them, but a terminal obeys them.
    text = re.sub("[\x7f-\x9f]", lambda found: f"\\u{ord(found[0]):04x}", encoded.decode())
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode() + b"\n")  # UTF-8, whatever the terminal's character set
    sys.stdout.flush()


def _encode(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(f"{type(value).__name__} has no JSON form")


def console(file: TextIO | None = None) -> Console:
    """rich's console on stdout (or `file`): coloured on a terminal unless NO_COLOR is set, plain in a pipe."""
    from shoestring.cli._screen import Screen

    file = file or sys.stdout
    width = None if file.isatty() or "COLUMNS" in os.environ else _PIPE_WIDTH
    return Screen(file=file, highlight=False, markup=False, emoji=False, soft_wrap=False, width=width)


def say(text: str = "", *, lead: str = "", alarm: bool = False, dim: bool = False, wrap: bool = True) -> None:
    """A line for people, on stderr, wrapped at words where a terminal is too narrow for it.

    Args:
        lead: a word in front, bold, such as `hint:`; red with `alarm`.
        dim: less prominent than the rest.
        wrap: False for what is to be copied.
    """
    lines = printable(f"{lead} {text}" if lead else text).split("\n")
    if wrap and (width := _terminal_width()):
        lines = [part for line in lines for part in _wrapped(line, width)]
    if dim:
        lines = [_styled(line, "2") for line in lines]
    if lead:
        lines[0] = _styled(lead, "1;31" if alarm else "1") + lines[0].removeprefix(lead)
    try:
        sys.stderr.write("\n".join(lines) + "\n")
        sys.stderr.flush()
    except OSError:  # nobody can be told, but that is no reason to lose the answer
        discard(sys.stderr)


def printable(text: str) -> str:
    """A text without what a terminal would obey: C0 (but for new line and tab), DEL and C1 characters."""
    return text.translate(_CONTROLS)


def _wrapped(line: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False) or [""]


def _terminal_width() -> int | None:
    """Columns of the terminal that stderr is; None where it is none, or does not tell."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or None if sys.stderr.isatty() else None
    except OSError:
        return None


def _styled(text: str, code: str) -> str:
    if not sys.stderr.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\033[{code}m{text}\033[0m"
