"""`shoestring run MODEL [PROMPT]`: one answer, or a chat."""

from __future__ import annotations

import sys
from dataclasses import fields
from typing import TYPE_CHECKING

import click

from shoestring.cli import EarlyWorker, _chat, _options
from shoestring.cli._answer import finish, show
from shoestring.cli._errors import FAILED
from shoestring.cli._output import console, present, print_json, say
from shoestring.cli._progress import FetchDisplay
from shoestring.errors import UsageError

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from shoestring.chat.check import CheckReport
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
@click.option(
    "--logprobs",
    type=int,
    metavar="N",
    help="With --json: how likely each token was, and N others beside it.",
)
@click.option("--allow-loops", is_flag=True, help="Let an answer go on that repeats itself without end.")
@click.option(
    "--template",
    metavar="NAME|FILE",
    help="A chat format in place of the model's own: chatml, llama3, gemma…",
)
@_options.context
@click.option("--engine", metavar="NAME", help="llama_cpp or transformers.  [default: by the model's format]")
@_options.precision
@_options.kv_precision
@_options.ram
@_options.vram
@click.option(
    "--auto",
    is_flag=True,
    help="Where memory fails, go on with the next smaller plan, and say what is given up.",
)
@click.option(
    "--check",
    is_flag=True,
    help="See first whether the model works: a known answer, sound numbers. Alone: only that.",
)
@click.option(
    "--trust-remote-code",
    is_flag=True,
    help="Consent to running Python code that the model's authors ship with it. It runs with your rights, and can do "
    "whatever you can: read it first.",
)
@_options.offline
@click.option("--verbose", is_flag=True, help="Show what loading brought: bytes by dtype, every device.")
@_options.as_json
@click.pass_context
def run(
    ctx: click.Context,
    model: str,
    prompt: str | None,
    system: str | None,
    allow_loops: bool,
    template: str | None,
    auto: bool,
    check: bool,
    trust_remote_code: bool,
    offline: bool,
    verbose: bool,
    as_json: bool,
    context: int | None,
    engine: str | None,
    precision: str | None,
    kv_precision: str | None,
    ram: str | None,
    vram: str | None,
    **sampling: Unpack[SamplingOptions],
) -> int:
    """Let a model answer PROMPT, or chat with it where there is none.

    MODEL is a name (see `shoestring models list`), a model of the Hugging Face hub (org/name, org/name:Q4_K_M), the path
    of a .gguf file, or a folder with config.json and safetensors. GGUF runs on llama.cpp, the rest on transformers. A
    PROMPT of - is read from stdin.

    Sampling options that are not given are the model's own; where it has none: temperature 0.8, top-p 0.95,
    top-k 40, min-p 0.05, repeat penalty 1.

    \b
    Examples:
      shoestring run smollm2 "What is the capital of France?" --temperature 0
      shoestring run smollm2 - --system "Summarise in one sentence." < notes.txt
      shoestring run ./model.gguf
      shoestring run ./my-checkpoint "Hello" --precision nf4 --check
      shoestring run org/name "Hello" --auto
      shoestring run org/name-GGUF:Q4_K_M "Hello"
    """
    from shoestring import api
    from shoestring.planning.request import request

    if allow_loops:
        sampling["stop_loops"] = False
    said = _stdin() if prompt == "-" else prompt
    only_check = check and said is None
    _check_before_fetching(said, sampling, as_json=as_json, only_check=only_check)
    wish = request(
        context=context,
        ram=ram,
        vram=vram,
        precision=precision,
        kv_precision=kv_precision,
        engine=engine,
    )
    early = ctx.find_object(EarlyWorker)
    with FetchDisplay() as progress:
        opened = api.open_model(
            model,
            wish,
            trust_remote_code=trust_remote_code,
            auto=auto,
            told=lambda step: say(str(step)),
            template=template,
            worker=early.take() if early else None,
            progress=progress,
            offline=offline,
        )
    with opened:
        for remark in opened.facts.origin.remarks if opened.facts.origin is not None else ():
            say(remark)
        opened.start_loading()
        report = opened.check() if check else None
        if report is not None and (only_check or not report.passed):
            return _only_check(opened, report, as_json=as_json, verbose=verbose)
        if said is None:
            _chat.chat(opened, system, sampling, verbose=verbose)
        else:
            _answer(opened, said, system, sampling, report, as_json=as_json, verbose=verbose)
    return 0


def _stdin() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise UsageError("What came on stdin is not UTF-8 text.", "Give it a text file.") from error


def _check_before_fetching(
    prompt: str | None, sampling: SamplingOptions, *, as_json: bool, only_check: bool
) -> None:
    """What can never work is said before anything is fetched or loaded."""
    from shoestring.chat.messages import conversation
    from shoestring.chat.sampling import choose

    choose(None, sampling)
    if prompt is not None:
        conversation(prompt)
    if prompt is None and as_json and not only_check:
        raise UsageError("A chat has no single JSON document.", "Give a prompt to get one.")
    if sampling.get("logprobs") is not None and not as_json:
        raise UsageError("Log-probabilities are shown in JSON only.", "Ask for a JSON document.")


def _only_check(model: Model, report: CheckReport, *, as_json: bool, verbose: bool) -> int:
    """What the check found is all that is printed, because it was all that was asked for, or because it failed."""
    from shoestring.cli._load import checked, loaded

    if not as_json:
        loaded(model, verbose=verbose)
    present(report, checked, as_json=as_json)
    return 0 if report.passed else FAILED


def _answer(
    model: Model,
    prompt: str,
    system: str | None,
    sampling: SamplingOptions,
    report: CheckReport | None,
    *,
    as_json: bool,
    verbose: bool,
) -> None:
    from shoestring.cli._load import checked, loaded

    stream = model.chat(prompt, system=system, stream=True, **sampling)
    for note in stream.notes:
        say(note)
    if as_json:
        answer = stream.answer
        document = {field.name: getattr(answer, field.name) for field in fields(answer)}
        print_json(document if report is None else document | {"check": report})
        return
    loaded(model, verbose=verbose)
    if report is not None:
        for part in checked(report):
            console(sys.stderr).print(part)
    show(stream)
    finish(stream.answer)
