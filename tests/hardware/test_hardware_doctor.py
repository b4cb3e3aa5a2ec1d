"""The real machine, examined; and the JSON keys that other tools rely on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec

from shoestring import paths
from shoestring.hardware.base import Cpu, Disk, Gpu, Memory, Problem
from shoestring.hardware.doctor import DoctorReport, doctor
from shoestring.hardware.environment import Environment
from shoestring.hardware.probe import probe
from shoestring.hardware.problems import LOW_DISK_BYTES


def test_the_json_keys_are_the_contract() -> None:
    report = DoctorReport(
        cpu=Cpu("c", 1, 1, ("avx2",)),
        memory=Memory(2, 1, None),
        gpus=(Gpu("g", 2, 1, "550", "12.4", (7, 5), bf16=False),),
        disk=Disk("/models", LOW_DISK_BYTES),
        environment=Environment("terminal", notebook=False, container=False, system="Linux", python="3.12"),
        packages={"xllamacpp": "1", "torch": None},
        problems=(Problem("what", "fix"),),
    )

    data = msgspec.json.decode(msgspec.json.encode(report))

    assert data == {
        "cpu": {"model": "c", "cores_physical": 1, "cores_logical": 1, "features": ["avx2"]},
        "memory": {"total_bytes": 2, "available_bytes": 1, "limit_bytes": None},
        "gpus": [
            {
                "name": "g",
                "total_bytes": 2,
                "free_bytes": 1,
                "driver": "550",
                "cuda": "12.4",
                "compute_capability": [7, 5],
                "bf16": False,
                "bandwidth_bytes_per_s": None,
            }
        ],
        "disk": {"path": "/models", "free_bytes": LOW_DISK_BYTES, "read_bytes_per_s": None},
        "environment": {
            "kind": "terminal",
            "notebook": False,
            "container": False,
            "system": "Linux",
            "python": "3.12",
        },
        "packages": {"xllamacpp": "1", "torch": None},
        "problems": [{"what": "what", "fix": "fix"}],
        "bandwidth": None,
    }


def test_this_machine_is_described_within_its_own_bounds() -> None:
    report = doctor()

    assert report.cpu.cores_logical >= 1
    assert 0 < report.memory.available_bytes <= report.memory.total_bytes
    assert report.disk.path == str(paths.models_dir())


def test_doctor_looks_where_models_would_go(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    report = doctor(tmp_path / "file" / "models")

    assert any("cannot be written" in problem.what for problem in report.problems)


def test_probe_and_doctor_agree_on_the_machine(tmp_path: Path) -> None:
    hardware, report = probe(tmp_path), doctor(tmp_path)

    assert (hardware.cpu, hardware.gpus, hardware.disk.path) == (report.cpu, report.gpus, report.disk.path)
    assert hardware.memory.total_bytes == report.memory.total_bytes


def test_probing_a_linux_machine_without_a_gpu_imports_nothing_heavy() -> None:
    """Every run probes: psutil, pynvml and engines would cost more than the probe itself."""
    code = (
        "import sys; from shoestring.hardware.probe import probe; gpus = probe().gpus\n"
        "heavy = {'psutil', 'pynvml', 'xllamacpp', 'torch', 'importlib.metadata'} & set(sys.modules)\n"
        "print(' '.join(heavy) if sys.platform == 'linux' and not gpus else '')"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() in ("", "pynvml")
