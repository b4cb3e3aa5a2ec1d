"""A conversation is fitted to what a template accepts, and never in silence."""

from __future__ import annotations

import pytest

from shoestring.chat.messages import Message
from shoestring.chat.named_templates import NAMES, named
from shoestring.chat.rendering import render_text
from shoestring.chat.roles import (
    EMPTY_NOTE,
    JOINED_NOTE,
    LATER_SYSTEM_NOTE,
    SYSTEM_NOTE,
    adapted,
)
from shoestring.errors import TemplateError

PRINT = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + PRINT
DROPS_SYSTEM = (
    "{% for m in messages %}{% if m.role != 'system' %}<{{ m.role }}>{{ m.content }}{% endif %}{% endfor %}"
)
IN_TURN = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('in turn') }}"
    "{% endif %}<{{ m.role }}>{{ m.content }}{% endfor %}"
)
SYSTEM_FIRST = (
    "{% for m in messages %}{% if m.role == 'system' and not loop.first %}{{ raise_exception('system first') }}"
    "{% endif %}<{{ m.role }}>{{ m.content }}{% endfor %}"
)
NO_EMPTY = "{% for m in messages %}{% if not m.content %}{{ raise_exception('empty') }}{% endif %}{{ m.content }}{% endfor %}"
LOWERS = "{% for m in messages %}<{{ m.role }}>{{ m.content | upper }}{% endfor %}"

SYSTEM, HI = Message("system", "Be brief."), Message("user", "Hi")
ANSWER, BYE = Message("assistant", "Hello"), Message("user", "Bye")


@pytest.mark.parametrize("template", [PRINT, LOWERS, *[named(name).source for name in NAMES]])
def test_what_a_template_accepts_is_not_touched(template: str) -> None:
    said = (SYSTEM, HI, ANSWER, BYE)
    assert adapted(template, said) == (said, ())


@pytest.mark.parametrize("template", [NO_SYSTEM, DROPS_SYSTEM, IN_TURN])
def test_without_a_system_role_the_instructions_open_the_first_user_message(template: str) -> None:
    messages, notes = adapted(template, [SYSTEM, HI, ANSWER, BYE])
    assert messages == (Message("user", "Be brief.\n\nHi"), ANSWER, BYE)
    assert notes == (SYSTEM_NOTE,)


def test_the_first_gemma_template_that_refuses_instructions_is_given_them_in_the_user_message() -> None:
    refusing = NO_SYSTEM.replace("{% for", "{{ bos_token }}{% for")
    messages, _ = adapted(refusing, [SYSTEM, HI], bos_token="<bos>")
    assert render_text(refusing, [{"messages": [vars(m) for m in messages], "bos_token": "<bos>"}]) == [
        "<bos><user>Be brief.\n\nHi"
    ]


def test_successive_messages_are_joined_by_a_blank_line_where_turns_must_alternate() -> None:
    messages, notes = adapted(IN_TURN, [HI, BYE, ANSWER, ANSWER, HI])
    assert [m.content for m in messages] == ["Hi\n\nBye", "Hello\n\nHello", "Hi"]
    assert notes == (JOINED_NOTE,)


def test_successive_messages_stay_apart_where_they_may() -> None:
    assert adapted(PRINT, [HI, BYE]) == ((HI, BYE), ())


def test_instructions_in_the_middle_go_to_the_user_message_after_them() -> None:
    messages, notes = adapted(SYSTEM_FIRST, [SYSTEM, HI, ANSWER, Message("system", "Now shout."), BYE])
    assert messages == (SYSTEM, HI, ANSWER, Message("user", "Now shout.\n\nBye"))
    assert notes == (LATER_SYSTEM_NOTE,)


def test_instructions_that_no_user_message_follows_become_one() -> None:
    messages, _ = adapted(SYSTEM_FIRST, [HI, ANSWER, Message("system", "Go on.")])
    assert messages[-1] == Message("user", "Go on.")


def test_instructions_in_the_middle_stay_where_the_template_takes_them() -> None:
    said = (HI, ANSWER, SYSTEM, BYE)
    assert adapted(PRINT, said) == (said, ())


def test_empty_messages_are_left_out_where_they_are_refused() -> None:
    messages, notes = adapted(NO_EMPTY, [HI, Message("assistant", ""), BYE])
    assert messages == (HI, BYE)
    assert notes == (EMPTY_NOTE,)


def test_an_empty_message_stays_where_it_is_accepted() -> None:
    said = (HI, Message("assistant", ""), BYE)
    assert adapted(PRINT, said) == (said, ())


def test_an_assistant_that_begins_is_refused_with_what_to_do() -> None:
    with pytest.raises(TemplateError, match="user to speak first") as caught:
        adapted(IN_TURN, [ANSWER, HI])
    assert "user message in front" in (caught.value.hint or "")


def test_an_assistant_may_begin_where_the_template_allows_it() -> None:
    assert adapted(PRINT, [ANSWER, HI]) == ((ANSWER, HI), ())


@pytest.mark.parametrize("broken", ["{{ 1 / 0 }}", "{% nonsense", "{{ raise_exception('never') }}"])
def test_a_template_that_accepts_nothing_is_left_to_say_so_itself(broken: str) -> None:
    assert adapted(broken, [SYSTEM, HI]) == ((SYSTEM, HI), ())


@pytest.mark.parametrize("name", NAMES)
def test_every_format_takes_any_order_of_roles_that_the_user_begins(name: str) -> None:
    template = named(name).source
    said = [SYSTEM, HI, BYE, ANSWER, ANSWER, Message("system", "Now shout."), HI, Message("user", "last")]
    messages, _ = adapted(template, said)
    (text,) = render_text(
        template,
        [
            {
                "messages": [{"role": m.role, "content": m.content} for m in messages],
                "bos_token": "",
                "eos_token": "",
                "add_generation_prompt": True,
            }
        ],
    )
    assert all(m.content in text for m in said)
