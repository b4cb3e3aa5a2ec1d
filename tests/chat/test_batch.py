"""Many prompts at once: each has its own answer and figures, in the order they were given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shoestring import api
from shoestring.chat.model import Model
from shoestring.engines.fake import Script, fake_model
from shoestring.errors import PromptTooLongError, UsageError
from shoestring.runtime.session import open_session


@pytest.fixture
def model(tmp_path: Path, home: Path) -> Iterator[Model]:
    """The fake engine with room for two side by side."""
    facts, plan = fake_model(tmp_path / "script", Script(reply="Paris."), context=64, batch=2)
    with Model(open_session(facts, plan)) as opened:
        yield opened


def test_more_prompts_than_fit_side_by_side_are_answered_group_by_group(model: Model) -> None:
    assert [str(answer) for answer in model.complete_batch(["a", "bb", "ccc", "dddd", "e"])] == ["Paris."] * 5


def test_each_answer_has_its_own_figures(model: Model) -> None:
    answers = model.complete_batch(["a", "bb", "ccc"])
    assert [answer.usage.prompt_tokens for answer in answers] == [1, 2, 3]
    assert all(answer.timings.time_to_first_token_s is not None for answer in answers)


def test_a_batch_of_questions_is_rendered_as_one_question_is(model: Model) -> None:
    alone = model.chat("Hi")
    (together,) = model.chat_batch(["Hi"])
    assert together.usage.prompt_tokens == alone.usage.prompt_tokens


def test_no_prompts_give_no_answers(model: Model) -> None:
    assert model.complete_batch([]) == []


def test_one_prompt_too_long_stops_all_before_anything_is_generated(model: Model) -> None:
    with pytest.raises(PromptTooLongError):
        model.complete_batch(["a", "x" * 100])


@pytest.mark.parametrize(
    "ask",
    [
        lambda m: m.chat_batch("Hi"),
        lambda m: m.complete_batch("Hi"),
        lambda m: m.complete_batch(["Hi", ""]),
        lambda m: m.complete_batch([3]),
        lambda m: m.chat_batch(None),
        lambda m: m.chat_batch(["Hi"], top_p=2),
    ],
)
def test_what_can_never_work_is_a_usage_error(model: Model, ask: Callable[[Model], object]) -> None:
    with pytest.raises(UsageError):
        ask(model)


@pytest.mark.model
def test_a_real_batch_answers_as_each_alone(smollm2_files: tuple[Path, ...]) -> None:
    ask = ["What is the capital of France?", "Name a colour.", "What is two plus two?"]
    with api.load("smollm2", context=256, batch=2) as model:
        together = [str(answer) for answer in model.chat_batch(ask, temperature=0, max_tokens=12)]
        assert "Paris" in together[0]
        assert len(set(together)) == 3
