"""Loops are noticed soon, and nothing that people or programs repeat on purpose."""

from __future__ import annotations

import base64
import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoestring.engines.base import Event, Finished, GenerationTimings, Prefill, Token, Usage
from shoestring.engines.repetition import LoopWatch, UntilItLoops

RECORDED = json.loads((Path(__file__).parent / "greedy_answers.json").read_text(encoding="utf-8"))


def _noticed(text: str) -> int | None:
    """After how many characters a loop is noticed; None if never."""
    watch = LoopWatch()
    return next((i for i, character in enumerate(text, 1) if watch.push(character)), None)


@pytest.mark.parametrize("record", RECORDED, ids=lambda r: f"{r['model']}, {r['form']}: {r['question']}")
def test_of_real_greedy_answers_those_that_loop_are_noticed_and_no_others(record: dict[str, str]) -> None:
    """Recorded by `benchmarks/greedy_answers.py`, then looked through: all marked `loops` do; the others do not, or count, or
    have gone round a long unit too few times yet."""
    assert (_noticed(record["text"]) is not None) == record["loops"]


def test_an_answer_that_the_model_ended_itself_is_no_loop() -> None:
    ended = [record["text"] for record in RECORDED if record["finish_reason"] == "stop"]
    assert len(ended) >= 12
    assert [text for text in ended if _noticed(text) is not None] == []


LEGITIMATE = {
    "links to fill in": '<li><a href="#">Link</a></li>\n' * 8,
    "a love letter": "I love you. " * 10,
    "laughter": "Ha ha ha! " + "ha ha ha ha ha " * 5,
    "a chorus": (
        "Row, row, row your boat,\nGently down the stream.\n" + "Merrily, merrily, merrily, merrily,\n"
    )
    * 4,
    "counting": ", ".join(str(i) for i in range(1, 1001)),
    "counting in words": "\n".join(f"{i}. Item {i}" for i in range(1, 200)),
    "weeks to fill in": "\n".join(f"Week {i}:" for i in range(1, 53)),
    "times table": "\n".join(f"7 x {i} = {7 * i}" for i in range(1, 101)),
    "fizz buzz": "\n".join("Fizz" * (i % 3 == 0) + "Buzz" * (i % 5 == 0) or str(i) for i in range(1, 101)),
    "a table's ruler": "| " + " | ".join(["name"] * 6) + " |\n" + "|---" * 40 + "|\n",
    "a ruler": "=" * 500 + "\nTitle\n" + "-" * 500,
    "a table of contents": "\n".join(f"Chapter {i} {'.' * 60} {i * 7}" for i in range(1, 30)),
    "an empty grid": "\n".join("[" + ", ".join("0" * 9) + "]," for _ in range(9)),
    "an identity matrix": "\n".join(" ".join("1" if i == j else "0" for j in range(12)) for i in range(12)),
    "an empty table": "<tr>" + "<td></td>" * 20 + "</tr>\n",
    "indentation": "def f():\n" + "\n".join(" " * 4 * i + "if x:" for i in range(1, 20)),
    "a hex dump of zeros": "\n".join(f"{i * 16:08x}  " + "00 " * 16 for i in range(40)),
    "base64 of zeros": base64.b64encode(bytes(200)).decode(),
    "base64": base64.b64encode(random.Random(1).randbytes(3000)).decode(),
    "inserts": "\n".join(f"INSERT INTO t VALUES ({i}, {i * i});" for i in range(1, 150)),
    "assertions": "\n".join(f"assert square({i}) == {i * i}" for i in range(1, 100)),
    "fields to fill in": "Name: ________________________\n" * 4 + "Date: ____________\n",
    "emoji": "😂" * 40,
    "a shout": "N" + "o" * 300 + "!",
    "chinese laughter": "哈" * 60,
    "the same line in a poem thrice": "And miles to go before I sleep, and miles to go before I sleep.\n" * 3,
}


@pytest.mark.parametrize("text", LEGITIMATE.values(), ids=LEGITIMATE)
def test_what_is_repeated_on_purpose_passes(text: str) -> None:
    assert _noticed(text) is None


LOOPS = {
    "a sentence": ("I am also fine. ", 14),
    "two sentences": ("How are you?\nI'm fine, thank you. And you?\n", 9),
    "one word": ("the ", 81),
    "one letter": ("a", 641),
    "one number": ("216\n\n", 65),
    "line breaks": ("\n", 641),
    "a chinese sentence": ("我很高兴认识你。", 15),
    "a paragraph": (
        "Photosynthesis is a process in which plants use light energy to make sugar from water. " * 3,
        6,
    ),
}


@pytest.mark.parametrize(("unit", "copies"), LOOPS.values(), ids=LOOPS)
def test_a_loop_is_noticed_within_so_many_copies(unit: str, copies: int) -> None:
    at = _noticed("Well, here is what I think of it: " + unit * 700)
    assert at is not None
    assert at <= 34 + len(unit) * copies


