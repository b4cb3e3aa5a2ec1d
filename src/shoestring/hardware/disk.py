"""Room on the file system where models go."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from shoestring.errors import UsageError
from shoestring.hardware.base import Disk


def read_disk(path: Path) -> Disk:
    """Free bytes for an ordinary user where `path` lies or will lie.

    Raises:
        UsageError: no part of the path exists or answers (a drive that is not there).
    """
    try:
        free_bytes = shutil.disk_usage(_existing(path)).free
    except OSError as error:
        raise UsageError(
            f"The folder where models go cannot be reached: {path} ({error.strerror or error}).",
            "Set SHOESTRING_HOME to a folder on a disk that is there.",
        ) from error
    return Disk(path=str(path), free_bytes=free_bytes)


def is_writable(path: Path) -> bool:
    """Whether this user may create files in `path`, or create `path` itself if it is not there."""
    existing = _existing(path)
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)


def _existing(path: Path) -> Path:
    """The nearest of `path` and its parents that is there."""
    path = path.absolute()
    return next((place for place in (path, *path.parents) if os.path.lexists(place)), path)
