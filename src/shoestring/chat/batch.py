"""Many prompts at once: as many side by side as the model was loaded for, group after group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from shoestring.chat.answer import Answer, Growing
from shoestring.engines.base import Sampling
from shoestring.errors import EngineError, PromptTooLongError
from shoestring.runtime.session import Session


def answers(
    session: Session, prompts: Sequence[Sequence[int]], sampling: Sampling, notes: tuple[str, ...] = ()
) -> list[Answer]:
    """An answer to each prompt (token ids), in their order.

    With a seed, prompt i of a group is sampled with seed + i.

    Raises:
        PromptTooLongError: before anything is generated.
        Else as `Session.generate_batch`.
    """
    for prompt in prompts:
        if len(prompt) >= session.plan.context:
            raise PromptTooLongError(len(prompt), session.plan.context)
    return [
        answer for group in _groups(prompts, session) for answer in _together(session, group, sampling, notes)
    ]


def _groups(prompts: Sequence[Sequence[int]], session: Session) -> Iterator[Sequence[Sequence[int]]]:
    start = 0
    while start < len(prompts):
        group = prompts[start : start + session.plan.batch]  # a smaller plan may have taken over meanwhile
        yield group
        start += len(group)


def _together(
    session: Session, prompts: Sequence[Sequence[int]], sampling: Sampling, notes: tuple[str, ...]
) -> list[Answer]:
    growing = [Growing(session, notes) for _ in prompts]
    for index, event in session.generate_batch(prompts, sampling):
        growing[index].take(event)
    finished = [one.answer for one in growing if one.answer is not None]
    if len(finished) != len(prompts):
        raise EngineError("The engine ended a batch without finishing every prompt.")
    return finished
