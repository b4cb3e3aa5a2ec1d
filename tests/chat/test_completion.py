"""A base model is given questions and answers to go on with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from shoestring import api
from shoestring.chat.completion import as_completion
from shoestring.chat.messages import Message
from shoestring.chat.model import Model

HI, ANSWER, BYE = Message("user", "Hi "), Message("assistant", " Hello"), Message("user", "Bye")


def test_a_question_waits_for_its_answer() -> None:
    assert as_completion([HI]).text == "Question: Hi\nAnswer:"


def test_the_turns_before_are_questions_and_answers() -> None:
    assert as_completion([HI, ANSWER, BYE]).text == "Question: Hi\nAnswer: Hello\nQuestion: Bye\nAnswer:"


def test_instructions_stand_above() -> None:
    assert as_completion([Message("system", "Be brief."), HI]).text == "Be brief.\n\nQuestion: Hi\nAnswer:"


def test_an_answer_that_was_begun_is_continued() -> None:
    assert as_completion([HI, ANSWER]).text == "Question: Hi\nAnswer: Hello"


def test_the_next_question_ends_the_answer() -> None:
    assert as_completion([HI]).stop == ("\nQuestion:",)


def test_the_user_is_told_what_the_model_is_and_what_to_do() -> None:
    note = as_completion([HI]).note
    assert "base model" in note
    assert "choose the chat or instruct version" in note


@pytest.fixture(scope="module")
def gemma(gemma_files: tuple[Path, ...]) -> Iterator[Model]:
    with api.load(str(gemma_files[0]), context=512) as model:
        yield model


@pytest.mark.model
@pytest.mark.parametrize(
    ("question", "expected"),
    [("What is the capital of France?", "Paris"), ("What do bees make?", "honey"), ("How are you?", "fine")],
)
def test_a_real_base_model_answers_and_stops(gemma: Model, question: str, expected: str) -> None:
    made = as_completion([Message("user", question)])
    answer = gemma.complete(made.text, stop=made.stop, temperature=0, max_tokens=80)
    assert expected in answer.text
    assert answer.finish_reason == "stop"
