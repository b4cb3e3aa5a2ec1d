"""`shoestring run MODEL [PROMPT]`: one answer, or a chat."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from shoestring.cli import EarlyWorker, _chat, _options
from shoestring.cli._answer import finish, show
from shoestring.cli._output import print_json, say
from shoestring.cli._progress import FetchDisplay
from shoestring.errors import UsageError

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from shoestring.chat.model import Model
    from shoestring.chat.sampling import SamplingOptions


@click.command()
@_options.model
@click.argument("prompt", required=False)
@click.option("--system", metavar="TEXT", help="Instructions for the model.")
@click.option(
    "--max-tokens", type=int, metavar="N", help="Most new tokens.  [default: until the context is full]"
)
@click.option("--temperature", type=float, metavar="T", help="0 always takes the likeliest token.")
@click.option("--top-p", type=float, metavar="P", help="Likeliest tokens that reach P together; 1 is off.")
@click.option("--top-k", type=int, metavar="N", help="The N likeliest tokens; 0 is off.")
@click.option("--min-p", type=float, metavar="P", help="Tokens P times as likely as the likeliest; 0 is off.")
@click.option("--repeat-penalty", type=float, metavar="R", help="Above 1 discourages repetition; 1 is off.")
@click.option("--seed", type=int, metavar="N", help="The same seed gives the same answer.")
@click.option(
    "--stop", multiple=True, metavar="TEXT", help="End before this text; may be given several times."
)
@_options.context
@_options.as_json
@click.pass_context
def run(
    ctx: click.Context,
    model: str,
    prompt: str | None,
    system: str | None,
    context: int | None,
    as_json: bool,
    **sampling: Unpack[SamplingOptions],
) -> None:
    """Let a model answer PROMPT, or chat with it where there is none.

    MODEL is a name (see `shoestring models list`) or the path of a .gguf file. A PROMPT of - is read from stdin.

    Sampling options that are not given are the model's own; where it has none: temperature 0.8, top-p 0.95,
    top-k 40, min-p 0.05, repeat penalty 1.

    \b
    Examples:
      shoestring run smollm2 "What is the capital of France?" --temperature 0
      shoestring run smollm2 - --system "Summarise in one sentence." < notes.txt
      shoestring run ./model.gguf
    """
    said = _stdin() if prompt == "-" else prompt
    _check_before_fetching(said, sampling, as_json)
    with _open(ctx, model, context) as opened:
        opened.start_loading()
        if said is None:
            _chat.chat(opened, system, sampling)
        else:
            _answer(opened, said, system, sampling, as_json)


def _stdin() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise UsageError("What came on stdin is not UTF-8 text.", "Give it a text file.") from error


def _check_before_fetching(prompt: str | None, sampling: SamplingOptions, as_json: bool) -> None:
    """What can never work is said before anything is fetched or loaded."""
    from shoestring.chat.messages import conversation
    from shoestring.chat.sampling import choose

    choose(None, sampling)
    if prompt is not None:
        conversation(prompt)
    if prompt is None and as_json:
        raise UsageError("A chat has no single JSON document.", "Give a prompt to get one.")


def _open(ctx: click.Context, model: str, context: int | None) -> Model:
    from shoestring import api
    from shoestring.planning.base import Request

    early = ctx.find_object(EarlyWorker)
    with FetchDisplay() as progress:
        return api.open_model(
            model, Request(context), progress=progress, worker=early.take() if early else None
        )


def _answer(model: Model, prompt: str, system: str | None, sampling: SamplingOptions, as_json: bool) -> None:
    stream = model.chat(prompt, system=system, stream=True, **sampling)
    for note in stream.notes:
        say(note)
    if as_json:
        print_json(stream.answer)
        return
    show(stream)
    finish(stream.answer)
