"""How many threads compute: all of them while the cores are ours, fewer while another program takes one.

OpenMP's threads wait for each other at the end of every operation, hundreds of times a token. Spinning there, they lose
nothing on a quiet machine, and nearly everything on a busy one: whoever waits keeps the thread it waits for from its
core. Sleeping instead costs a quarter of the speed on a quiet machine (dev/LOG.md has the figures). So they spin, and
where the cores turn out to be shared, one thread fewer computes for a while.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from shoestring.engines.environments import SPINS
from shoestring.planning.base import TransformersSettings

_WINDOW_S, _FEWER_S = 0.25, 4.0
_LOST_CORES = 0.25
"""Of the time that all threads could have computed. Waiting threads count as computing, since they spin."""


class Pace:
    """Looks at the time that this process's threads really got, and settles how many there are.

    Args:
        threads: at most.
        use: takes the number of threads to compute with from now on.
        wall_s / cpu_s: clocks; `cpu_s` adds up all threads of the process.
    """

    def __init__(
        self,
        threads: int,
        use: Callable[[int], object],
        wall_s: Callable[[], float] = time.perf_counter,
        cpu_s: Callable[[], float] = time.process_time,
    ) -> None:
        self._most = self._now = threads
        self._use = use
        self._wall_s, self._cpu_s = wall_s, cpu_s
        self._all_again_at = 0.0
        self.begin()

    def begin(self) -> None:
        """Work begins; what was before does not count."""
        self._started, self._cpu = self._wall_s(), self._cpu_s()

    def tick(self) -> None:
        """To be called while working, many times a second."""
        now = self._wall_s()
        passed = now - self._started
        if passed < _WINDOW_S:
            return
        cpu = self._cpu_s()
        lost = self._now - (cpu - self._cpu) / passed
        self._started, self._cpu = now, cpu
        if self._now < self._most:
            if now >= self._all_again_at:
                self._settle(self._most)
        elif lost > _LOST_CORES and self._most > 1:
            self._all_again_at = now + _FEWER_S
            self._settle(max(1, self._most - max(1, round(lost))))

    def _settle(self, threads: int) -> None:
        self._now = threads
        self._use(threads)


def pace_for(settings: TransformersSettings) -> Pace | None:
    """The pace of a model that the CPU computes from main memory; None where waiting threads do not spin as in a
    worker, or devices and disks are waited for: there idle cores mean nothing."""
    import torch

    if settings.device_map or os.environ.get("GOMP_SPINCOUNT") != SPINS:
        return None
    return Pace(settings.threads, torch.set_num_threads)
