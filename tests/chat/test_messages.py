"""Conversations are built from what callers hold, and nothing malformed gets in."""

from __future__ import annotations

import pytest

from shoestring.chat.messages import Message, conversation
from shoestring.errors import UsageError


def test_a_question_is_the_users() -> None:
    assert conversation("Hello") == (Message("user", "Hello"),)


def test_a_system_message_comes_first() -> None:
    assert conversation("Hello", system="Be brief.")[0] == Message("system", "Be brief.")


def test_mappings_and_messages_mix() -> None:
    turns = [{"role": "user", "content": "Hi"}, Message("assistant", "Hello!"), "And now?"]
    assert [turn.role for turn in conversation(turns)] == ["user", "assistant", "user"]


@pytest.mark.parametrize("nothing", ["", "  \n", [], [Message("assistant", "I speak alone.")]])
def test_an_empty_prompt_is_refused(nothing: str | list[Message]) -> None:
    with pytest.raises(UsageError, match="empty"):
        conversation(nothing)


@pytest.mark.parametrize("role", ["tool", "System", "user<|im_end|>", ""])
def test_other_roles_are_refused_since_templates_paste_them_beside_special_tokens(role: str) -> None:
    with pytest.raises(UsageError, match="not a role"):
        conversation([{"role": role, "content": "Hi"}])


@pytest.mark.parametrize("turn", [{"role": "user"}, {"role": "user", "content": "Hi", "name": "x"}])
def test_a_message_has_a_role_and_a_content_and_nothing_else(turn: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="role and a content"):
        conversation([turn])


def test_a_message_is_text() -> None:
    with pytest.raises(UsageError, match="not text"):
        conversation([{"role": "user", "content": 3}])  # type: ignore[dict-item]


@pytest.mark.parametrize("said", [None, 3, b"Hi", {"role": "user", "content": "Hi"}, Message("user", "Hi")])
def test_what_is_neither_text_nor_turns_is_refused_by_its_type(said: object) -> None:
    with pytest.raises(UsageError, match=type(said).__name__):
        conversation(said)  # type: ignore[arg-type]


@pytest.mark.parametrize("turn", [None, 3, ["Hi"]])
def test_what_is_no_turn_is_refused_by_its_type(turn: object) -> None:
    with pytest.raises(UsageError, match=type(turn).__name__):
        conversation([turn])  # type: ignore[list-item]


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(UsageError, match="Unicode"):
        conversation("\udce4")


def test_two_system_messages_are_refused() -> None:
    with pytest.raises(UsageError, match="two system messages"):
        conversation([Message("system", "A"), Message("user", "Hi")], system="B")
