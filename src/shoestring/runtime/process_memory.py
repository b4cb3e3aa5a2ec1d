"""How much memory a process holds and has held at most."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

_ON_LINUX: bool = sys.platform == "linux"


@dataclass(frozen=True)
class ProcessMemory:
    """Resident bytes now, and at most since the program started (VmRSS and VmHWM on Linux).

    `peak_bytes` is None where the system does not keep it. It is never `ru_maxrss`, which a child
    inherits from a big parent.
    """

    resident_bytes: int
    peak_bytes: int | None


def read_process_memory(pid: int) -> ProcessMemory | None:
    """Memory of a process, or None when it is gone (a zombie holds none)."""
    if _ON_LINUX:
        return _from_status(Path(f"/proc/{pid}/status"))
    return _from_psutil(pid)


def _from_status(path: Path) -> ProcessMemory | None:
    """`VmRSS` and `VmHWM` of proc(5), in kB of 1024 bytes."""
    try:
        text = path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    found = {
        key: int(value.split()[0]) * 1024
        for key, _, value in (line.partition(":") for line in text.splitlines())
        if key in ("VmRSS", "VmHWM")
    }
    if "VmRSS" not in found:
        return None
    return ProcessMemory(found["VmRSS"], found.get("VmHWM"))


def _from_psutil(pid: int) -> ProcessMemory | None:
    import psutil

    try:
        info = psutil.Process(pid).memory_info()
    except psutil.NoSuchProcess:
        return None
    return ProcessMemory(info.rss, getattr(info, "peak_wset", None))
