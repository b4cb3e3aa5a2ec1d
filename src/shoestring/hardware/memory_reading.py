"""Reading main memory as fast as it goes, without NumPy or a compiler.

The fastest plain reader at hand is the C library's `memchr`: looking for a byte that is not there, it reads everything
once with vector instructions, and ctypes releases the interpreter's lock meanwhile, so that threads read at once.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from shoestring.hardware.cgroup import read_text
from shoestring.hardware.memory import read_memory
from shoestring.units import MiB

_ROOT = Path("/")

_BUFFER_BYTES, _PER_THREAD_BYTES, _CACHES = 512 * MiB, 256 * MiB, 16
"""What is read: this much, or 16 times the last cache where that is more, but at most so much a thread, since
touching memory for the first time takes longest. Of 32 MiB of cache, 256 MiB in two threads still read 10 % too fast."""

_LEAST_CACHES = 4
"""With less than that, the figure would be the cache's."""

_SHARE = 16
"""At most this part of the memory that is free."""

_ROUNDS_S = 0.3
"""Seconds of rounds for each number of threads; touching the memory before takes as long or longer."""


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


def measure_with_and_without_one(cores: int) -> tuple[float, float] | None:
    """Bytes per second with every core, and with one fewer (but one), in about a second; None as above."""
    with _buffer(cores) as buffer:
        if buffer is None:
            return None
        fewer = max(1, cores - 1)
        decode = _best_round(buffer, fewer, time.perf_counter() + _ROUNDS_S)
        whole = decode if fewer == cores else _best_round(buffer, cores, time.perf_counter() + _ROUNDS_S)
    # Where fewer cores read all that the memory gives, another one adds nothing but noise.
    return max(whole, decode), decode


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
