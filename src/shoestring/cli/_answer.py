"""How an answer looks: its text on stdout as it comes, then one quiet line on stderr."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from shoestring.cli._output import faint, say
from shoestring.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from shoestring.chat.answer import Answer, Stream


def show(stream: Stream) -> None:
    """Write the pieces as they come, and end the line, even when interrupted."""
    out = sys.stdout
    try:
        for piece in stream:
            out.write(_printable(piece) if out.isatty() else piece)
            out.flush()
    finally:
        if not stream.text.endswith("\n"):
            out.write("\n")
            out.flush()


def finish(answer: Answer) -> None:
    """Why the answer ended, where that was not the model's own choice, and what it cost."""
    if answer.finish_reason == "length":
        say(faint(f"stopped after {answer.usage.completion_tokens:,} tokens, as many as were allowed"))
    if answer.finish_reason == "context":
        say(faint(f"stopped: the context of {answer.plan.context:,} tokens is full"))
    say(faint(summary(answer)))


def summary(answer: Answer) -> str:
    """`118 tok/s · first token 210 ms · memory 201 MB (predicted 218 MB with the context full)`."""
    timings, memory = answer.timings, answer.memory
    parts = []
    if timings.decode_tokens_per_s is not None:
        parts.append(f"{timings.decode_tokens_per_s:.0f} tok/s")
    if timings.time_to_first_token_s is not None:
        parts.append(f"first token {format_seconds(timings.time_to_first_token_s)}")
    predicted = f"{format_bytes(memory.predicted_bytes)} with the context full"
    if memory.measured_peak_bytes is None:
        parts.append(f"memory predicted {predicted}")
    else:
        parts.append(f"memory {format_bytes(memory.measured_peak_bytes)} (predicted {predicted})")
    return " · ".join(parts)


def _printable(text: str) -> str:
    """A model's text, without what a terminal would obey: escape sequences and other control characters."""
    return "".join(c for c in text if c in "\n\t" or not (ord(c) < 32 or 127 <= ord(c) < 160))
