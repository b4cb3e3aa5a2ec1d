"""The whole picture of a machine: what it is, where we run, what is installed, what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from shoestring import paths
from shoestring.hardware import problems
from shoestring.hardware.bandwidth import Bandwidth, bandwidth
from shoestring.hardware.base import Cpu, Disk, Gpu, Memory, Problem
from shoestring.hardware.cpu import read_cpu
from shoestring.hardware.disk import is_writable, read_disk
from shoestring.hardware.environment import Environment, read_environment, read_packages
from shoestring.hardware.gpu import read_gpus
from shoestring.hardware.memory import read_memory


@dataclass(frozen=True)
class DoctorReport:
    """What `doctor` finds. The names are a contract: other tools read them as JSON.

    Attributes:
        packages: installed version of each engine and its libraries; None where not installed.
        problems: gravest first; empty when nothing stands in the way.
        bandwidth: of main memory, if it was measured (which planning does); None: not yet.
    """

    cpu: Cpu
    memory: Memory
    gpus: tuple[Gpu, ...]
    disk: Disk
    environment: Environment
    packages: dict[str, str | None]
    problems: tuple[Problem, ...]
    bandwidth: Bandwidth | None = None


def doctor(models_path: Path | None = None) -> DoctorReport:
    """Examine this machine. `models_path`: where models would go; None: where they go by default.

    Raises:
        UsageError: the folder where models go is on a disk that is not there.
    """
    models = models_path or paths.models_dir()
    cpu, memory, disk = read_cpu(), read_memory(), read_disk(models)
    gpu_reading = read_gpus()
    environment, packages = read_environment(), read_packages()
    possible = [
        *problems.python_problems(packages),
        problems.cpu_problem(cpu),
        *problems.disk_problems(disk, is_writable(models)),
        *problems.memory_problems(memory),
        *gpu_reading.problems,
        problems.gpu_problem(gpu_reading.gpus, environment),
    ]
    return DoctorReport(
        cpu=cpu,
        memory=memory,
        gpus=gpu_reading.gpus,
        disk=disk,
        environment=environment,
        packages=packages,
        problems=tuple(problem for problem in possible if problem is not None),
        bandwidth=bandwidth(cpu, memory.total_bytes),
    )
