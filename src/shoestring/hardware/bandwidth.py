"""How fast this machine reads its main memory: what decoding on the CPU is bound by.

No system tells it, so it is measured, within about a second, and kept for a month. Without NumPy or a compiler, the
fastest plain reader at hand is the C library's `memchr`: looking for a byte that is not there, it reads everything
once with vector instructions, and ctypes releases the interpreter's lock meanwhile, so that threads read at once.
"""

from __future__ import annotations

import ctypes
import logging
import mmap
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import msgspec

from shoestring import paths
from shoestring.hardware.base import Cpu, Hardware
from shoestring.hardware.catalog import gpu_bandwidth
from shoestring.hardware.cgroup import read_text
from shoestring.hardware.memory import read_memory
from shoestring.units import MiB

_ROOT = Path("/")
_GOOD_FOR = timedelta(days=30)
"""Memory is added and clouds move machines, seldom."""

_BUFFER_BYTES, _PER_THREAD_BYTES, _CACHES = 512 * MiB, 256 * MiB, 16
"""What is read: this much, or 16 times the last cache where that is more, but at most so much a thread, since
touching memory for the first time takes longest. Of 32 MiB of cache, 256 MiB in two threads still read 10 % too fast."""

_LEAST_CACHES = 4
"""With less than that, the figure would be the cache's."""

_SHARE = 16
"""At most this part of the memory that is free."""


@dataclass(frozen=True)
class Bandwidth:
    """Bytes per second of reading main memory.

    Attributes:
        bytes_per_s: with every core that this process may use.
        decode_bytes_per_s: with one core fewer (but one), the number that decodes.
        measured_on: ISO date.
    """

    bytes_per_s: float
    decode_bytes_per_s: float
    measured_on: str


@dataclass(frozen=True)
class _Machine:
    """What a figure holds for. Not the boot: a restart changes no memory, and asking again costs a second."""

    cpu: str
    cores: int
    memory_bytes: int


@dataclass(frozen=True)
class _Entry:
    machine: _Machine
    bandwidth: Bandwidth


def with_bandwidth(hardware: Hardware, *, measure: bool = False) -> Hardware:
    """The same machine with the bandwidth of its memory and, by their names, of its GPUs.

    Args:
        measure: measure where nothing is kept; that takes about a second. Otherwise what is not known stays None.
            A machine from the catalog is returned as it is.
    """
    if hardware.name is not None:
        return hardware
    gpus = tuple(
        replace(
            gpu, bandwidth_bytes_per_s=gpu.bandwidth_bytes_per_s or gpu_bandwidth(gpu.name, gpu.total_bytes)
        )
        for gpu in hardware.gpus
    )
    found = bandwidth(hardware.cpu, hardware.memory.total_bytes, measure=measure)
    if found is None:
        return replace(hardware, gpus=gpus)
    return replace(
        hardware,
        gpus=gpus,
        bandwidth_bytes_per_s=found.bytes_per_s,
        decode_bandwidth_bytes_per_s=found.decode_bytes_per_s,
    )


def bandwidth(cpu: Cpu, memory_bytes: int, *, measure: bool = False) -> Bandwidth | None:
    """This machine's figure: kept, if it is of this processor and memory and not older than 30 days, or None.

    Args:
        memory_bytes: all the machine has; another amount is another machine.
        measure: measure where none is kept, and keep it.
    """
    machine = _Machine(cpu.model, cpu.cores_logical, memory_bytes)
    kept = _read_kept()
    for entry in kept:
        if entry.machine == machine and _is_fresh(entry.bandwidth):
            return entry.bandwidth
    if not measure:
        return None
    found = _measure_both(cpu.cores_logical)
    if found is not None:
        others = [entry for entry in kept if entry.machine != machine]
        _keep([*others, _Entry(machine, found)])
    return found


def measure_bandwidth(threads: int, budget_s: float = 1.0) -> float | None:
    """Bytes per second that `threads` read of main memory together, measured for about `budget_s`.

    The best of many rounds: other programs and interrupts only ever take bandwidth away, so that the fastest
    round is the nearest to what the memory can do.

    Returns:
        None where it cannot be measured: too little memory is free for more than the caches hold, or the C
        library reads byte by byte.
    """
    start = time.perf_counter()
    with _buffer(threads) as buffer:
        if buffer is None:
            return None
        return _best_round(buffer, threads, start + budget_s)


