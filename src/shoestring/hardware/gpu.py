"""NVIDIA GPUs through NVML, in documented calls only (NVIDIA: NVML API Reference).

We have not run these calls on a GPU yet. They are few and plain for that reason, and what is decided from their
answers is tested with a hand-written double.
"""

# ruff: noqa: N802 - the names are NVML's

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from shoestring.hardware.base import Gpu, Problem

_ROOT = Path("/")
_MEND_DRIVER = (
    "Run nvidia-smi. If it fails too, restart the machine or reinstall the NVIDIA driver; in a container, "
    "start it with GPU access (NVIDIA Container Toolkit). Until then models run on the CPU."
)
_MEND_DEVICE = (
    "Run nvidia-smi. A GPU split into MIG instances tells its memory to the administrator only; one that is "
    "lost needs a restart of the machine. Until then it is left out."
)
T = TypeVar("T")


class Nvml(Protocol):
    """The part of `pynvml` that is used here. Handles are opaque; every call may raise `NVMLError`."""

    NVMLError: type[Exception]
    NVML_ERROR_LIBRARY_NOT_FOUND: int

    def nvmlInit(self) -> None: ...
    def nvmlShutdown(self) -> None: ...
    def nvmlSystemGetDriverVersion(self) -> str: ...
    def nvmlSystemGetCudaDriverVersion_v2(self) -> int: ...
    def nvmlDeviceGetCount(self) -> int: ...
    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any: ...
    def nvmlDeviceGetName(self, handle: Any) -> str: ...
    def nvmlDeviceGetMemoryInfo(self, handle: Any) -> Any: ...
    def nvmlDeviceGetCudaComputeCapability(self, handle: Any) -> tuple[int, int]: ...


@dataclass(frozen=True)
class GpuReading:
    """The GPUs that answered, and what went wrong with others. Both empty: a machine without a driver."""

    gpus: tuple[Gpu, ...] = ()
    problems: tuple[Problem, ...] = ()


def read_gpus(root: Path = _ROOT) -> GpuReading:
    """Every NVIDIA GPU of this machine. A machine without one is normal; a driver that fails is a problem."""
    certain = any((root / sign).exists() for sign in ("dev/nvidiactl", "proc/driver/nvidia"))
    possible = certain or (root / "dev/dxg").exists() or os.name == "nt"  # dxg: WSL with any maker's GPU
    if not possible:
        return GpuReading()
    import pynvml  # 50 ms, so only where a driver can be

    return read_nvml(pynvml, driver_certain=certain)


def read_nvml(nvml: Nvml, *, driver_certain: bool) -> GpuReading:
    """What NVML says, each failure turned into a `Problem`.

    NVML's library missing is one only where a driver is certain: elsewhere it means no NVIDIA GPU.
    """
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        missing = getattr(error, "value", None) == nvml.NVML_ERROR_LIBRARY_NOT_FOUND
        if missing and not driver_certain:
            return GpuReading()
        return GpuReading(problems=(Problem(f"The NVIDIA driver does not answer: {error}.", _MEND_DRIVER),))
    try:
        return _read_devices(nvml)
    except nvml.NVMLError as error:
        return GpuReading(problems=(Problem(f"The NVIDIA driver does not answer: {error}.", _MEND_DRIVER),))
    finally:
        _or_none(nvml, nvml.nvmlShutdown)


def _read_devices(nvml: Nvml) -> GpuReading:
    driver = _or_none(nvml, nvml.nvmlSystemGetDriverVersion)
    cuda = _cuda_version(_or_none(nvml, nvml.nvmlSystemGetCudaDriverVersion_v2))
    answers = [_read_device(nvml, index, driver, cuda) for index in range(nvml.nvmlDeviceGetCount())]
    return GpuReading(
        gpus=tuple(answer for answer in answers if isinstance(answer, Gpu)),
        problems=tuple(answer for answer in answers if isinstance(answer, Problem)),
    )


def _read_device(nvml: Nvml, index: int, driver: str | None, cuda: str | None) -> Gpu | Problem:
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        name, memory = nvml.nvmlDeviceGetName(handle), nvml.nvmlDeviceGetMemoryInfo(handle)
    except nvml.NVMLError as error:
        return Problem(f"GPU {index} does not tell its name or memory: {error}.", _MEND_DEVICE)
    capability = _or_none(nvml, lambda: nvml.nvmlDeviceGetCudaComputeCapability(handle))
    return Gpu(
        name=name,
        total_bytes=int(memory.total),
        free_bytes=int(memory.free),
        driver=driver,
        cuda=cuda,
        compute_capability=None if capability is None else (capability[0], capability[1]),
        bf16=None if capability is None else has_bf16(capability),
    )


def has_bf16(compute_capability: tuple[int, int]) -> bool:
    """Whether a GPU computes in bfloat16: Ampere (8.0) and later (NVIDIA: CUDA C++ Programming Guide)."""
    return compute_capability >= (8, 0)


def _cuda_version(number: int | None) -> str | None:
    """12040 → '12.4': NVML gives 1000 × major + 10 × minor."""
    return None if number is None else f"{number // 1000}.{number % 1000 // 10}"


def _or_none(nvml: Nvml, ask: Callable[[], T]) -> T | None:
    """An answer that we can do without."""
    try:
        return ask()
    except nvml.NVMLError:
        return None
