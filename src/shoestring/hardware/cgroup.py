"""The control groups this process runs in: where the kernel keeps the limits that really apply.

Sources: cgroups(7), the kernel's admin-guide/cgroup-v1 and cgroup-v2, proc_pid_mountinfo(5).
Everything reads below `root`, so that tests feed folder trees; `root` is `/` in life.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

Controller = Literal["memory", "cpu"]

_ROOT = Path("/")
_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Cgroup:
    """A process's group in one hierarchy.

    Attributes:
        version: 1 or 2; they name their files differently.
        levels: folders of the group itself and then of each visible ancestor, never empty; a limit at
            any level applies.
    """

    version: Literal[1, 2]
    levels: tuple[Path, ...]


@dataclass(frozen=True)
class _Mount:
    """One cgroup file system: `subtree` is the group that shows at `point`."""

    version: Literal[1, 2]
    controllers: frozenset[str]
    subtree: PurePosixPath
    point: PurePosixPath


def cgroup_of(controller: Controller, root: Path = _ROOT) -> Cgroup | None:
    """The group that limits this process's memory or CPU time, or None where there is none to see.

    A controller belongs to one hierarchy: to a v1 one if `/proc/self/cgroup` says so, else to v2. Inside a
    container the path given there may lie outside what is mounted; then the top of the mount is the group.
    """
    v1_group, v2_group = _groups(controller, read_text(root / "proc/self/cgroup"))
    for mount in _mounts(read_text(root / "proc/self/mountinfo")):
        group = v2_group if v1_group is None else v1_group
        if group is None or mount.version != (2 if v1_group is None else 1):
            continue
        if mount.version == 2 or controller in mount.controllers:
            levels = _levels(mount, group, root)
            return Cgroup(mount.version, levels) if levels else None
    return None


def _groups(controller: str, text: str | None) -> tuple[PurePosixPath | None, PurePosixPath | None]:
    """The process's path in the v1 hierarchy of `controller` and in the v2 one, each None if it has none."""
    v1 = v2 = None
    for line in (text or "").splitlines():
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if hierarchy == "0" and not controllers:
            v2 = PurePosixPath(path)
        elif controller in controllers.split(","):
            v1 = PurePosixPath(path)
    return v1, v2


def _mounts(text: str | None) -> list[_Mount]:
    """The cgroup mounts among the lines of a mountinfo file."""
    found = []
    for line in (text or "").splitlines():
        mount, separator, file_system = line.partition(" - ")
        before, after = mount.split(" "), file_system.split(" ")
        if not separator or len(before) < 5 or len(after) < 3 or after[0] not in ("cgroup", "cgroup2"):
            continue
        found.append(
            _Mount(
                version=1 if after[0] == "cgroup" else 2,
                controllers=frozenset(after[2].split(",")),
                subtree=PurePosixPath(_unescape(before[3])),
                point=PurePosixPath(_unescape(before[4])),
            )
        )
    return found


def _levels(mount: _Mount, group: PurePosixPath, root: Path) -> tuple[Path, ...]:
    top = root / mount.point.relative_to(mount.point.anchor)
    inside: tuple[str, ...] = ()
    if ".." not in group.parts and group.is_relative_to(mount.subtree):
        inside = group.relative_to(mount.subtree).parts
    folders = [top.joinpath(*inside[:depth]) for depth in range(len(inside), -1, -1)]
    return tuple(folder for folder in folders if folder.is_dir())


def _unescape(field: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), field)


def read_text(path: Path) -> str | None:
    """A small kernel file as text; None where it is missing or may not be read."""
    try:
        return path.read_bytes().decode("utf-8", "replace")
    except OSError:
        return None


def read_int(path: Path) -> int | None:
    """A kernel file that holds one whole number; None for `max`, `-1`, anything else, or no file."""
    text = (read_text(path) or "").strip()
    return int(text) if text.isascii() and text.isdigit() else None
