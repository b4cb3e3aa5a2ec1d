"""Micro-batches and accumulation, and the settings to try from the fastest to the most frugal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from shoestring.errors import UsageError
from shoestring.planning.base import Optimizer, TrainingSettings

SHORTEST_EXAMPLE = 128
"""Tokens; examples are not cut shorter than this to make a plan fit."""
_FRUGAL: dict[Optimizer, tuple[Optimizer, ...]] = {
    "adamw": ("adamw_8bit", "paged_adamw_8bit"),
    "paged_adamw": ("paged_adamw_8bit",),
    "adamw_8bit": ("paged_adamw_8bit",),
    "sgd_momentum": ("sgd",),
}


def accumulate(effective_batch: int, micro_batch: int) -> tuple[int, int]:
    """Batch and accumulation whose product is the effective batch, the batch as large as `micro_batch` allows.

    Only exact divisors count: a batch that is not what was asked for is another experiment.

    Raises:
        UsageError: one of them is not positive.
    """
    if effective_batch < 1 or micro_batch < 1:
        raise UsageError(
            f"A batch of {effective_batch} in micro-batches of {micro_batch} cannot be trained.",
            "Give a batch of at least 1.",
        )
    batch = max(n for n in range(1, min(effective_batch, micro_batch) + 1) if effective_batch % n == 0)
    return batch, effective_batch // batch


def candidates(settings: TrainingSettings) -> Iterator[TrainingSettings]:
    """Settings that train the same effective batch in ever less memory, fastest first.

    First smaller micro-batches, which cost a little speed; then the same with checkpointing, which costs about a
    third of it (one more forward pass, arXiv:1604.06174); then 8-bit and paged optimizers; at last shorter examples,
    which change what is learnt.
    """
    effective = settings.batch * settings.accumulation
    batches = _smaller(effective, settings.batch)
    plain = [
        replace(settings, batch=b, accumulation=effective // b, gradient_checkpointing=False) for b in batches
    ]
    checkpointed = [replace(one, gradient_checkpointing=True) for one in plain]
    yield from (*(plain if not settings.gradient_checkpointing else ()), *checkpointed)
    last = checkpointed[-1]
    for optimizer in _FRUGAL.get(settings.optimizer, ()):
        last = replace(last, optimizer=optimizer)
        yield last
    while last.context > SHORTEST_EXAMPLE:
        last = replace(last, context=max(SHORTEST_EXAMPLE, last.context // 2))
        yield last


def _smaller(effective: int, largest: int) -> list[int]:
    """Divisors of the effective batch, from the largest allowed down; of many only each that halves the last."""
    found: list[int] = []
    for batch in sorted((n for n in range(1, largest + 1) if effective % n == 0), reverse=True):
        if not found or 2 * batch <= found[-1] or batch == 1:
            found.append(batch)
    return found
