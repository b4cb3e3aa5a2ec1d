"""The chat loop of `run`: a line in, an answer out, until /bye or the end of the input."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from shoestring.cli._answer import finish, show
from shoestring.cli._output import emphasis, faint, say
from shoestring.errors import PromptTooLongError, ShoestringError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoestring.chat.answer import Stream
    from shoestring.chat.model import Model
    from shoestring.chat.sampling import SamplingOptions


def chat(model: Model, system: str | None, sampling: SamplingOptions) -> None:
    """Answer line by line. Ctrl-C stops an answer, not the chat; at the prompt it ends the chat."""
    interactive = sys.stdin.isatty()
    if interactive:
        _greet(model)
    elif model.kind == "base":
        say(_base_sentence(model))
    conversation = model.conversation(system=system) if model.kind == "chat" else None
    for line in _lines(interactive):
        if not line.strip():
            continue
        try:
            if conversation is None:
                _answer(model.chat(line, system=system, stream=True, **sampling))
            else:
                _answer(conversation.say(line, **sampling))
        except ShoestringError as error:
            if not interactive:
                raise
            _explain(error)


def _explain(error: ShoestringError) -> None:
    """A turn that failed does not end the chat: the conversation is as it was, and a dead worker is replaced."""
    say(f"{emphasis('error:', red=True)} {error.message}")
    if isinstance(error, PromptTooLongError):
        say(faint("This turn was left out. Say less, or start again with a larger --context."))
    elif error.hint:
        say(faint(error.hint))


def _answer(stream: Stream) -> None:
    try:
        show(stream)
    except KeyboardInterrupt:
        stream.close()
        say(faint("stopped"))
        return
    finish(stream.answer)


def _greet(model: Model) -> None:
    say(f"{model.facts.id} · {model.kind} · context {model.plan.context:,} tokens")
    if model.kind == "base":
        say(_base_sentence(model))
    say(faint("/bye or Ctrl-D ends · Ctrl-C stops an answer"))


def _base_sentence(model: Model) -> str:
    return f"{model.facts.id} is a base model: it continues the text instead of answering."


def _lines(interactive: bool) -> Iterator[str]:
    """Lines from a person, with editing and history, or from a pipe."""
    if not interactive:
        yield from (line.rstrip("\n") for line in sys.stdin)
        return
    with contextlib.suppress(ImportError):  # Windows has none
        import readline  # noqa: F401  (gives input() editing and history)
    while True:
        try:
            line = input(">>> ")
        except EOFError:
            say()
            return
        except KeyboardInterrupt:
            say(faint("\nended; /bye and Ctrl-D do so, too"))
            return
        if line.strip() == "/bye":
            return
        yield line
