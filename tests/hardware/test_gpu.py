"""What is made of NVML's answers. No GPU was at hand: a double answers as the library is documented to."""

# ruff: noqa: N802 - the names are NVML's

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from shoestring.hardware.base import Gpu
from shoestring.hardware.gpu import GpuReading, read_gpus, read_nvml
from shoestring.units import GiB

T4 = {"name": "Tesla T4", "memory": (16 * GiB, 15 * GiB), "capability": (7, 5)}
A100 = {"name": "NVIDIA A100-SXM4-40GB", "memory": (40 * GiB, 39 * GiB), "capability": (8, 0)}


class NvmlError(Exception):
    def __init__(self, text: str = "Unknown Error", value: int = 999) -> None:
        super().__init__(text)
        self.value = value


@dataclass
class FakeNvml:
    """NVML as documented: each device is a dict, and a figure it lacks raises."""

    devices: list[dict[str, Any]] = field(default_factory=list)
    init_error: NvmlError | None = None
    lost: bool = False
    NVMLError: type[Exception] = NvmlError
    NVML_ERROR_LIBRARY_NOT_FOUND: int = 12

    def nvmlInit(self) -> None:
        if self.init_error:
            raise self.init_error

    def nvmlShutdown(self) -> None:
        if self.lost:
            raise NvmlError

    def nvmlSystemGetDriverVersion(self) -> str:
        return "550.54.15"

    def nvmlSystemGetCudaDriverVersion_v2(self) -> int:
        return 12040

    def nvmlDeviceGetCount(self) -> int:
        if self.lost:
            raise NvmlError("Driver/library version mismatch")
        return len(self.devices)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> dict[str, Any]:
        return self.devices[index]

    def nvmlDeviceGetName(self, handle: dict[str, Any]) -> str:
        return str(self._answer(handle, "name"))

    def nvmlDeviceGetMemoryInfo(self, handle: dict[str, Any]) -> SimpleNamespace:
        total, free = self._answer(handle, "memory")
        return SimpleNamespace(total=total, free=free, used=total - free)

    def nvmlDeviceGetCudaComputeCapability(self, handle: dict[str, Any]) -> tuple[int, int]:
        capability: tuple[int, int] = self._answer(handle, "capability")
        return capability

    def _answer(self, handle: dict[str, Any], key: str) -> Any:
        if key not in handle:
            raise NvmlError("Insufficient Permissions")
        return handle[key]


def test_a_t4_is_reported_without_bf16() -> None:
    assert read_nvml(FakeNvml([T4]), driver_certain=True) == GpuReading(
        gpus=(
            Gpu(
                name="Tesla T4",
                total_bytes=16 * GiB,
                free_bytes=15 * GiB,
                driver="550.54.15",
                cuda="12.4",
                compute_capability=(7, 5),
                bf16=False,
            ),
        )
    )


def test_ampere_has_bf16() -> None:
    assert read_nvml(FakeNvml([A100]), driver_certain=True).gpus[0].bf16 is True


def test_every_gpu_is_listed_in_order() -> None:
    reading = read_nvml(FakeNvml([T4, A100]), driver_certain=True)

    assert [gpu.name for gpu in reading.gpus] == [T4["name"], A100["name"]]


def test_a_gpu_without_a_capability_is_reported_with_the_unknown_as_none() -> None:
    gpu = read_nvml(FakeNvml([{"name": "Odd", "memory": (GiB, GiB)}]), driver_certain=True).gpus[0]

    assert (gpu.compute_capability, gpu.bf16) == (None, None)


def test_a_gpu_that_hides_its_memory_is_a_problem_and_the_others_are_still_listed() -> None:
    reading = read_nvml(FakeNvml([{"name": "MIG parent"}, T4]), driver_certain=True)

    assert [gpu.name for gpu in reading.gpus] == ["Tesla T4"]
    assert "GPU 0" in reading.problems[0].what
    assert "Insufficient Permissions" in reading.problems[0].what


def test_a_driver_that_fails_to_start_is_a_problem() -> None:
    nvml = FakeNvml(init_error=NvmlError("Driver Not Loaded", 9))

    assert "Driver Not Loaded" in read_nvml(nvml, driver_certain=False).problems[0].what


def test_a_driver_lost_in_between_is_a_problem() -> None:
    reading = read_nvml(FakeNvml([T4], lost=True), driver_certain=True)

    assert reading.gpus == ()
    assert "mismatch" in reading.problems[0].what


def test_a_missing_library_is_a_problem_only_beside_a_driver() -> None:
    nvml = FakeNvml(init_error=NvmlError("NVML Shared Library Not Found", 12))

    assert read_nvml(nvml, driver_certain=False) == GpuReading()
    assert read_nvml(nvml, driver_certain=True).problems


def test_a_machine_without_a_driver_is_normal(tmp_path: Path) -> None:
    assert read_gpus(tmp_path) == GpuReading()


def test_a_driver_whose_library_is_missing_here_is_told(tmp_path: Path) -> None:
    """The real pynvml, on a machine that only pretends to have a driver."""
    (tmp_path / "proc/driver/nvidia").mkdir(parents=True)

    reading = read_gpus(tmp_path)

    assert reading.gpus or reading.problems
