"""Fits a conversation to the roles that a chat template accepts, and tells the user what was changed.

Some templates know no system role, want user and assistant in strict turn, or choke on empty messages; some leave a
message out without a word. What a template does is found by rendering short probe conversations of marker words, only
those that the conversation at hand gives cause for, and once for each template. Where it accepts what is there, nothing
is changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from shoestring.chat.messages import Message, Role
from shoestring.chat.rendering import render_text
from shoestring.errors import TemplateError

SYSTEM_NOTE = "This model's chat format has no system role: the instructions were put in front of the first user message."
LATER_SYSTEM_NOTE = (
    "This model's chat format allows instructions only at the beginning: later ones were put in front of the user "
    "message after them."
)
JOINED_NOTE = (
    "This model's chat format wants user and assistant in turn: successive messages of one were joined."
)
EMPTY_NOTE = "This model's chat format refuses empty messages: they were left out."


def adapted(
    template: str, messages: Sequence[Message], *, bos_token: str = "", eos_token: str = ""
) -> tuple[tuple[Message, ...], tuple[str, ...]]:
    """The conversation as the template accepts it, and what was changed, one sentence each.

    Args:
        template: Jinja source of the model's chat template, or of the one used in its place.
        bos_token, eos_token: what the template may print.

    Raises:
        TemplateError: the template cannot have the assistant speak first, and the conversation has it so.
    """
    tried = _Template(template, bos_token, eos_token)
    if not tried.accepts(("user",)):
        return tuple(messages), ()  # it is broken, or wants something else: its own error says it better
    turns, notes = list(messages), []
    for adapt in (_without_empty, _without_system, _without_later_system, _in_turn):
        changed, note = adapt(tried, turns)
        if changed != turns:
            turns = changed
            notes.append(note)
    _check_who_begins(tried, turns)
    return tuple(turns), tuple(notes)


@dataclass(frozen=True)
class _Template:
    """What a template makes of probe conversations."""

    source: str
    bos: str
    eos: str

    def accepts(self, roles: tuple[Role, ...], *, empty: int | None = None) -> bool:
        """Whether it renders a conversation of these roles with every message in it.

        Args:
            empty: index of a message that has no text.
        """
        return _accepts(self.source, self.bos, self.eos, roles, empty)


@lru_cache(maxsize=256)
def _accepts(source: str, bos: str, eos: str, roles: tuple[Role, ...], empty: int | None) -> bool:
    # Words without capitals, digits or spaces come through whatever a template may do to text.
    words = ["" if i == empty else f"marker{'abcdefgh'[i] * 3}" for i in range(len(roles))]
    turns = [{"role": role, "content": word} for role, word in zip(roles, words, strict=True)]
    variables = {
        "messages": turns,
        "tools": None,
        "documents": None,
        "add_generation_prompt": True,
        "bos_token": bos,
        "eos_token": eos,
    }
    try:
        text = render_text(source, [variables])[0].casefold()
    except TemplateError:
        return False
    return all(word in text for word in words)


def _without_empty(tried: _Template, turns: list[Message]) -> tuple[list[Message], str]:
    """Empty messages left out where the template refuses one of their role."""
    refused = {
        role
        for role in {turn.role for turn in turns if not turn.content.strip()}
        if tried.accepts(_EMPTY_PROBES[role][0])
        and not tried.accepts(_EMPTY_PROBES[role][0], empty=_EMPTY_PROBES[role][1])
    }
    return [turn for turn in turns if turn.content.strip() or turn.role not in refused], EMPTY_NOTE


_EMPTY_PROBES: dict[Role, tuple[tuple[Role, ...], int]] = {
    "system": (("system", "user"), 0),
    "user": (("user", "assistant", "user"), 0),
    "assistant": (("user", "assistant", "user"), 1),
}
"""For each role a conversation, and the index of the message to empty in it."""


def _without_system(tried: _Template, turns: list[Message]) -> tuple[list[Message], str]:
    """The first system text in front of the first user message, where the template has no place for it."""
    if turns[:1] and turns[0].role == "system" and not tried.accepts(("system", "user")):
        return _moved(turns, 0), SYSTEM_NOTE
    return turns, SYSTEM_NOTE


def _without_later_system(tried: _Template, turns: list[Message]) -> tuple[list[Message], str]:
    """All other system texts likewise."""
    later = [i for i, turn in enumerate(turns) if i > 0 and turn.role == "system"]
    if not later or tried.accepts(("user", "assistant", "system", "user")):
        return turns, LATER_SYSTEM_NOTE
    for i in reversed(later):
        turns = _moved(turns, i)
    return turns, LATER_SYSTEM_NOTE


def _moved(turns: Sequence[Message], at: int) -> list[Message]:
    """The text of one message in front of the next user message; a user message of its own where none follows."""
    text = turns[at].content
    rest = list(turns)
    del rest[at]
    for i in range(at, len(rest)):
        if rest[i].role == "user":
            rest[i] = Message("user", _joined(text, rest[i].content))
            return rest
    rest.insert(at, Message("user", text))
    return rest


def _in_turn(tried: _Template, turns: list[Message]) -> tuple[list[Message], str]:
    """Successive messages of one role joined, where the template refuses or loses one of them."""
    joined: list[Message] = []
    for turn in turns:
        if joined and joined[-1].role == turn.role and not tried.accepts(_TWICE[turn.role]):
            joined[-1] = Message(turn.role, _joined(joined[-1].content, turn.content))
        else:
            joined.append(turn)
    return joined, JOINED_NOTE


_TWICE: dict[Role, tuple[Role, ...]] = {
    "system": ("system", "system", "user"),
    "user": ("user", "user"),
    "assistant": ("user", "assistant", "assistant", "user"),
}


def _joined(first: str, second: str) -> str:
    return "\n\n".join(text for text in (first, second) if text.strip())


def _check_who_begins(tried: _Template, turns: Sequence[Message]) -> None:
    first = next((turn.role for turn in turns if turn.role != "system"), "user")
    if first == "assistant" and not tried.accepts(("assistant", "user")):
        raise TemplateError(
            "The conversation begins with the assistant, and this model's chat format wants the user to speak first.",
            "Put a user message in front of the first answer, or leave that answer out.",
        )
