"""A batch of prompts for an engine that takes one at a time, and batches itself what several threads ask of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from shoestring.engines.base import Emit, Event, Sampling
from shoestring.engines.repetition import UntilItLoops
from shoestring.errors import EngineError

One = Callable[[Sequence[int], Sampling, Callable[[Event], None], Callable[[], bool]], None]
"""Generates from one prompt: what an engine's `generate` promises, of a single one."""


def refuse_more_than(batch: int, prompts: Sequence[Sequence[int]]) -> None:
    """Raises EngineError: there are more prompts than the model was loaded for."""
    if len(prompts) > batch:
        raise EngineError(
            f"{len(prompts):,} prompts at once, but the model was loaded for {batch:,} side by side.",
            "Load it with a larger batch, or give fewer prompts at a time.",
        )


def side_by_side(
    prompts: Sequence[Sequence[int]], sampling: Sampling, emit: Emit, cancelled: Callable[[], bool], one: One
) -> None:
    """Generate from every prompt, each on a thread of its own; a single one on the caller's.

    The first that fails cancels the others, and its error is raised once they have ended.
    """
    if sampling.stop_loops and not sampling.ignore_eos:
        one = _until_it_loops(one)
    if len(prompts) == 1:
        one(prompts[0], sampling, lambda event: emit(0, event), cancelled)
        return
    failures: list[Exception] = []

    def run(index: int, prompt: Sequence[int]) -> None:
        def emit_unless_failed(event: Event) -> None:
            if not failures:
                emit(index, event)

        try:
            one(
                prompt,
                seeded(sampling, index),
                emit_unless_failed,
                lambda: bool(failures) or cancelled(),
            )
        except Exception as error:  # noqa: BLE001  (raised below, on the caller's thread)
            failures.append(error)

    threads = [threading.Thread(target=run, args=item, daemon=True) for item in enumerate(prompts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _until_it_loops(one: One) -> One:
    def watched(
        prompt: Sequence[int],
        sampling: Sampling,
        emit: Callable[[Event], None],
        cancelled: Callable[[], bool],
    ) -> None:
        guard = UntilItLoops(emit, cancelled)
        one(prompt, sampling, guard.emit, guard.cancelled)

    return watched


def seeded(sampling: Sampling, index: int) -> Sampling:
    """The sampling of prompt `index` in a batch: with a seed of its own, so that equal prompts differ."""
    if sampling.seed is None or index == 0:
        return sampling
    return replace(sampling, seed=(sampling.seed + index) % (2**32 - 1))
