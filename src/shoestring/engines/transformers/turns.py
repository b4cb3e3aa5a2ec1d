"""Whose turn it is: one at a time, first come, first served, and whoever gives up leaves the queue."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_POLL_S = 0.05


class Turns:
    """A fair lock whose waiting can be cancelled. (`threading.Lock` may pass over the one that waits longest.)"""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()

    @contextmanager
    def turn(self, cancelled: Callable[[], bool]) -> Iterator[bool]:
        """Wait for a turn and keep it for the block; False if `cancelled` came true before it began."""
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
        try:
            yield self._wait(ticket, cancelled)
        finally:
            with self._changed:
                self._queue.remove(ticket)
                self._changed.notify_all()

    def _wait(self, ticket: object, cancelled: Callable[[], bool]) -> bool:
        with self._changed:
            while self._queue[0] is not ticket:
                if cancelled():
                    return False
                self._changed.wait(_POLL_S)
        return not cancelled()
