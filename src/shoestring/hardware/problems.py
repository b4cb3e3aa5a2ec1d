"""What stands in the way on a machine, and how to mend it. Pure: figures in, problems out."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from shoestring.hardware.base import Cpu, Disk, Gpu, Memory, Problem
from shoestring.hardware.environment import Environment
from shoestring.units import format_bytes

LOW_MEMORY_BYTES = 1_000_000_000  # the smallest starters need 0.2 to 0.4 GB, and the system wants some
LOW_DISK_BYTES = 2_000_000_000  # a 3B model at four bits

# What the prebuilt llama.cpp was compiled to use on x86, as its own `get_system_info()` says.
_LLAMA_CPP_NEEDS = ("avx", "avx2", "bmi2", "f16c", "fma")
_ENGINES = ("xllamacpp", "transformers")


def cpu_problem(cpu: Cpu) -> Problem | None:
    """The prebuilt llama.cpp would die of an illegal instruction on this x86 processor: load nothing there.

    None for any other processor, and for one whose features the system does not tell.
    """
    missing = [name.upper() for name in _LLAMA_CPP_NEEDS if name not in cpu.features]
    if "sse2" not in cpu.features or not missing:
        return None
    return Problem(
        f"The processor ({cpu.model}) lacks {', '.join(missing)}, which the prebuilt llama.cpp needs: "
        "it would crash.",
        "Use a machine with an x86 processor from 2014 or later, or build xllamacpp from source on this one. "
        "In a virtual machine, let it see the host's processor.",
    )


def memory_problems(memory: Memory) -> list[Problem]:
    """Too little free for any model, and a limit far below what the machine has."""
    found = []
    limit = memory.limit_bytes
    if memory.available_bytes < LOW_MEMORY_BYTES:
        of = f"a limit of {format_bytes(limit)}" if limit else format_bytes(memory.total_bytes)
        found.append(
            Problem(
                f"Only {format_bytes(memory.available_bytes)} of memory is available, of {of}: "
                "enough for the smallest models at most.",
                "Close other programs or stop other notebooks, unload models that are still loaded, or use a "
                "machine with more memory.",
            )
        )
    if limit is not None and limit < memory.total_bytes / 2:
        found.append(
            Problem(
                f"A control group limits this process to {format_bytes(limit)} of the machine's "
                f"{format_bytes(memory.total_bytes)}: what goes past it is killed.",
                "If you need more, raise the limit of the container, service or batch job that this runs in.",
            )
        )
    return found


def gpu_problem(gpus: tuple[Gpu, ...], environment: Environment) -> Problem | None:
    """No GPU where one can be had for a click. None on other machines: no GPU is normal there."""
    fix = {
        "colab": "In Colab choose Runtime → Change runtime type → T4 GPU. The session restarts.",
        "kaggle": "In Kaggle choose Settings → Accelerator → GPU. The session restarts.",
    }.get(environment.kind)
    if gpus or fix is None:
        return None
    return Problem("No GPU seen: models run on the CPU.", fix)


def disk_problems(disk: Disk, writable: bool) -> list[Problem]:
    """Nowhere to put models, or no room for them."""
    found = []
    if not writable:
        found.append(
            Problem(
                f"The folder where models go cannot be written: {disk.path}.",
                "Make it writable, or set SHOESTRING_HOME to a folder that is.",
            )
        )
    if disk.free_bytes < LOW_DISK_BYTES:
        found.append(
            Problem(
                f"Only {format_bytes(disk.free_bytes)} is free on the disk where models go ({disk.path}).",
                "Remove models or other files, or set SHOESTRING_HOME to a folder on a larger disk.",
            )
        )
    return found


def python_problems(packages: Mapping[str, str | None], largest_int: int = sys.maxsize) -> list[Problem]:
    """An interpreter that cannot hold a model, or has no engine to run one."""
    found = []
    if largest_int < 2**32:
        found.append(
            Problem(
                "This is a 32-bit Python: it cannot address a model.",
                "Install a 64-bit Python.",
            )
        )
    if not any(packages.get(name) for name in _ENGINES):
        found.append(
            Problem("No engine is installed, so no model can run.", "Install one: pip install xllamacpp"),
        )
    return found
