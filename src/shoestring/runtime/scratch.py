"""Private folders for workers: 0700, short enough for a Unix socket's path, swept once the owner is gone."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from shoestring.errors import WorkerError

_SOCKET_PATH_LIMIT = 100  # sockaddr_un holds 108 bytes on Linux, 104 on macOS; a file name follows
_PREFIX = "shoestring-worker-"
_OWNED = ".owned"


class Scratch:
    """One private folder.

    Its owner holds a lock on a file in it for as long as it lives, which says "in use" across process ids,
    their reuse and containers that share a temporary folder. A forked child never removes it.

    Raises:
        WorkerError: there is nowhere to make one.
    """

    def __init__(self) -> None:
        parent = Path(tempfile.gettempdir())
        if len(os.fsencode(parent)) + 40 > _SOCKET_PATH_LIMIT:
            parent = Path("/tmp")  # noqa: S108  (mkdtemp makes the folder itself private)
        try:
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
            self._lock = os.open(self.path / _OWNED, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise WorkerError(
                f"A worker needs a private folder, and none can be made in {parent}: {error.strerror}.",
                "Make room there, or let TMPDIR name a folder that can be written.",
            ) from error
        _lock(self._lock)
        self._owner = os.getpid()

    def remove(self) -> None:
        """Remove it, and those whose owner was killed before it could. Call once."""
        if os.getpid() != self._owner:
            return
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)
        for other in self.path.parent.glob(f"{_PREFIX}*"):
            _remove_if_abandoned(other)


def _lock(descriptor: int) -> bool:
    """Take the lock; False when another process holds it. Where there is no flock(2), nothing is ever swept."""
    try:
        import fcntl
    except ImportError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _remove_if_abandoned(folder: Path) -> None:
    with contextlib.suppress(OSError):  # another user's, or gone meanwhile
        descriptor = os.open(folder / _OWNED, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
        try:
            if not folder.is_symlink() and _lock(descriptor):
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(descriptor)
