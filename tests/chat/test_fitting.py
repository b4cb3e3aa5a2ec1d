"""When a conversation is too long, the oldest exchanges go, no more than needed, and the instructions stay."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoestring.chat.fitting import fit, room_for_answer
from shoestring.chat.messages import Message
from shoestring.errors import PromptTooLongError


def _count(messages: Sequence[Message]) -> int:
    """A token a character, and four for each message's frame."""
    return sum(len(message.content) + 4 for message in messages)


def _talk(*texts: str, system: str | None = None) -> list[Message]:
    """Turns that alternate, the user first."""
    turns = [Message("user" if i % 2 == 0 else "assistant", text) for i, text in enumerate(texts)]
    return ([] if system is None else [Message("system", system)]) + turns


def test_what_fits_is_sent_as_it_is() -> None:
    said = _talk("Hi", "Hello", "Bye", system="Be brief.")
    fitted = fit(said, _count, context=200)
    assert (list(fitted.messages), fitted.dropped, fitted.note) == (said, (), None)


def test_the_oldest_exchange_goes_whole() -> None:
    said = _talk("a" * 40, "b" * 40, "c", "d", "e")
    fitted = fit(said, _count, context=100, room=20)
    assert list(fitted.messages) == said[2:]
    assert list(fitted.dropped) == said[:2]


def test_the_instructions_stay() -> None:
    said = _talk("a" * 60, "b", "c", system="Be brief.")
    fitted = fit(said, _count, context=80, room=20)
    assert list(fitted.messages) == [said[0], said[3]]
    assert "instructions are kept" in (fitted.note or "")


def test_the_user_is_told_how_many_went() -> None:
    assert "oldest exchange of" in (fit(_talk("a" * 60, "b", "c"), _count, context=80, room=20).note or "")
    many = fit(_talk("a" * 40, "b", "c" * 40, "d", "e"), _count, context=60, room=20)
    assert "oldest 2 exchanges" in (many.note or "")


def test_an_answer_has_a_quarter_of_a_small_context_and_512_tokens_of_a_large_one() -> None:
    assert (room_for_answer(400), room_for_answer(100_000)) == (100, 512)


def test_a_long_last_message_is_sent_with_what_room_there_is() -> None:
    fitted = fit(_talk("a", "b", "c" * 90), _count, context=100)
    assert [message.content for message in fitted.messages] == ["c" * 90]


def test_a_last_message_that_cannot_fit_is_refused() -> None:
    with pytest.raises(PromptTooLongError) as caught:
        fit(_talk("a", "b", "c" * 100), _count, context=100)
    assert caught.value.prompt_tokens == 104


def test_two_messages_of_the_user_in_a_row_are_one_exchange() -> None:
    said = [*_talk("a" * 50, "b"), Message("user", "c"), Message("user", "d")]
    assert list(fit(said, _count, context=60, room=20).messages) == said[2:]


def test_a_long_conversation_is_counted_a_few_times_only() -> None:
    asked: list[int] = []

    def count(messages: Sequence[Message]) -> int:
        asked.append(len(messages))
        return _count(messages)

    fit(_talk(*["word"] * 2001), count, context=1000)
    assert len(asked) <= 12


def test_what_was_known_not_to_fit_is_not_counted_again() -> None:
    asked: list[int] = []

    def count(messages: Sequence[Message]) -> int:
        asked.append(len(messages))
        return _count(messages)

    said = _talk(*["word"] * 101)
    n_dropped = fit(said, _count, context=100).exchanges
    fit(said, count, context=100, at_least=n_dropped)
    assert asked == [101 - 2 * n_dropped]


turns = st.lists(st.text("x", max_size=30), min_size=1, max_size=12).filter(lambda texts: len(texts) % 2 == 1)


@given(turns, st.none() | st.text("s", max_size=10), st.integers(60, 200))
def test_no_more_goes_than_has_to(texts: list[str], system: str | None, context: int) -> None:
    said = _talk(*texts, system=system)
    fitted = fit(said, _count, context=context, room=20)
    opening = said[:1] if system is not None else []
    assert [*opening, *fitted.dropped, *fitted.messages[len(opening) :]] == said
    assert fitted.n_tokens == _count(fitted.messages)
    if fitted.dropped:
        one_more = [*opening, *fitted.dropped[-2:], *fitted.messages[len(opening) :]]
        assert _count(one_more) > context - 20
