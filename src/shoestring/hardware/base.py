"""What a machine is, as data: the same types describe this machine and a named one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cpu:
    """The processor.

    Attributes:
        model: marketing name as the system gives it.
        cores_physical: physical cores, or None where the system does not tell.
        cores_logical: logical cores that this process may run on: affinity and cgroup quota applied, the
            quota rounded up; at least 1.
        features: instruction sets that matter to inference, lower case (`avx2`, `avx512_vnni`, `neon`…),
            sorted; empty where the system does not tell.
    """

    model: str
    cores_physical: int | None
    cores_logical: int
    features: tuple[str, ...]


@dataclass(frozen=True)
class Memory:
    """Main memory.

    Attributes:
        total_bytes: what the machine has.
        available_bytes: what a new process could take without swapping: the smaller of the
            system's figure and the room left under the cgroup limit, file cache counted as free in both.
        limit_bytes: the cgroup limit that really applies (the smallest on the way to the root,
            v1 or v2), or None when there is none below `total_bytes`.
    """

    total_bytes: int
    available_bytes: int
    limit_bytes: int | None


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU as NVML reports it. A figure that the driver does not give is None."""

    name: str
    total_bytes: int
    free_bytes: int
    driver: str | None
    cuda: str | None
    compute_capability: tuple[int, int] | None
    bf16: bool | None


@dataclass(frozen=True)
class Disk:
    """The file system where models go."""

    path: str
    free_bytes: int


@dataclass(frozen=True)
class Problem:
    """Something that stands in the way, and how to mend it."""

    what: str
    fix: str


@dataclass(frozen=True)
class Hardware:
    """A machine: all that planning needs to know of it."""

    cpu: Cpu
    memory: Memory
    gpus: tuple[Gpu, ...]
    disk: Disk
