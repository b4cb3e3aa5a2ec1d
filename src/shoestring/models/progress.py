"""How a long fetch tells its caller where it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class FetchProgress:
    """One moment of a fetch.

    Attributes:
        label: the phase, in words a person can read (`Fetching smollm2`); a new label starts a new count.
        done_bytes: bytes of this phase that are done; never more than `total_bytes`.
        total_bytes: bytes of this phase, or None when nobody can know.
    """

    label: str
    done_bytes: int
    total_bytes: int | None


Progress = Callable[[FetchProgress], None]