def test_a_loop_that_counts_is_noticed() -> None:
    at = _noticed("".join(f"{i}. Calm\n" for i in range(1, 1000)))
    assert at is not None
    assert at < len("10. Calm\n") * 70


def test_a_loop_after_a_long_text_is_noticed() -> None:
    words = random.Random(2)
    before = " ".join("".join(words.choices("abcdefghij", k=5)) for _ in range(5000))
    assert _noticed(before) is None
    assert _noticed(before + "I am fine, and you are fine. " * 20) is not None


def test_a_loop_that_was_left_again_counts_anew() -> None:
    assert _noticed(("I am also fine. " * 12 + "But then something else happened to me. ") * 2) is None


@given(unit=st.text(min_size=1, max_size=300), before=st.text(max_size=50), pieces=st.integers(1, 40))
def test_any_text_repeated_long_enough_is_noticed_whatever_the_pieces(
    unit: str, before: str, pieces: int
) -> None:
    copies = max(40, 900 // len(unit.encode("utf-8", "replace")) + 1)
    text = before + unit * (copies + 2)
    watch = LoopWatch()
    assert any(watch.push(text[i : i + pieces]) for i in range(0, len(text), pieces))


@given(st.integers(0, 2**32), st.sampled_from(["abcdefghijklmnopqrstuvwxyz ", "01", "ab\n", "0123456789, "]))
def test_random_text_is_never_a_loop(seed: int, alphabet: str) -> None:
    assert _noticed("".join(random.Random(seed).choices(alphabet, k=3000))) is None


def test_memory_stays_bounded() -> None:
    watch = LoopWatch()
    for _ in range(30):
        watch.push("".join(random.Random(3).choices("abcdefgh", k=1000)))
    periods = (watch._verbatim, watch._counted)
    assert all(len(period._text) <= 8000 and len(period._last_at) <= 8000 for period in periods)


SYSTEM = "You are a helpful AI assistant."
"""What the starter's answers were recorded with."""
END = Finished("cancelled", Usage(3, 90), GenerationTimings(0.1, 0.2))


def _guarded(events: list[Event]) -> tuple[list[Event], bool]:
    """What is passed on of these events, and whether the engine is then told to stop."""
    passed: list[Event] = []
    guard = UntilItLoops(passed.append, lambda: False)
    for event in events:
        guard.emit(event)
    return passed, guard.cancelled()


def test_an_engine_that_loops_is_told_to_stop_and_its_end_is_named() -> None:
    loop: list[Event] = [Token("I am also fine. ")] * 40
    passed, stopped = _guarded([Prefill(3, 3), *loop, END])
    assert stopped
    assert passed[-1] == Finished("repetition", END.usage, END.timings)


def test_an_engine_that_does_not_loop_is_left_alone() -> None:
    events: list[Event] = [Prefill(3, 3), Token("I am "), Token("fine."), END]
    assert _guarded(events) == (events, False)


def test_nothing_that_was_generated_is_kept_back() -> None:
    events: list[Event] = [Token("I am also fine. ")] * 40
    assert _guarded([*events, END])[0][:-1] == events


def test_who_cancels_is_still_heard() -> None:
    assert UntilItLoops(lambda _: None, lambda: True).cancelled()


@pytest.mark.model
@pytest.mark.parametrize("question", ["What is the capital of France?", "How are you?", "Tell me a joke."])
def test_the_greedy_loop_of_the_real_gemma_is_noticed_within_a_hundred_tokens(
    gemma_files: tuple[Path, ...], question: str
) -> None:
    from shoestring import api

    watch = LoopWatch()
    with api.load(str(gemma_files[0]), context=512) as model:
        stream = model.complete(question, temperature=0, max_tokens=200, stream=True)
        n_pieces = next((n for n, piece in enumerate(stream, 1) if watch.push(piece)), None)
        stream.close()
    assert n_pieces is not None
    assert n_pieces <= 100


@pytest.mark.model
def test_an_answer_that_was_stopped_for_its_loop_has_its_figures(smollm2_files: tuple[Path, ...]) -> None:
    from shoestring import api

    with api.load(str(smollm2_files[0]), context=512) as model:
        ask = "Write a haiku about autumn."
        first, again = (model.chat(ask, system=SYSTEM, temperature=0, max_tokens=250) for _ in range(2))
    assert (first.finish_reason, again.finish_reason) == ("repetition", "repetition")
    assert (first.usage.cached_tokens, again.usage.cached_tokens > 0) == (0, True)
    assert first.timings.prefill_tokens_per_s is not None
    assert first.timings.decode_tokens_per_s is not None


@pytest.mark.model
def test_a_loop_may_go_on_where_it_is_wanted(gemma_files: tuple[Path, ...]) -> None:
    from shoestring import api

    with api.load(str(gemma_files[0]), context=512) as model:
        answer = model.complete("Tell me a joke.", temperature=0, max_tokens=150, stop_loops=False)
    assert (answer.finish_reason, answer.usage.completion_tokens) == ("length", 150)
