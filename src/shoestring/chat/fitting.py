"""What of a conversation is sent when it no longer fits the context: a rule the user can see.

The instructions are kept. The oldest exchanges (what the user said, with the answer to it) are left out, no more of
them than needed, until the rest and room for an answer fit. The last thing said is always kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shoestring.chat.messages import Message
from shoestring.errors import PromptTooLongError

MOST_ROOM = 512


@dataclass(frozen=True)
class Fitted:
    """What fits.

    Attributes:
        messages: what to send.
        dropped: what is left out, oldest first.
        exchanges: how many exchanges that are.
        n_tokens: of the prompt that the messages make.
        note: one sentence for the user; None if nothing is left out.
    """

    messages: tuple[Message, ...]
    dropped: tuple[Message, ...]
    exchanges: int
    n_tokens: int
    note: str | None


def room_for_answer(context: int) -> int:
    """Tokens kept free for an answer unless someone says otherwise: a quarter of the context, 512 at most."""
    return min(context // 4, MOST_ROOM)


def fit(
    messages: Sequence[Message],
    count: Callable[[Sequence[Message]], int],
    *,
    context: int,
    room: int | None = None,
    at_least: int = 0,
) -> Fitted:
    """The conversation, its oldest exchanges left out if need be.

    Where even the last exchange alone leaves less than the room, it is sent with what room there is.

    Args:
        count: tokens of the prompt that messages make. It is asked for some log2 of the exchanges, not for each.
        context: tokens that prompt and answer may hold together.
        room: tokens to keep free for the answer; None: `room_for_answer`.
        at_least: exchanges known not to fit, from an earlier fitting of the same conversation.

    Raises:
        PromptTooLongError: the instructions and the last exchange alone do not fit.
    """
    opening, exchanges = _split(messages)
    most = context - (room_for_answer(context) if room is None else room)
    last = max(len(exchanges) - 1, 0)
    counted: dict[int, int] = {}

    def tokens_without(n: int) -> int:
        if n not in counted:
            counted[n] = count((*opening, *_flat(exchanges[n:])))
        return counted[n]

    dropped = _fewest(min(at_least, last), last, lambda n: tokens_without(n) <= most)
    n_tokens = tokens_without(dropped)
    if n_tokens >= context:
        raise PromptTooLongError(n_tokens, context, "Say less, or load the model with a larger context.")
    left_out = _flat(exchanges[:dropped])
    kept = (*opening, *_flat(exchanges[dropped:]))
    return Fitted(kept, left_out, dropped, n_tokens, _note(dropped, bool(opening)) if dropped else None)


def _fewest(low: int, high: int, fits: Callable[[int], bool]) -> int:
    """The smallest number from low to high that fits, by bisection; high if none does."""
    if low >= high or fits(low):
        return low
    while high - low > 1:
        middle = (low + high) // 2
        if fits(middle):
            high = middle
        else:
            low = middle
    return high


def _split(messages: Sequence[Message]) -> tuple[tuple[Message, ...], list[tuple[Message, ...]]]:
    """The instructions at the beginning, and the exchanges after them: each begins where the user speaks."""
    n_opening = 0
    while n_opening < len(messages) and messages[n_opening].role == "system":
        n_opening += 1
    exchanges: list[tuple[Message, ...]] = []
    for message in messages[n_opening:]:
        answered = bool(exchanges) and exchanges[-1][-1].role != "user"
        if not exchanges or (message.role == "user" and answered):
            exchanges.append((message,))
        else:
            exchanges[-1] += (message,)
    return tuple(messages[:n_opening]), exchanges


def _flat(exchanges: Sequence[tuple[Message, ...]]) -> tuple[Message, ...]:
    return tuple(message for exchange in exchanges for message in exchange)


def _note(n: int, opening: bool) -> str:
    what = "exchange" if n == 1 else f"{n} exchanges"
    kept = "; the instructions are kept" if opening else ""
    return f"The context is full: the model no longer sees the oldest {what} of this conversation{kept}."
