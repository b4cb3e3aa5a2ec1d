"""This machine, as planning needs to know it."""

from __future__ import annotations

from pathlib import Path

from shoestring import paths
from shoestring.hardware.base import Hardware
from shoestring.hardware.cpu import read_cpu
from shoestring.hardware.disk import read_disk
from shoestring.hardware.gpu import read_gpus
from shoestring.hardware.memory import read_memory


def probe(models_path: Path | None = None) -> Hardware:
    """What this machine is, now. `models_path`: where models would go; None: where they go by default.

    GPUs that do not answer are left out; `doctor` says why.

    Raises:
        UsageError: the folder where models go is on a disk that is not there.
    """
    return Hardware(
        cpu=read_cpu(),
        memory=read_memory(),
        gpus=read_gpus().gpus,
        disk=read_disk(models_path or paths.models_dir()),
    )
