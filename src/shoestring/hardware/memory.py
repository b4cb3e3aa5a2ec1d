"""Main memory: what there is, what is free, and the cgroup limit that really applies.

On the start path of every run, so Linux is read from `/proc/meminfo` and the cgroup files directly
(well under a millisecond); elsewhere psutil is asked.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from shoestring.hardware.base import Memory
from shoestring.hardware.cgroup import Cgroup, cgroup_of, read_int, read_text

_ROOT = Path("/")


class MemoryProbe:
    """Reads memory again and again: the cgroup's files are found once, here, and each call only reads them.

    A limit that is changed later is seen; a process moved to another group is not.
    """

    def __init__(self, root: Path = _ROOT) -> None:
        self._meminfo = root / "proc/meminfo"
        self._cgroup = cgroup_of("memory", root)

    def read(self) -> Memory:
        """Total, available and limit, in bytes, now."""
        system = _system_memory(self._meminfo)
        limited = [level for level in _limits(self._cgroup) if level.limit_bytes < system.total_bytes]
        return Memory(
            total_bytes=system.total_bytes,
            available_bytes=min([system.available_bytes, *(level.room_bytes() for level in limited)]),
            limit_bytes=min((level.limit_bytes for level in limited), default=None),
        )

    def available_bytes(self) -> int:
        """What a new process could take now without swapping. Cheap enough to poll many times a second."""
        return self.read().available_bytes


def read_memory(root: Path = _ROOT) -> Memory:
    """This machine's memory, in bytes, now."""
    return MemoryProbe(root).read()


class _System(NamedTuple):
    total_bytes: int
    available_bytes: int


class _Level(NamedTuple):
    """One group on the way to the root that has a limit."""

    version: int
    folder: Path
    limit_bytes: int

    def room_bytes(self) -> int:
        """limit − usage + file cache, which the kernel drops before it kills.

        Both file lists count, as in MemAvailable: a model file just downloaded and verified lies on the
        active one. An unreadable figure counts as nothing used, leaving the limit itself.
        """
        usage_file = "memory.usage_in_bytes" if self.version == 1 else "memory.current"
        prefix = "total_" if self.version == 1 else ""  # v1: figures of the whole subtree are apart
        stat = _fields(read_text(self.folder / "memory.stat"), " ")
        cache = stat.get(f"{prefix}inactive_file", 0) + stat.get(f"{prefix}active_file", 0)
        used = max(0, (read_int(self.folder / usage_file) or 0) - cache)
        return max(0, self.limit_bytes - used)


def _limits(cgroup: Cgroup | None) -> list[_Level]:
    if cgroup is None:
        return []
    read_limit = _limit_v1 if cgroup.version == 1 else _limit_v2
    limits = [read_limit(folder) for folder in cgroup.levels]
    if cgroup.version == 1:
        limits[0] = _smallest(limits[0], _limit_from_ancestors(cgroup.levels[0]))
    return [
        _Level(cgroup.version, folder, limit)
        for folder, limit in zip(cgroup.levels, limits, strict=True)
        if limit is not None
    ]


def _limit_v1(folder: Path) -> int | None:
    """A v1 group's own limit. "None" is a number near 2⁶³ there, which comparing with the total drops."""
    return read_int(folder / "memory.limit_in_bytes")


def _limit_from_ancestors(folder: Path) -> int | None:
    """The smallest limit above a v1 group, ancestors that we cannot see included, as the kernel tells it."""
    return _fields(read_text(folder / "memory.stat"), " ").get("hierarchical_memory_limit")


def _limit_v2(folder: Path) -> int | None:
    """A v2 group's own limit: `memory.max` kills, `memory.high` throttles until work all but stops."""
    return _smallest(read_int(folder / "memory.max"), read_int(folder / "memory.high"))


def _smallest(*limits: int | None) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)


def _system_memory(meminfo: Path) -> _System:
    fields = _fields(read_text(meminfo), ":")
    total, available = fields.get("MemTotal"), fields.get("MemAvailable")
    if total is None or available is None:  # not Linux, or a kernel before 3.14
        import psutil

        memory = psutil.virtual_memory()
        return _System(memory.total, memory.available)
    return _System(total * 1024, available * 1024)  # the file's "kB" are KiB: proc_meminfo(5)


def _fields(text: str | None, separator: str) -> dict[str, int]:
    """`name<separator>number [unit]` lines as a dict; lines of another form are left out."""
    found = {}
    for line in (text or "").splitlines():
        name, _, rest = line.partition(separator)
        number = rest.split()[:1]
        if number and number[0].isascii() and number[0].isdigit():
            found[name] = int(number[0])
    return found
