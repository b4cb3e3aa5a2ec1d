"""One process at a time, across processes: an advisory lock that the system drops with its holder."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_POLL_S = 0.1

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@contextmanager
def exclusive(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock file at `path` (created, never removed) for the length of a `with` block.

    The kernel releases it when its holder dies, however it dies; there is no stale lock to clean.

    Args:
        path: lock file; its folder exists.
        waiting: called again and again, about ten times a second, while another process holds it.
            It ends the wait by raising.

    Raises:
        OSError: the file cannot be created, or the file system has no locks.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        while not _try_lock(descriptor):
            waiting()
            time.sleep(_POLL_S)
        yield
    finally:
        os.close(descriptor)  # releases the lock
