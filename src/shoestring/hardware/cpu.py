"""The processor: its name, the cores this process may use, the instruction sets that matter to inference.

What a system does not tell stays unknown: no features, no count of physical cores, a model called unknown.
"""

from __future__ import annotations

import math
import os
import platform
import sys
from pathlib import Path

from shoestring.hardware.base import Cpu
from shoestring.hardware.cgroup import Cgroup, cgroup_of, read_int, read_text

_ROOT = Path("/")

# The flags of an x86 /proc/cpuinfo that matter. Every 64-bit x86 has sse2: it tells a processor that is known
# to lack AVX from one that is not known.
_X86_FEATURES = frozenset(
    {"sse2", "avx", "avx2", "bmi2", "f16c", "fma", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16"}
    | {"amx_tile", "amx_int8", "amx_bf16"}
)
# Names in the Features line of an ARM /proc/cpuinfo (kernel: arm64/elf_hwcaps) → the names people use.
_ARM_FEATURES = {
    "asimd": "neon",
    "neon": "neon",
    "asimddp": "dotprod",
    "asimdhp": "fp16",
    "i8mm": "i8mm",
    "bf16": "bf16",
    "sve": "sve",
    "sve2": "sve2",
}
# (implementer, part) of the ARM cores that people rent or own; from the kernel's arm64/include/asm/cputype.h.
_ARM_CORES = {
    (0x41, 0xD03): "ARM Cortex-A53",
    (0x41, 0xD08): "ARM Cortex-A72",
    (0x41, 0xD0B): "ARM Cortex-A76",
    (0x41, 0xD0C): "ARM Neoverse-N1",
    (0x41, 0xD40): "ARM Neoverse-V1",
    (0x41, 0xD49): "ARM Neoverse-N2",
    (0x41, 0xD4F): "ARM Neoverse-V2",
    (0xC0, 0xAC3): "Ampere-1",
}


def read_cpu(root: Path = _ROOT) -> Cpu:
    """This machine's processor."""
    if sys.platform == "darwin":
        from shoestring.hardware import cpu_macos as system

        cpu = system.read_cpu(usable_cores())
    elif sys.platform == "win32":
        from shoestring.hardware import cpu_windows as system

        cpu = system.read_cpu(usable_cores())
    else:
        cpu = _read_linux(root)
    return cpu


def _read_linux(root: Path) -> Cpu:
    cpuinfo = _fields(read_text(root / "proc/cpuinfo"))
    return Cpu(
        model=_model(cpuinfo, root),
        cores_physical=_physical_cores(root),
        cores_logical=usable_cores(root),
        features=_features(cpuinfo),
    )


def usable_cores(root: Path = _ROOT) -> int:
    """Logical cores this process may keep busy: its affinity and the cgroup's CPU quota; at least 1.

    A quota is rounded up: a thread too many waits now and then, a thread too few leaves time unused.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(cgroup_of("cpu", root))
    return max(1, allowed if quota is None else min(allowed, math.ceil(quota)))


def _quota(cgroup: Cgroup | None) -> float | None:
    """CPU seconds per second: the smallest quota on the way to the root, or None when time is not limited."""
    if cgroup is None:
        return None
    read_quota = _quota_v1 if cgroup.version == 1 else _quota_v2
    quotas = (read_quota(folder) for folder in cgroup.levels)
    return min((quota for quota in quotas if quota is not None), default=None)


def _quota_v1(folder: Path) -> float | None:
    quota, period = read_int(folder / "cpu.cfs_quota_us"), read_int(folder / "cpu.cfs_period_us")
    return quota / period if quota and period else None


def _quota_v2(folder: Path) -> float | None:
    """`cpu.max` is "quota period" in microseconds; an unlimited quota is the word `max`."""
    numbers = [int(word) for word in (read_text(folder / "cpu.max") or "").split() if word.isdecimal()]
    return numbers[0] / numbers[1] if len(numbers) == 2 and all(numbers) else None


def _fields(cpuinfo: str | None) -> dict[str, str]:
    """`name : value` of every line; the first core's value where each core repeats it."""
    found: dict[str, str] = {}
    for line in (cpuinfo or "").splitlines():
        name, separator, value = line.partition(":")
        if separator and value.strip():
            found.setdefault(name.strip(), value.strip())
    return found


def _model(cpuinfo: dict[str, str], root: Path) -> str:
    """x86 gives a name; ARM gives the board's, or numbers for the core; anything else is called unknown."""
    if "model name" in cpuinfo:
        return cpuinfo["model name"]
    board = cpuinfo.get("Model") or (read_text(root / "proc/device-tree/model") or "").rstrip("\0").strip()
    core = _arm_core(cpuinfo.get("CPU implementer"), cpuinfo.get("CPU part"))
    if board and core:
        return f"{board} ({core})"
    return board or core or f"unknown {platform.machine() or 'processor'}"


def _arm_core(implementer: str | None, part: str | None) -> str | None:
    if implementer is None or part is None:
        return None
    try:
        name = _ARM_CORES.get((int(implementer, 16), int(part, 16)))
    except ValueError:
        name = None
    return name or f"ARM implementer {implementer} part {part}"


def _physical_cores(root: Path) -> int | None:
    """Groups of sibling threads, as the kernel lists them: CPUs of one core name the same list."""
    topology = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/topology")
    lists = {
        read_text(folder / "core_cpus_list") or read_text(folder / "thread_siblings_list")
        for folder in topology
    }
    return len(lists - {None}) or None


def _features(cpuinfo: dict[str, str]) -> tuple[str, ...]:
    x86 = _X86_FEATURES.intersection(cpuinfo.get("flags", "").split())
    arm = {_ARM_FEATURES[word] for word in cpuinfo.get("Features", "").split() if word in _ARM_FEATURES}
    return tuple(sorted(x86 | arm))
