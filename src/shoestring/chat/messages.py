"""What is said in a conversation, and by whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

from shoestring.errors import UsageError

Role = Literal["system", "user", "assistant"]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True)
class Message:
    """One turn. The role is checked on construction, since templates paste it next to special tokens.

    Raises:
        UsageError: the role is none of `ROLES`, or the content is not text.
    """

    role: Role
    content: str

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise UsageError(f"{self.role!r} is not a role.", f"Roles are {', '.join(ROLES)}.")
        if not isinstance(self.content, str):
            raise UsageError(f"The {self.role} message is a {type(self.content).__name__}, not text.")
        try:
            self.content.encode()
        except UnicodeEncodeError as error:
            raise UsageError(
                f"The {self.role} message is not valid Unicode: it holds a lone surrogate.",
                "Read the text with the encoding it was written in.",
            ) from error


Said = str | Message | Mapping[str, str]

_HINT_TURN = "Give each turn as a Message, or as a mapping with a role and a content."


def conversation(
    said: str | Sequence[Said], *, system: str | None = None, fallback: str | None = None
) -> tuple[Message, ...]:
    """A conversation from what callers hold: one question, messages, or mappings with `role` and `content`.

    Args:
        said: a question, or turns in order; a bare string among them is the user's.
        system: instructions put in front.
        fallback: instructions put in front where neither `system` nor the conversation has any.

    Raises:
        UsageError: nothing is said, a turn is malformed, or there are two system messages.
    """
    messages = [_message(turn) for turn in _turns(said)]
    instructed = any(message.role == "system" for message in messages)
    if system is not None and instructed:
        raise UsageError("There are two system messages: one in the conversation and one beside it.")
    instructions = fallback if system is None and not instructed else system
    if instructions is not None:
        messages.insert(0, Message("system", instructions))
    if not any(message.role == "user" and message.content.strip() for message in messages):
        raise UsageError("The prompt is empty.", "Say something to the model.")
    return tuple(messages)


def _turns(said: object) -> Sequence[Said]:
    if isinstance(said, str):
        return [said]
    if isinstance(said, Sequence) and not isinstance(said, (bytes, bytearray, memoryview)):
        return said
    raise UsageError(
        f"What is said is a {type(said).__name__}, not text and not a list of turns.",
        "Give a question as text, or the turns in order.",
    )


def _message(turn: object) -> Message:
    if isinstance(turn, Message):
        return turn
    if isinstance(turn, str):
        return Message("user", turn)
    if not isinstance(turn, Mapping):
        raise UsageError(f"A turn is a {type(turn).__name__}, not a message.", _HINT_TURN)
    if set(turn) != {"role", "content"}:
        raise UsageError(f"A message needs exactly a role and a content; this one is {turn!r}.", _HINT_TURN)
    return Message(cast(Role, turn["role"]), turn["content"])
