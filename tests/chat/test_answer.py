"""What a generation gives beside its text."""

from __future__ import annotations

import math
from collections.abc import Callable

from shoestring.chat.model import Model
from shoestring.engines.fake import SPECIAL_TOKENS, Script

MakeModel = Callable[..., Model]


def test_an_answer_has_the_log_probabilities_of_all_its_tokens_the_end_token_too(fake: MakeModel) -> None:
    answer = fake(Script(reply="Hi")).complete("x", logprobs=1)
    assert [one.token for one in answer.logprobs] == [*b"Hi", SPECIAL_TOKENS["<|end|>"]]
    assert all(one.top == ((one.token, -math.log(2)),) for one in answer.logprobs)


def test_without_being_asked_for_there_are_none(fake: MakeModel) -> None:
    assert fake(Script(reply="Hi")).complete("x").logprobs == ()


def test_a_stream_shows_text_only(fake: MakeModel) -> None:
    stream = fake(Script(reply="Hi")).complete("x", stream=True, logprobs=0)
    assert list(stream) == ["H", "i"]
    assert len(stream.answer.logprobs) == 3
