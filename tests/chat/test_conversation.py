"""A conversation remembers, takes back, tries again, makes room by its rule, and is kept in a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from shoestring.chat.conversation import Conversation
from shoestring.chat.messages import Message
from shoestring.chat.model import Model
from shoestring.engines.fake import Script
from shoestring.errors import PromptTooLongError, UsageError

MakeModel = Callable[..., Model]


def _held(model: Model, *said: str, **settings: object) -> Conversation:
    """A conversation in which all this was said and answered."""
    conversation = Conversation(model, **settings)  # type: ignore[arg-type]
    for text in said:
        list(conversation.say(text))
    return conversation


def _said(conversation: Conversation) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in conversation.messages]


def test_undo_takes_back_the_last_message_and_its_answer(fake: MakeModel) -> None:
    conversation = _held(fake(), "One?", "Two?")
    assert conversation.undo() == "Two?"
    assert _said(conversation) == [("user", "One?"), ("assistant", "Paris.")]


def test_undo_leaves_the_instructions(fake: MakeModel) -> None:
    conversation = _held(fake(), "One?", system="Be brief.")
    conversation.undo()
    assert _said(conversation) == [("system", "Be brief.")]


def test_there_is_nothing_to_take_back_at_the_beginning(fake: MakeModel) -> None:
    with pytest.raises(UsageError, match="Nothing was said"):
        _held(fake(), system="Be brief.").undo()


def test_retry_replaces_the_last_answer(fake: MakeModel) -> None:
    conversation = _held(fake(), "One?", "Two?")
    assert conversation.retry(max_tokens=2).answer.text == "Pa"
    assert _said(conversation)[2:] == [("user", "Two?"), ("assistant", "Pa")]


def test_retry_with_settings_that_cannot_work_leaves_the_answer(fake: MakeModel) -> None:
    conversation = _held(fake(), "One?")
    before = conversation.messages
    with pytest.raises(UsageError):
        conversation.retry(top_p=3)
    assert conversation.messages == before


def test_undo_in_mid_answer_stops_it(fake: MakeModel) -> None:
    conversation = _held(fake(Script(reply="word " * 100, token_s=0.05)))
    next(conversation.say("Go on"))
    assert conversation.undo() == "Go on"
    assert conversation.messages == ()


def test_settings_hold_for_every_turn_and_a_turn_may_have_its_own(fake: MakeModel) -> None:
    conversation = Conversation(fake(), sampling={"max_tokens": 2})
    assert conversation.say("One?").answer.text == "Pa"
    assert conversation.say("Two?", max_tokens=3).answer.text == "Par"


def test_new_instructions_hold_from_the_next_turn_on(fake: MakeModel) -> None:
    conversation = _held(fake(), "One?", system="Be brief.")
    conversation.system = "Be long."
    assert conversation.system == "Be long."
    assert _said(conversation)[:2] == [("system", "Be long."), ("user", "One?")]


def test_instructions_can_be_taken_away(fake: MakeModel) -> None:
    conversation = _held(fake(), "One?", system="Be brief.")
    conversation.system = None
    assert _said(conversation)[0] == ("user", "One?")


def test_what_is_used_and_left_adds_up_to_the_context(fake: MakeModel) -> None:
    conversation = _held(fake(context=300), "One?")
    assert conversation.context_used == fake().count(conversation.messages)
    assert conversation.context_used + conversation.context_left == 300


def test_nothing_said_uses_nothing(fake: MakeModel) -> None:
    assert Conversation(fake(), system="Be brief.").context_used == 0


def _fill(model: Model, n: int) -> Conversation:
    return _held(model, *(f"{i} " + "x" * 40 for i in range(n)), system="Be brief.", on_full="drop")


def test_when_the_context_is_full_the_oldest_exchange_is_left_out_and_the_user_is_told(
    fake: MakeModel,
) -> None:
    conversation = _fill(fake(context=400), 4)
    stream = conversation.say("4 " + "x" * 40)
    assert "no longer sees the oldest exchange" in stream.answer.notes[0]
    assert "instructions are kept" in stream.answer.notes[0]
    assert conversation.forgotten == 1


def test_what_the_model_no_longer_sees_stays_in_the_conversation(fake: MakeModel) -> None:
    conversation = _fill(fake(context=400), 6)
    assert conversation.forgotten > 1
    assert len(conversation.messages) == 1 + 12


def test_a_turn_without_a_new_loss_tells_none(fake: MakeModel) -> None:
    conversation = _held(fake(context=400), "x" * 150, on_full="drop")
    while not conversation.forgotten:
        list(conversation.say("s"))
    assert conversation.say("s").answer.notes == ()
    assert conversation.forgotten == 1


def test_a_full_conversation_never_outgrows_its_context(fake: MakeModel) -> None:
    conversation = _fill(fake(context=400), 30)
    assert conversation.context_used < 400
    assert conversation.say("last").answer.finish_reason == "stop"


def test_a_message_too_long_for_the_context_is_refused_and_changes_nothing(fake: MakeModel) -> None:
    conversation = _fill(fake(context=400), 2)
    before = conversation.messages
    for text in ("x" * 500, "x" * 200_000):
        with pytest.raises(PromptTooLongError):
            conversation.say(text)
    assert conversation.messages == before


def test_a_conversation_that_refuses_drops_nothing(fake: MakeModel) -> None:
    conversation = _fill(fake(context=400), 3)
    conversation.on_full = "refuse"
    with pytest.raises(PromptTooLongError):
        _held_on(conversation, 5)
    assert conversation.forgotten == 0


def _held_on(conversation: Conversation, n: int) -> None:
    for i in range(n):
        list(conversation.say(f"{i} " + "x" * 40))


def test_a_saved_conversation_goes_on_where_it_was(fake: MakeModel, tmp_path: Path) -> None:
    conversation = _held(fake(), "One?", "Zwei äöü 🙂?", system="Be brief.", sampling={"max_tokens": 3})
    conversation.save(tmp_path / "talk.json")
    other = Conversation(fake())
    assert other.load(tmp_path / "talk.json") is None
    assert other.messages == conversation.messages
    assert other.sampling == {"max_tokens": 3}
    assert other.say("Three?").answer.text == "Par"


def test_another_model_is_told(fake: MakeModel, tmp_path: Path) -> None:
    _held(fake(), "One?").save(tmp_path / "talk.json")
    note = Conversation(fake(id="another")).load(tmp_path / "talk.json")
    assert note is not None
    assert "another goes on" in note


def test_a_file_that_cannot_be_read_leaves_the_conversation(fake: MakeModel, tmp_path: Path) -> None:
    conversation = _held(fake(), "One?")
    before = conversation.messages
    (tmp_path / "talk.json").write_text("{", encoding="utf-8")
    with pytest.raises(UsageError):
        conversation.load(tmp_path / "talk.json")
    assert conversation.messages == before


def test_a_cut_answer_is_saved_as_far_as_it_came(fake: MakeModel, tmp_path: Path) -> None:
    conversation = _held(fake(Script(reply="word " * 100, token_s=0.05)))
    piece = next(conversation.say("Go on"))
    conversation.save(tmp_path / "talk.json")
    other = Conversation(fake())
    other.load(tmp_path / "talk.json")
    assert other.messages == (Message("user", "Go on"), Message("assistant", piece))
    conversation.undo()
