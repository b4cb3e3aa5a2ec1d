"""The standard streams as a shell may leave them: closed, full, or with nobody at the other end."""

from __future__ import annotations

import errno
import os
import sys
from typing import TextIO

# EDQUOT is not known on Windows.
_NO_ROOM = {errno.ENOSPC, errno.EIO, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


def open_missing() -> None:
    """Point every closed standard stream at the null device.

    Python has None for one, which nothing can write to; and the next file that is opened, a worker's pipe
    maybe, would get its number.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            _to_null(number)
            stream = open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115  (a number)
            setattr(sys, name, stream)


def discard(stream: TextIO) -> None:
    """Lose what a stream could not write and all that follows, or Python complains once more at exit."""
    _to_null(stream.fileno())


def is_of_a_stream(error: OSError) -> bool:
    """Whether a write failed for want of room or of a terminal; errors of opening a file name that file."""
    return error.filename is None and error.errno in _NO_ROOM


def _to_null(number: int) -> None:
    opened = os.open(os.devnull, os.O_RDWR)
    if opened != number:
        os.dup2(opened, number)
        os.close(opened)
    os.set_inheritable(number, True)
