"""The command that runs the plan which an error offers."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from shoestring.planning.base import LlamaCppSettings, Plan


def command(arguments: Sequence[str], asked: Plan, fits: Plan) -> str | None:
    """The same command line with what must change for a plan that fits; None where no option asks for it.

    Args:
        arguments: those of `shoestring run`.
        asked, fits: the plan that failed, and the one that is offered.
    """
    if fits.converted or fits.engine != asked.engine or fits.batch != asked.batch:
        return None
    changed = {
        "--precision": (asked.precision, fits.precision),
        "--context": (str(asked.context), str(fits.context)),
    }
    if isinstance(fits.settings, LlamaCppSettings):
        changed["--kv"] = (str(asked.kv_precision), str(fits.kv_precision))
    new = {name: after for name, (before, after) in changed.items() if before != after}
    if not new or _needs_more(asked, fits):
        return shlex.join(["shoestring", *arguments, "--auto"])
    kept = _without(arguments, tuple(new))
    return shlex.join(["shoestring", *kept, *(word for pair in new.items() for word in pair)])


def _needs_more(asked: Plan, fits: Plan) -> bool:
    """Whether the plan has settings that only the planner chooses."""
    return any(
        getattr(fits.settings, name, None) != getattr(asked.settings, name, None)
        for name in ("ubatch", "mmap", "offload")
    )


def _without(arguments: Sequence[str], names: Sequence[str]) -> list[str]:
    """The arguments without these options and their values."""
    kept: list[str] = []
    skip = False
    for word in arguments:
        if skip or word in names:
            skip = not skip
        elif not word.startswith(tuple(f"{name}=" for name in names)):
            kept.append(word)
    return kept
