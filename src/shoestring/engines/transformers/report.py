"""What a load brought: seconds, parameters, bytes by dtype, and what every device holds now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shoestring.engines.base import DeviceMemory, LoadReport
from shoestring.engines.transformers.held import bytes_by_dtype, count_parameters
from shoestring.hardware.memory import read_memory


def report(
    model: Any, gpus: Sequence[int], *, tokenizer_s: float, weights_s: float, notes: Sequence[str]
) -> LoadReport:
    """The report of a model that has just been loaded.

    Args:
        gpus: numbers of the GPUs in use.
    """
    held = bytes_by_dtype(model)
    return LoadReport(
        tokenizer_s=tokenizer_s,
        weights_s=weights_s,
        parameters=count_parameters(model),
        bytes_by_dtype=held,
        weights_bytes=sum(held.values()),
        footprint_bytes=model.get_memory_footprint(),
        devices=(main_memory(), *(_gpu_memory(number) for number in gpus)),
        notes=tuple(notes),
    )


def main_memory() -> DeviceMemory:
    """What this process holds of main memory, and what is left."""
    memory = read_memory()
    return DeviceMemory(
        name="cpu",
        allocated_bytes=_resident_bytes(),
        reserved_bytes=None,
        free_bytes=memory.available_bytes,
        total_bytes=memory.limit_bytes or memory.total_bytes,
    )


def _gpu_memory(number: int) -> DeviceMemory:
    """As torch's allocator and the driver tell. Never run by us."""
    import torch

    free, total = torch.cuda.mem_get_info(number)
    return DeviceMemory(
        name=f"gpu{number}",
        allocated_bytes=torch.cuda.memory_allocated(number),
        reserved_bytes=torch.cuda.memory_reserved(number),
        free_bytes=free,
        total_bytes=total,
    )


def _resident_bytes() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)
