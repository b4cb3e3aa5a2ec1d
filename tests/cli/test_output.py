"""What is written for people is printable and fits; what is written for programs is always valid."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from command import Command
from hypothesis import given
from hypothesis import strategies as st

from shoestring.chat.answer import Answer
from shoestring.cli import _output
from shoestring.cli._answer import show, summary
from shoestring.cli._output import present, print_json, printable, say
from shoestring.cli.models import view as models_view
from shoestring.models.cache import list_models

NASTY = "\x1b]0;owned\x07\x1b[2J\x9b31m\x7fname"


@given(st.text())
def test_printable_text_holds_nothing_a_terminal_obeys(text: str) -> None:
    shown = printable(text)
    assert all(c in "\n\t" or (ord(c) >= 32 and not 127 <= ord(c) < 160) for c in shown)
    assert printable(shown) == shown


def test_printable_text_keeps_lines_tabs_and_letters() -> None:
    assert printable("a\tb\nCafé 🎉") == "a\tb\nCafé 🎉"


def test_a_message_cannot_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    say(NASTY, lead="error:")
    assert capsys.readouterr().err == "error: ]0;owned[2J31mname\n"


def test_a_report_cannot_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    model = replace(list_models()[0], id=NASTY, license=NASTY, description=NASTY)
    present((model,), models_view, as_json=False)
    shown = capsys.readouterr().out
    assert "]0;owned[2J31mname" in shown
    assert printable(shown) == shown


def test_a_colour_of_ours_still_reaches_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from rich.text import Text

    monkeypatch.setenv("FORCE_COLOR", "1")
    present(None, lambda _: [Text(NASTY, style="bold")], as_json=False)
    assert capsys.readouterr().out == "\x1b[1m]0;owned[2J31mname\x1b[0m\n"


class _Pieces:
    text = NASTY

    def __iter__(self) -> Iterator[str]:
        return iter(NASTY)


@pytest.mark.parametrize(("terminal", "shown"), [(True, "]0;owned[2J31mname\n"), (False, f"{NASTY}\n")])
def test_a_models_text_is_cleaned_for_a_terminal_and_whole_in_a_pipe(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, terminal: bool, shown: str
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    show(cast(Any, _Pieces()))
    assert capsys.readouterr().out == shown


@given(st.text() | st.text(st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF, categories=["Cs"])))
def test_json_is_any_text_or_file_name_again_without_control_characters(text: str) -> None:
    with pytest.MonkeyPatch.context() as patched:
        written = bytearray()
        stream = SimpleNamespace(flush=lambda: None, buffer=SimpleNamespace(write=written.extend))
        patched.setattr("sys.stdout", stream)
        print_json({"text": text})
    assert json.loads(written.decode("utf-8")) == {"text": text}
    assert printable(written.decode()) == written.decode()


@pytest.mark.skipif(os.name != "posix", reason="file names are text here")
@pytest.mark.parametrize("command", [["run", b"\xff.gguf", "x"], ["inspect", b"\xff.gguf"]])
def test_a_file_name_that_is_no_text_can_be_told_in_json(shoestring: Command, command: list[Any]) -> None:
    result = shoestring(*command, "--json")
    assert "\udcff.gguf" in json.loads(result.stdout)["error"]["message"]
    assert (result.returncode, result.stderr) == (1, "")


def test_a_notice_is_wrapped_at_words_on_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_output, "_terminal_width", lambda: 20)
    say("one sentence that is too long for it", lead="hint:")
    say("try: shoestring run a-model --context 512", wrap=False)
    assert capsys.readouterr().err.splitlines() == [
        "hint: one sentence",
        "that is too long for",
        "it",
        "try: shoestring run a-model --context 512",
    ]


@pytest.mark.parametrize("measured", [256_800_000, None])
def test_the_line_under_an_answer_fits_a_terminal(measured: int | None) -> None:
    answer = SimpleNamespace(
        timings=SimpleNamespace(decode_tokens_per_s=131.2, time_to_first_token_s=0.147),
        memory=SimpleNamespace(predicted_bytes=277_200_000, measured_peak_bytes=measured),
    )
    line = summary(cast(Answer, answer))
    assert "277 MB predicted when full" in line
    assert len(line) <= 79


@pytest.mark.parametrize(
    ("columns", "licence", "table"), [(100, True, True), (70, False, True), (40, True, False)]
)
def test_the_list_of_models_drops_the_licence_then_stacks(
    shoestring: Command, home: Path, columns: int, licence: bool, table: bool
) -> None:
    shown = shoestring("models", "list", COLUMNS=str(columns)).stdout
    assert max(map(len, shown.splitlines())) <= columns
    assert ("Apache-2.0" in shown) is licence
    assert ("what it is" in shown) is table
    assert all(word in shown for word in ("gemma3-270m", "98.4 MB", "no, ", "does"))
