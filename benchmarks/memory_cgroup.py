"""A real memory cgroup with a limit, for what must be seen under one. Needs root on Linux."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_V1 = Path("/sys/fs/cgroup/memory")
_V2 = Path("/sys/fs/cgroup")


def may_limit_memory() -> bool:
    """Whether `memory_cgroup` works here."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return False
    controllers = _V2 / "cgroup.subtree_control"
    v2 = controllers.exists() and "memory" in controllers.read_text()
    return v2 or (_V1.is_dir() and os.access(_V1, os.W_OK))


@contextmanager
def memory_cgroup(limit_bytes: int) -> Iterator[Path]:
    """A memory cgroup with a limit and no swap; yields its folder, removes it afterwards.

    Raises:
        OSError: no memory controller here, or no permission.
    """
    root, limit = (_V1, "memory.limit_in_bytes") if _V1.is_dir() else (_V2, "memory.max")
    folder = root / f"shoestring-{os.getpid()}"
    folder.mkdir()
    try:
        (folder / limit).write_text(str(limit_bytes))
        yield folder
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a cgroup; the kernel says busy for a moment after its last process has ended."""
    for _ in range(100):
        try:
            return folder.rmdir()
        except OSError:
            time.sleep(0.05)
    return folder.rmdir()


def run_in_cgroup(command: list[str], cgroup: Path) -> subprocess.CompletedProcess[str]:
    """Run a command inside the cgroup from its first instruction on."""
    enter = f'echo $$ > "{cgroup}/cgroup.procs" && exec "$@"'
    return subprocess.run(["sh", "-c", enter, "sh", *command], capture_output=True, text=True, check=False)


def kernel_kills(cgroup: Path) -> int:
    """How often the kernel's OOM killer struck in the cgroup (`oom_kill` of memory.oom_control or memory.events)."""
    for name in ("memory.oom_control", "memory.events"):
        if (cgroup / name).exists():
            fields = dict(line.split() for line in (cgroup / name).read_text().splitlines())
            return int(fields["oom_kill"])
    raise OSError("this kernel does not count OOM kills")
