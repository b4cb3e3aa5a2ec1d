"""Private folders for workers: 0700, short enough for a Unix socket's path, swept once the owner is gone."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

_SOCKET_PATH_LIMIT = 100  # sockaddr_un holds 108 bytes on Linux, 104 on macOS; a file name follows
_PREFIX = "shoestring-"


def make_scratch() -> Path:
    """A new private folder whose name carries this process's id."""
    parent = Path(tempfile.gettempdir())
    if len(os.fsencode(parent)) + 40 > _SOCKET_PATH_LIMIT:
        parent = Path("/tmp")  # noqa: S108  (mkdtemp makes the folder itself private)
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent))


def remove_scratch(folder: Path) -> None:
    """Remove a worker's folder, and those of this user whose owner was killed before it could."""
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
    for other in folder.parent.glob(f"{_PREFIX}*-*"):
        owner = other.name.split("-")[1]
        if owner.isdecimal() and other.is_dir() and _is_ours(other) and not _is_alive(int(owner)):
            shutil.rmtree(other, ignore_errors=True)


def _is_ours(folder: Path) -> bool:
    try:
        return folder.lstat().st_uid == os.getuid()
    except (OSError, AttributeError):  # gone meanwhile, or a system without user ids
        return False


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
