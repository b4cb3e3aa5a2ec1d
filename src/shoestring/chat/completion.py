"""A conversation as plain text, for a base model: one that was never taught to answer, only to go on with text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shoestring.chat.messages import Message, Role

NOTE = (
    "This is a base model, which continues text instead of answering: it was given the words as a question with an "
    "answer to write; for a conversation, choose the chat or instruct version of it."
)

# The form that gemma3-270m did best with of the six in `benchmarks/base_model_formats.py`.
_LEADS: dict[Role, str] = {"system": "", "user": "Question: ", "assistant": "Answer: "}


@dataclass(frozen=True)
class Completion:
    """What to give to a base model.

    Attributes:
        text: to continue.
        stop: texts at which the answer is over, since the model would go on with the user's next turn.
        note: one sentence for the user.
    """

    text: str
    stop: tuple[str, ...]
    note: str


def as_completion(messages: Sequence[Message]) -> Completion:
    """The turns as questions and answers, the instructions above them, and the beginning of the next answer.

    Where the assistant spoke last, its words are to be continued. Nothing marks where a message ends: a user who types
    "Answer:" is taken at his word.
    """
    opening = [message.content.strip() + "\n\n" for message in messages if message.role == "system"]
    lines = [_LEADS[turn.role] + turn.content.strip() for turn in messages if turn.role != "system"]
    if not messages or messages[-1].role != "assistant":
        lines.append("Answer:")
    return Completion("".join(opening) + "\n".join(lines), ("\nQuestion:",), NOTE)
