"""How much memory a process holds and has held at most."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

_ON_LINUX: bool = sys.platform == "linux"
_STATUS_BYTES = 8192  # proc(5) `status` is some 1.5 kB


@dataclass(frozen=True)
class ProcessMemory:
    """Resident bytes now, and at most since the program started (VmRSS and VmHWM on Linux).

    `peak_bytes` is None where the system does not keep it. It is never `ru_maxrss`, which a child
    inherits from a big parent.
    """

    resident_bytes: int
    peak_bytes: int | None


class ProcessMemoryReader:
    """Reads one process's memory again and again.

    The file stays open: opening it takes kernel memory, and taking memory while the kernel tears down
    a worker it has just killed for memory would make the reader its next victim.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._status: int | None = None
        if _ON_LINUX:
            try:
                self._status = os.open(f"/proc/{pid}/status", os.O_RDONLY)
            except (FileNotFoundError, ProcessLookupError):
                self._status = None

    def read(self) -> ProcessMemory | None:
        """Its memory, or None when it is gone (a zombie holds none)."""
        if not _ON_LINUX:
            return _from_psutil(self._pid)
        if self._status is None:
            return None
        try:
            return _from_status(os.pread(self._status, _STATUS_BYTES, 0))
        except ProcessLookupError:
            return None

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._status is not None:
            os.close(self._status)
            self._status = None


def read_process_memory(pid: int) -> ProcessMemory | None:
    """Memory of a process, once; None when it is gone."""
    reader = ProcessMemoryReader(pid)
    try:
        return reader.read()
    finally:
        reader.close()


def _from_status(status: bytes) -> ProcessMemory | None:
    """`VmRSS` and `VmHWM` of proc(5), in kB of 1024 bytes."""
    found = {
        key: int(value.split()[0]) * 1024
        for key, _, value in (line.partition(b":") for line in status.splitlines())
        if key in (b"VmRSS", b"VmHWM")
    }
    if b"VmRSS" not in found:
        return None
    return ProcessMemory(found[b"VmRSS"], found.get(b"VmHWM"))


def _from_psutil(pid: int) -> ProcessMemory | None:
    import psutil

    try:
        info = psutil.Process(pid).memory_info()
    except psutil.NoSuchProcess:
        return None
    return ProcessMemory(info.rss, getattr(info, "peak_wset", None))