def _measure_both(cores: int) -> Bandwidth | None:
    with _buffer(cores) as buffer:
        if buffer is None:
            return None
        fewer = max(1, cores - 1)
        decode = _best_round(buffer, fewer, time.perf_counter() + 0.3)
        whole = decode if fewer == cores else _best_round(buffer, cores, time.perf_counter() + 0.3)
    # Where one core reads all that the memory gives, another one adds nothing but noise.
    return Bandwidth(max(whole, decode), decode, date.today().isoformat())


@dataclass(frozen=True)
class _Buffer:
    """Memory that was written once: pages that never were are all one page of zeros, which lies in the cache."""

    address: int
    n_bytes: int
    read: Callable[[int, int], None]


@contextmanager
def _buffer(threads: int) -> Iterator[_Buffer | None]:
    """The memory to read, freed behind; None where there is no reader or not enough."""
    memory = read_memory()
    cache = last_cache_bytes()
    wanted = max(_BUFFER_BYTES, _CACHES * cache)
    n_bytes = min(wanted, threads * _PER_THREAD_BYTES, memory.available_bytes // _SHARE)
    n_bytes -= n_bytes % mmap.PAGESIZE
    read = _reader()
    if read is None or n_bytes < max(_LEAST_CACHES * cache, threads * mmap.PAGESIZE):
        yield None
        return
    with mmap.mmap(-1, n_bytes) as pages:
        # The address is taken and the view dropped, since a view would keep the memory from being freed.
        address = ctypes.addressof(ctypes.c_char.from_buffer(pages))
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda part: ctypes.memset(part[0], 1, part[1]), _parts(address, n_bytes, threads)))
        yield _Buffer(address, n_bytes, read)


def _best_round(buffer: _Buffer, threads: int, until: float) -> float:
    parts = _parts(buffer.address, buffer.n_bytes, threads)
    n_bytes = sum(size for _, size in parts)

    def read(part: tuple[int, int]) -> tuple[float, float]:
        start = time.perf_counter()
        buffer.read(*part)
        return start, time.perf_counter()

    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        while best == 0.0 or time.perf_counter() < until:
            spans = list(pool.map(read, parts))
            seconds = max(end for _, end in spans) - min(start for start, _ in spans)
            best = max(best, n_bytes / seconds)
    return best


def _parts(address: int, n_bytes: int, threads: int) -> Sequence[tuple[int, int]]:
    """Address and length of each thread's share."""
    size = n_bytes // threads
    return [(address + i * size, size) for i in range(threads)]


def _reader() -> Callable[[int, int], None] | None:
    """Reads `length` bytes at an address; None where the C library has no fast way.

    glibc, macOS and Windows have one; musl looks at 8 bytes at a time, too slow to reach what the memory gives.
    The last two were never run by us.
    """
    if sys.platform == "win32":
        library = ctypes.CDLL("msvcrt")
    elif sys.platform == "linux" and platform.libc_ver()[0] != "glibc":
        return None
    else:
        library = ctypes.CDLL(None)
    memchr = library.memchr
    memchr.restype = ctypes.c_void_p
    memchr.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]

    def read(address: int, length: int) -> None:
        memchr(address, 0, length)  # the buffer holds ones

    return read


def last_cache_bytes(root: Path = _ROOT) -> int:
    """All last-level caches together, as Linux lists them; 0 where the system does not tell."""
    found: dict[str, int] = {}
    for folder in (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cache/index3"):
        size, cores = read_text(folder / "size"), read_text(folder / "shared_cpu_list")
        digits = (size or "").strip().removesuffix("K")
        if digits.isdecimal():
            found[cores or str(folder)] = int(digits) * 1024
    return sum(found.values())


def _is_fresh(found: Bandwidth) -> bool:
    try:
        measured = date.fromisoformat(found.measured_on)
    except ValueError:
        return False
    return timedelta(0) <= date.today() - measured <= _GOOD_FOR and found.decode_bytes_per_s > 0


def _file() -> Path:
    return paths.state_dir() / "bandwidth.json"


def _read_kept() -> list[_Entry]:
    """What is kept. A file that is not there or not ours to read is as good as none: it is made anew."""
    try:
        return msgspec.json.decode(_file().read_bytes(), type=list[_Entry])
    except (OSError, msgspec.DecodeError):
        return []


def _keep(entries: list[_Entry]) -> None:
    """Write the file in one step; a home that cannot be written must not fail what only wanted a figure."""
    file = _file()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f"{file.name}.", dir=file.parent)
        try:
            with os.fdopen(descriptor, "wb") as temporary:
                temporary.write(msgspec.json.encode(entries))
            Path(name).replace(file)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        logging.getLogger(__name__).warning("The memory bandwidth could not be kept: %s", error)
