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
    """One NVIDIA GPU as NVML reports it, or a named one from the catalog. A figure that is not known is None.

    `bandwidth_bytes_per_s` is of its memory, from the catalog: NVML does not tell it.
    """

    name: str
    total_bytes: int
    free_bytes: int
    driver: str | None
    cuda: str | None
    compute_capability: tuple[int, int] | None
    bf16: bool | None
    bandwidth_bytes_per_s: float | None = None


@dataclass(frozen=True)
class Disk:
    """The file system where models go. `read_bytes_per_s`: how fast it is read; None: not known."""

    path: str
    free_bytes: int
    read_bytes_per_s: float | None = None


@dataclass(frozen=True)
class Problem:
    """Something that stands in the way, and how to mend it."""

    what: str
    fix: str


@dataclass(frozen=True)
class Hardware:
    """A machine: all that planning needs to know of it.

    Attributes:
        bandwidth_bytes_per_s: of reading main memory with every core; None until it is measured (or known of a
            named machine).
        name: of a machine from the catalog; None: this one.
        decode_bandwidth_bytes_per_s: of reading main memory with one core fewer, as decoding does; None until it
            is measured, and for a named machine.
    """

    cpu: Cpu
    memory: Memory
    gpus: tuple[Gpu, ...]
    disk: Disk
    bandwidth_bytes_per_s: float | None = None
    name: str | None = None
    decode_bandwidth_bytes_per_s: float | None = None
