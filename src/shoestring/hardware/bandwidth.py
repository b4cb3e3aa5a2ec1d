"""How fast this machine reads its main memory: what decoding on the CPU is bound by.

No system tells it, so it is measured (`memory_reading`), within about a second, and kept for a month.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import msgspec

from shoestring import paths
from shoestring.hardware.base import Cpu, Hardware
from shoestring.hardware.catalog import gpu_bandwidth

_GOOD_FOR = timedelta(days=30)
"""Memory is added and clouds move machines, seldom."""


@dataclass(frozen=True)
class Bandwidth:
    """Bytes per second of reading main memory.

    Attributes:
        bytes_per_s: with every core that this process may use.
        decode_bytes_per_s: with one core fewer (but one), the number that decodes.
        measured_on: ISO date.
        busy: whether other work was running, so that the memory may do better; such a figure holds for a day.
    """

    bytes_per_s: float
    decode_bytes_per_s: float
    measured_on: str
    busy: bool = False


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
    found = _measure(cpu.cores_logical)
    if found is not None:
        before = [entry.bandwidth for entry in kept if entry.machine == machine and entry.bandwidth.busy]
        found = _better(found, before)
        _keep([*(entry for entry in kept if entry.machine != machine), _Entry(machine, found)])
    return found


def _measure(cores: int) -> Bandwidth | None:
    from shoestring.hardware.memory_reading import measure_with_and_without_one

    busy = hasattr(os, "getloadavg") and os.getloadavg()[0] > cores / 2
    found = measure_with_and_without_one(cores)
    return None if found is None else Bandwidth(*found, date.today().isoformat(), busy)


def _better(found: Bandwidth, before: list[Bandwidth]) -> Bandwidth:
    """The best of what was read then and now: other work only ever takes bandwidth away."""
    return replace(
        found,
        bytes_per_s=max(one.bytes_per_s for one in (found, *before)),
        decode_bytes_per_s=max(one.decode_bytes_per_s for one in (found, *before)),
    )


def _is_fresh(found: Bandwidth) -> bool:
    try:
        measured = date.fromisoformat(found.measured_on)
    except ValueError:
        return False
    good_for = timedelta(0) if found.busy else _GOOD_FOR
    return timedelta(0) <= date.today() - measured <= good_for and found.decode_bytes_per_s > 0


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
    import tempfile

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
