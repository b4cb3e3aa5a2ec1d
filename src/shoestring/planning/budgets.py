"""How much of each device a plan may use."""

from __future__ import annotations

from collections.abc import Mapping

from shoestring.errors import UsageError
from shoestring.hardware.base import Gpu, Hardware, Memory
from shoestring.planning.base import CPU, DISK, Request
from shoestring.units import MiB, format_bytes


def safety_margin_bytes(memory: Memory) -> int:
    """Memory that a plan leaves free: a tenth of the machine's (or its cgroup's), at most 512 MiB.

    Half of it is the floor under which the guard stops a worker; the other half is for what other
    programs take meanwhile and for the plan's own error.
    """
    whole = memory.total_bytes if memory.limit_bytes is None else memory.limit_bytes
    return min(512 * MiB, whole // 10)


def gpu_margin_bytes(gpu: Gpu) -> int:
    """Memory of a GPU that a plan leaves free for the allocator's rounding: a twentieth, at most 512 MiB."""
    return min(512 * MiB, gpu.total_bytes // 20)


def free_bytes(hardware: Hardware) -> int:
    """What the machine can really give of its main memory."""
    return max(0, hardware.memory.available_bytes - safety_margin_bytes(hardware.memory))


def device_budgets(hardware: Hardware, request: Request) -> dict[str, int]:
    """Bytes that may be used of each device: GPUs in order, `cpu`, `disk`. What was asked for is taken as it is.

    Raises:
        UsageError: an amount can hold nothing.
    """
    if request.vram_bytes is not None and request.vram_bytes < 0:
        raise UsageError(
            f"{request.vram_bytes} bytes of GPU memory cannot be.", "Give a size such as 8GB, or none."
        )
    budgets = {f"gpu{i}": _gpu_budget(hardware, gpu, request) for i, gpu in enumerate(hardware.gpus)}
    budgets = {name: n_bytes for name, n_bytes in budgets.items() if n_bytes}
    return budgets | {CPU: _main_memory(hardware, request), DISK: hardware.disk.free_bytes}


def _main_memory(hardware: Hardware, request: Request) -> int:
    asked = request.budget_bytes
    if asked is None:
        return free_bytes(hardware)
    if asked < 1:
        raise UsageError(
            f"A memory budget of {asked} bytes can hold nothing.", "Give a size such as 2GB, or none."
        )
    return asked


def _gpu_budget(hardware: Hardware, gpu: Gpu, request: Request) -> int:
    if request.vram_bytes is None:
        return max(0, gpu.free_bytes - gpu_margin_bytes(gpu))
    together = sum(each.total_bytes for each in hardware.gpus)
    return request.vram_bytes * gpu.total_bytes // together


def notes(hardware: Hardware, budgets: Mapping[str, int]) -> tuple[str, ...]:
    """What the user should know of a budget that is larger than what is free here."""
    free = free_bytes(hardware)
    if budgets[CPU] <= free or hardware.name is not None:
        return ()
    return (f"Planned for a larger machine: this one can give {format_bytes(free)} now.",)


def describe(hardware: Hardware) -> str:
    """The machine in a few words: `Tesla T4 16.1 GB, Colab, free, 13.6 GB`."""
    parts = [f"{gpu.name} {format_bytes(gpu.total_bytes)}" for gpu in hardware.gpus]
    return ", ".join([*parts, hardware.cpu.model, format_bytes(hardware.memory.total_bytes)])
