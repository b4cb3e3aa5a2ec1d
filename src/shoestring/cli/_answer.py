"""How an answer looks: its text on stdout as it comes, then one quiet line on stderr."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from shoestring.cli._output import printable, say
from shoestring.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from shoestring.chat.answer import Answer, Stream


def show(stream: Stream) -> None:
    """Write the pieces as they come, and end the line, even when interrupted."""
    out = sys.stdout
    try:
        for piece in stream:
            out.write(printable(piece) if out.isatty() else piece)
            out.flush()
    finally:
        if not stream.text.endswith("\n"):
            out.write("\n")
            out.flush()


def finish(answer: Answer) -> None:
    """Why the answer ended, where that was not the model's own choice, and what it cost."""
    if answer.finish_reason == "length":
        say(f"stopped after {answer.usage.completion_tokens:,} tokens, as many as were allowed", dim=True)
    if answer.finish_reason == "context":
        say(f"stopped: the context of {answer.plan.context:,} tokens is full", dim=True)
    if answer.finish_reason == "repetition":
        say("stopped: the answer went round in a loop", dim=True)
    say(summary(answer), dim=True)


def summary(answer: Answer) -> str:
    """`131 tok/s · first token 147 ms · memory 257 MB (277 MB predicted when full)`."""
    timings, memory = answer.timings, answer.memory
    parts = []
    if timings.decode_tokens_per_s is not None:
        parts.append(f"{timings.decode_tokens_per_s:.0f} tok/s")
    if timings.time_to_first_token_s is not None:
        parts.append(f"first token {format_seconds(timings.time_to_first_token_s)}")
    predicted = f"{format_bytes(memory.predicted_bytes)} predicted when full"
    if memory.measured_peak_bytes is None:
        parts.append(f"memory {predicted}")
    else:
        parts.append(f"memory {format_bytes(memory.measured_peak_bytes)} ({predicted})")
    return " · ".join(parts)
