"""What counts as a problem, and that a normal machine has none."""

from __future__ import annotations

import dataclasses

import pytest

from shoestring.hardware import problems
from shoestring.hardware.base import Cpu, Disk, Gpu, Memory
from shoestring.hardware.environment import Environment, Kind
from shoestring.units import GiB

MODERN = Cpu("Some x86", 4, 8, ("avx", "avx2", "bmi2", "f16c", "fma", "sse2"))
GPU = Gpu("Tesla T4", 16 * GiB, 15 * GiB, None, None, (7, 5), bf16=False)


def place(kind: Kind) -> Environment:
    return Environment(kind, notebook=True, container=True, system="Linux", python="3.12")


@pytest.mark.parametrize(
    "features", [MODERN.features, ("dotprod", "neon"), ()], ids=["modern x86", "ARM", "unknown"]
)
def test_a_processor_is_no_problem_unless_it_is_known_to_be_too_old(features: tuple[str, ...]) -> None:
    assert problems.cpu_problem(dataclasses.replace(MODERN, features=features)) is None


def test_an_x86_without_avx2_would_crash() -> None:
    old = dataclasses.replace(MODERN, features=("avx", "sse2"))

    problem = problems.cpu_problem(old)

    assert problem is not None
    assert "lacks AVX2, BMI2, F16C, FMA" in problem.what


def test_no_gpu_is_a_problem_only_where_one_is_to_be_had() -> None:
    assert problems.gpu_problem((), place("terminal")) is None
    assert problems.gpu_problem((), place("notebook")) is None
    assert problems.gpu_problem((GPU,), place("colab")) is None


@pytest.mark.parametrize(
    ("kind", "menu"), [("colab", "Runtime → Change runtime type"), ("kaggle", "Settings → Accelerator")]
)
def test_the_fix_names_the_menu_that_gives_a_gpu(kind: Kind, menu: str) -> None:
    problem = problems.gpu_problem((), place(kind))

    assert problem is not None
    assert menu in problem.fix


def test_enough_memory_is_no_problem() -> None:
    assert problems.memory_problems(Memory(16 * GiB, 8 * GiB, None)) == []
    assert problems.memory_problems(Memory(16 * GiB, 8 * GiB, 12 * GiB)) == []


def test_little_memory_is_told_with_how_much_there_is() -> None:
    (problem,) = problems.memory_problems(Memory(4_000_000_000, 500_000_000, None))

    assert "Only 500 MB of memory is available, of 4.00 GB" in problem.what


def test_a_limit_far_below_the_total_is_explained() -> None:
    (problem,) = problems.memory_problems(Memory(64_000_000_000, 3_000_000_000, 4_000_000_000))

    assert "limits this process to 4.00 GB of the machine's 64.0 GB" in problem.what


def test_a_full_disk_and_a_locked_folder_are_told() -> None:
    what = [problem.what for problem in problems.disk_problems(Disk("/models", 10**9), writable=False)]

    assert "cannot be written: /models" in what[0]
    assert "Only 1.00 GB is free" in what[1]


def test_room_on_disk_is_no_problem() -> None:
    assert problems.disk_problems(Disk("/models", 50 * GiB), writable=True) == []


def test_no_engine_and_a_32_bit_python_are_told() -> None:
    what = [problem.what for problem in problems.python_problems({"xllamacpp": None}, 2**31 - 1)]

    assert "32-bit" in what[0]
    assert "No engine" in what[1]


@pytest.mark.parametrize("engine", ["xllamacpp", "transformers"])
def test_one_engine_is_enough(engine: str) -> None:
    assert problems.python_problems({engine: "1.0"}) == []
