"""What the processor is, from the files of machines we do not have."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoestring.hardware import cpu as cpu_module
from shoestring.hardware import cpu_macos
from shoestring.hardware.cpu import read_cpu, usable_cores

Tree = Callable[[dict[str, str]], Path]

X86 = (
    "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R) CPU @ 2.20GHz\n"
    "flags\t\t: fpu sse sse2 avx f16c fma avx2 bmi2 hypervisor\n\n"
    "processor\t: 1\nvendor_id\t: GenuineIntel\nmodel name\t: Another\nflags\t\t: fpu\n"
)
GRAVITON2 = (
    "processor\t: 0\nBogoMIPS\t: 243.75\n"
    "Features\t: fp asimd evtstrm aes asimdhp cpuid asimdrdm lrcpc dcpop asimddp ssbs\n"
    "CPU implementer\t: 0x41\nCPU architecture: 8\nCPU part\t: 0xd0c\n"
)
RASPBERRY_PI = GRAVITON2.replace("0xd0c", "0xd0b") + "\nModel\t\t: Raspberry Pi 5 Model B Rev 1.0\n"


@pytest.fixture(autouse=True)
def _linux_with_four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_module.sys, "platform", "linux")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)


def siblings(*lists: str) -> dict[str, str]:
    return {
        f"sys/devices/system/cpu/cpu{index}/topology/core_cpus_list": f"{text}\n"
        for index, text in enumerate(lists)
    }


def test_x86_names_itself_and_its_instruction_sets(tree: Tree) -> None:
    cpu = read_cpu(tree({"proc/cpuinfo": X86}))

    assert cpu.model == "Intel(R) Xeon(R) CPU @ 2.20GHz"
    assert cpu.features == ("avx", "avx2", "bmi2", "f16c", "fma", "sse2")


def test_arm_is_named_after_its_core_and_its_features_by_their_usual_names(tree: Tree) -> None:
    cpu = read_cpu(tree({"proc/cpuinfo": GRAVITON2}))

    assert cpu.model == "ARM Neoverse-N1"
    assert cpu.features == ("dotprod", "fp16", "neon")


@pytest.mark.parametrize(
    ("files", "model"),
    [
        ({"proc/cpuinfo": RASPBERRY_PI}, "Raspberry Pi 5 Model B Rev 1.0 (ARM Cortex-A76)"),
        (
            {"proc/cpuinfo": GRAVITON2, "proc/device-tree/model": "NVIDIA Jetson\0"},
            "NVIDIA Jetson (ARM Neoverse-N1)",
        ),
        ({"proc/cpuinfo": GRAVITON2.replace("0xd0c", "0xfff")}, "ARM implementer 0x41 part 0xfff"),
        ({"proc/cpuinfo": GRAVITON2.replace("0xd0c", "junk")}, "ARM implementer 0x41 part junk"),
        ({"proc/cpuinfo": "processor : 0\nisa : rv64imafdc\n"}, f"unknown {platform.machine()}"),
        ({}, f"unknown {platform.machine()}"),
    ],
    ids=["board in cpuinfo", "board in device tree", "unknown core", "no number", "RISC-V", "no cpuinfo"],
)
def test_a_processor_without_a_name_gets_the_nearest_honest_one(
    tree: Tree, files: dict[str, str], model: str
) -> None:
    assert read_cpu(tree(files)).model == model


def test_features_that_are_not_told_are_empty(tmp_path: Path) -> None:
    assert read_cpu(tmp_path).features == ()


def test_threads_of_one_core_are_one_physical_core(tree: Tree) -> None:
    assert read_cpu(tree(siblings("0-1", "0-1", "2-3", "2-3"))).cores_physical == 2


def test_physical_cores_are_unknown_without_a_topology(tmp_path: Path) -> None:
    assert read_cpu(tmp_path).cores_physical is None


def quota_v2(*files: tuple[str, str]) -> dict[str, str]:
    return {
        "proc/self/cgroup": "0::/a/b\n",
        "proc/self/mountinfo": "30 23 0:26 / /cg rw - cgroup2 none rw\n",
        "cg/a/b/cgroup.procs": "",
        **{f"cg/{path}/cpu.max": text for path, text in files},
    }


def quota_v1(quota: str, period: str = "100000") -> dict[str, str]:
    return {
        "proc/self/cgroup": "2:cpu,cpuacct:/a\n0::/\n",
        "proc/self/mountinfo": "30 23 0:26 / /cg rw - cgroup none rw,cpu,cpuacct\n",
        "cg/a/cpu.cfs_quota_us": f"{quota}\n",
        "cg/a/cpu.cfs_period_us": f"{period}\n",
    }


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        pytest.param({}, 4, id="affinity alone"),
        pytest.param(quota_v2(("a/b", "200000 100000")), 2, id="v2"),
        pytest.param(quota_v2(("a/b", "max 100000")), 4, id="v2 unlimited"),
        pytest.param(quota_v2(("a/b", "max 100000"), ("a", "100000 100000")), 1, id="v2 parent's"),
        pytest.param(quota_v2(("a/b", "150000 100000")), 2, id="rounded up"),
        pytest.param(quota_v2(("a/b", "5000 100000")), 1, id="at least one"),
        pytest.param(quota_v2(("a/b", "3200000 100000")), 4, id="more than there are"),
        pytest.param(quota_v2(("a/b", "")), 4, id="empty file"),
        pytest.param(quota_v2(("a/b", "100000 0")), 4, id="no period"),
        pytest.param(quota_v1("300000"), 3, id="v1"),
        pytest.param(quota_v1("-1"), 4, id="v1 unlimited"),
    ],
)
def test_usable_cores_are_those_of_affinity_and_quota(tree: Tree, files: dict[str, str], cores: int) -> None:
    assert usable_cores(tree(files)) == cores


@given(text=st.binary(max_size=300))
def test_any_cpuinfo_gives_a_processor(tmp_path_factory: pytest.TempPathFactory, text: bytes) -> None:
    root = tmp_path_factory.mktemp("root")
    (root / "proc").mkdir()
    (root / "proc/cpuinfo").write_bytes(text)

    assert read_cpu(root).model


def test_an_apple_processor_is_read_from_sysctl() -> None:
    text = (
        "machdep.cpu.brand_string: Apple M2\nhw.physicalcpu: 8\nhw.optional.neon: 1\n"
        "hw.optional.arm.FEAT_DotProd: 1\nhw.optional.arm.FEAT_I8MM: 1\nhw.optional.arm.FEAT_BF16: 0\n"
    )

    cpu = cpu_macos.from_sysctl(text, cores_logical=8)

    assert (cpu.model, cpu.cores_physical, cpu.features) == ("Apple M2", 8, ("dotprod", "i8mm", "neon"))


def test_an_intel_mac_is_read_from_sysctl() -> None:
    text = (
        "machdep.cpu.brand_string: Intel(R) Core(TM) i7-8569U CPU @ 2.80GHz\nhw.physicalcpu: 4\n"
        "machdep.cpu.features: FPU SSE2 AVX1.0 FMA F16C\nmachdep.cpu.leaf7_features: BMI2 AVX2\n"
    )

    assert cpu_macos.from_sysctl(text, 8).features == ("avx", "avx2", "bmi2", "f16c", "fma", "sse2")


def test_a_silent_sysctl_leaves_everything_unknown() -> None:
    cpu = cpu_macos.from_sysctl("", cores_logical=8)

    assert (cpu.model, cpu.cores_physical, cpu.features) == ("unknown processor", None, ())
