"""`shoestring run MODEL [PROMPT]`: one answer, or a chat."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from shoestring.cli import _chat
from shoestring.cli._answer import finish, show
from shoestring.cli._output import JSON, print_json, say
from shoestring.cli._progress import FetchDisplay
from shoestring.cli.inspect import MODEL
from shoestring.errors import UsageError

if TYPE_CHECKING:
    from shoestring.chat.model import Model
    from shoestring.chat.sampling import SamplingOptions


def run(
    ctx: typer.Context,
    model: str = MODEL,
    prompt: str | None = typer.Argument(None, help="What to say; - reads it from stdin. Without: a chat."),
    system: str | None = typer.Option(None, help="Instructions for the model."),
    max_tokens: int | None = typer.Option(
        None, help="Most new tokens.  [default: until the context is full]"
    ),
    temperature: float | None = typer.Option(None, help="0 always takes the likeliest token."),
    top_p: float | None = typer.Option(
        None, help="Likeliest tokens that together reach this probability; 1 is off."
    ),
    top_k: int | None = typer.Option(None, help="Only this many likeliest tokens; 0 is off."),
    min_p: float | None = typer.Option(
        None, help="Tokens at least this likely beside the likeliest; 0 is off."
    ),
    repeat_penalty: float | None = typer.Option(None, help="Above 1 discourages repetition; 1 is off."),
    seed: int | None = typer.Option(None, help="For the same answer again."),
    stop: list[str] | None = typer.Option(None, help="End before this text; may be given several times."),
    context: int | None = typer.Option(
        None, help="Tokens, prompt and answer together.  [default: the model's, at most 4096]"
    ),
    as_json: bool = JSON,
) -> None:
    """Let a model answer, or chat with it.

    Sampling options that are not given are the model's own; where it has none: temperature 0.8, top-p 0.95,
    top-k 40, min-p 0.05, repeat penalty 1.

    \b
    Examples:
      shoestring run smollm2 "What is the capital of France?" --temperature 0
      shoestring run smollm2 - --system "Summarise in one sentence." < notes.txt
      shoestring run ./model.gguf
    """
    sampling: SamplingOptions = {
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "top_k": top_k,
        "min_p": min_p,
        "repeat_penalty": repeat_penalty,
        "seed": seed,
        "stop": stop or None,
    }
    said = sys.stdin.read() if prompt == "-" else prompt
    _check_before_fetching(said, sampling, as_json)
    with _open(ctx, model, context) as opened:
        opened.start_loading()
        if said is None:
            _chat.chat(opened, system, sampling)
        else:
            _answer(opened, said, system, sampling, as_json)


def _check_before_fetching(prompt: str | None, sampling: SamplingOptions, as_json: bool) -> None:
    """What can never work is said before anything is fetched or loaded."""
    from shoestring.chat.sampling import choose

    choose(None, sampling)
    if prompt is not None and not prompt.strip():
        raise UsageError("The prompt is empty.", "Say something to the model.")
    if prompt is None and as_json:
        raise UsageError("A chat has no single JSON document.", "Give a prompt to get one.")


def _open(ctx: typer.Context, model: str, context: int | None) -> Model:
    from shoestring import api
    from shoestring.cli import EarlyWorker
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
