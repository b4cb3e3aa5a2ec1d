"""The processor as Windows tells it: registry and IsProcessorFeaturePresent. Never run on Windows by us."""

from __future__ import annotations

import platform
import sys
from contextlib import suppress

from shoestring.hardware.base import Cpu

# PF_… constants of processthreadsapi.h (Microsoft Learn: IsProcessorFeaturePresent). BMI2, F16C
# and FMA have none: every processor sold with AVX2 has all three.
_FEATURES = {10: "sse2", 19: "neon", 39: "avx", 40: "avx2", 41: "avx512f", 43: "dotprod"}


def read_cpu(cores_logical: int) -> Cpu:
    """This Windows machine's processor; unknown where a question fails."""
    import psutil

    return Cpu(
        model=_model() or platform.processor() or "unknown processor",
        cores_physical=psutil.cpu_count(logical=False),
        cores_logical=cores_logical,
        features=_features(),
    )


def _model() -> str | None:
    name = ""
    if sys.platform == "win32":
        import winreg

        processor = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
        with suppress(OSError), winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, processor) as key:
            name = str(winreg.QueryValueEx(key, "ProcessorNameString")[0]).strip()
    return name or None


def _features() -> tuple[str, ...]:
    found: set[str] = set()
    if sys.platform == "win32":
        import ctypes

        present = ctypes.windll.kernel32.IsProcessorFeaturePresent
        found |= {name for number, name in _FEATURES.items() if present(number)}
        if "avx2" in found:
            found |= {"bmi2", "f16c", "fma"}
    return tuple(sorted(found))
