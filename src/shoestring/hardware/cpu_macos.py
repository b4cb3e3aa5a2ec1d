"""The processor as macOS tells it: one call of sysctl(8). Never run on a Mac by us; the parsing is tested."""

from __future__ import annotations

import subprocess

from shoestring.hardware.base import Cpu

# sysctl names (Apple: "Determining Instruction Set Characteristics") → ours; Intel Macs have words instead.
_ARM = {
    "hw.optional.neon": "neon",
    "hw.optional.AdvSIMD": "neon",
    "hw.optional.arm.FEAT_DotProd": "dotprod",
    "hw.optional.arm.FEAT_FP16": "fp16",
    "hw.optional.arm.FEAT_I8MM": "i8mm",
    "hw.optional.arm.FEAT_BF16": "bf16",
}
_INTEL = {
    "SSE2": "sse2",
    "AVX1.0": "avx",
    "AVX2": "avx2",
    "BMI2": "bmi2",
    "F16C": "f16c",
    "FMA": "fma",
    "AVX512F": "avx512f",
}


def read_cpu(cores_logical: int) -> Cpu:
    """This Mac's processor; unknown where sysctl does not answer."""
    try:
        done = subprocess.run(
            ["/usr/sbin/sysctl", "machdep.cpu", "hw.physicalcpu", "hw.optional"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,  # an unknown name fails the call but the others are answered
        )
    except (OSError, subprocess.TimeoutExpired):
        return from_sysctl("", cores_logical)
    return from_sysctl(done.stdout, cores_logical)


def from_sysctl(text: str, cores_logical: int) -> Cpu:
    """A `Cpu` from sysctl's `name: value` lines."""
    fields = {name: value.strip() for name, _, value in (line.partition(": ") for line in text.splitlines())}
    words = f"{fields.get('machdep.cpu.features', '')} {fields.get('machdep.cpu.leaf7_features', '')}".split()
    features = {_INTEL[word] for word in words if word in _INTEL}
    features |= {name for key, name in _ARM.items() if fields.get(key) == "1"}
    physical = fields.get("hw.physicalcpu", "")
    return Cpu(
        model=fields.get("machdep.cpu.brand_string") or "unknown processor",
        cores_physical=int(physical) if physical.isdecimal() else None,
        cores_logical=cores_logical,
        features=tuple(sorted(features)),
    )
