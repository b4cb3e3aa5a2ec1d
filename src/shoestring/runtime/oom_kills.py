"""Whether the kernel killed something because memory ran out: what tells its SIGKILL from anybody else's."""

from __future__ import annotations

from pathlib import Path

_VMSTAT = Path("/proc/vmstat")


def oom_kills(vmstat: Path = _VMSTAT) -> int | None:
    """How often the kernel's OOM killer has struck on this machine, in any cgroup; None where it does not tell.

    The `oom_kill` line of proc(5) `vmstat`, from Linux 4.13 on (mm/oom_kill.c counts every victim there).
    """
    try:
        lines = vmstat.read_bytes().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith(b"oom_kill ")), None)
