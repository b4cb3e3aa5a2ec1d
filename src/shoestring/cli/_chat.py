"""The chat loop of `run`: a line in, an answer out, until a person says /bye or the input ends."""

from __future__ import annotations

import contextlib
import re
import sys
from typing import TYPE_CHECKING

from shoestring.cli._answer import finish, show
from shoestring.cli._load import loaded
from shoestring.cli._output import say
from shoestring.errors import PromptTooLongError, ShoestringError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoestring.chat.answer import Stream
    from shoestring.chat.model import Model
    from shoestring.chat.sampling import SamplingOptions


# A word after a slash, and maybe more words; `/etc/passwd` is none.
_COMMAND = re.compile(r"/(?P<name>\w+)(\s.*)?", re.DOTALL)
_ENDS = ("bye", "exit", "quit")
_HELP = "/help shows this · /bye, /exit, /quit or Ctrl-D ends · Ctrl-C stops an answer or clears the line"


def chat(model: Model, system: str | None, sampling: SamplingOptions, *, verbose: bool = False) -> None:
    """Answer line by line, and tell what loading brought before the first answer. Ctrl-C stops an answer, not the chat; twice in a row at the prompt it ends the chat."""
    interactive = sys.stdin.isatty()
    if interactive:
        _greet(model)
    elif model.kind == "base":
        say(_base_sentence(model))
    conversation = model.conversation(system=system) if model.kind == "chat" else None
    told = False
    for line in _lines(interactive):
        if not line.strip():
            continue
        try:
            if conversation is None:
                stream = model.chat(line, system=system, stream=True, **sampling)
            else:
                stream = conversation.say(line, **sampling)
            if not told:
                loaded(model, verbose=verbose)
                told = True
            _answer(stream)
        except ShoestringError as error:
            if not interactive:
                raise
            _explain(error)


def _explain(error: ShoestringError) -> None:
    """A turn that failed does not end the chat: the conversation is as it was, and a dead worker is replaced."""
    say(error.message, lead="error:", alarm=True)
    if isinstance(error, PromptTooLongError):
        say("This turn was left out. Say less, or start again with a larger --context.", dim=True)
    elif error.hint:
        say(error.hint, dim=True)


def _answer(stream: Stream) -> None:
    try:
        show(stream)
    except KeyboardInterrupt:
        stream.close()
        say("stopped", dim=True)
        return
    finish(stream.answer)


def _greet(model: Model) -> None:
    say(f"{model.facts.id} · {model.kind} · context {model.plan.context:,} tokens")
    if model.kind == "base":
        say(_base_sentence(model))
    say("/bye or Ctrl-D ends · Ctrl-C stops an answer · /help", dim=True)


def _base_sentence(model: Model) -> str:
    return f"{model.facts.id} is a base model: it continues the text instead of answering."


def _lines(interactive: bool) -> Iterator[str]:
    """What is for the model: lines from a person, with editing, history and /commands, or all lines of a pipe."""
    if not interactive:
        yield from (line.rstrip("\n") for line in sys.stdin)
        return
    with contextlib.suppress(ImportError):  # Windows has none
        import readline  # noqa: F401  (gives input() editing and history)
    interrupted = False
    while True:
        try:
            line = input(">>> ")
        except EOFError:
            say()
            return
        except KeyboardInterrupt:
            say()
            if interrupted:
                return
            interrupted = True
            say("Ctrl-C again or Ctrl-D ends", dim=True)
            continue
        interrupted = False
        command = _COMMAND.fullmatch(line.strip())
        if command is None:
            yield line
        elif command["name"] in _ENDS:
            return
        else:
            _obey(command["name"])


def _obey(name: str) -> None:
    if name != "help":
        say(f"unknown command: /{name}")
    say(_HELP, dim=True)
