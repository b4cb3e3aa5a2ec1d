"""Predicted beside measured: the worker's main memory against the plan's share of it, each GPU beside its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from shoestring.engines.base import DeviceMemory, LoadReport
from shoestring.engines.fake import Script, fake_model
from shoestring.errors import EngineError
from shoestring.planning.base import CPU, DevicePlan, Plan
from shoestring.runtime.memory_report import GpuReport, main_memory_peak, memory_report
from shoestring.units import MiB

LOADED = LoadReport(
    devices=(DeviceMemory("gpu0", 700, 800, 9_000, 10_000), DeviceMemory("cpu", 50, None, 1, 2))
)


@pytest.fixture
def on_gpu(tmp_path: Path) -> Plan:
    """A plan with 1,000 MiB on a GPU and 100 MiB (120 while loading) in main memory."""
    _, plan = fake_model(tmp_path / "script", Script())
    shares = {
        "gpu0": DevicePlan(replace(plan.bytes, total=1000 * MiB, load_peak=900 * MiB), 2000 * MiB, 5),
        CPU: DevicePlan(replace(plan.bytes, total=100 * MiB, load_peak=120 * MiB), 500 * MiB, 0),
    }
    whole = replace(plan.bytes, total=1100 * MiB, load_peak=1020 * MiB)
    return replace(plan, placement=shares, bytes=whole)


def test_a_worker_is_held_against_the_share_of_main_memory(on_gpu: Plan) -> None:
    report = memory_report(on_gpu, 110 * MiB, 10, LOADED)
    assert report.predicted_bytes == 120 * MiB
    assert report.error == 120 / 110 - 1


def test_a_gpu_has_its_own_line(on_gpu: Plan) -> None:
    assert memory_report(on_gpu, None, 0, LOADED).gpus == (GpuReport("gpu0", 1000 * MiB, 700, 800),)


def test_before_a_load_a_gpu_has_no_figures(on_gpu: Plan) -> None:
    assert memory_report(on_gpu, None, 0, None).gpus == (GpuReport("gpu0", 1000 * MiB, None, None),)


def test_on_the_cpu_there_are_no_gpus(tmp_path: Path) -> None:
    _, plan = fake_model(tmp_path / "script", Script())
    assert memory_report(plan, None, 0, None).gpus == ()


def test_without_a_figure_for_main_memory_nothing_can_be_guarded(on_gpu: Plan) -> None:
    with pytest.raises(EngineError, match="without a total"):
        main_memory_peak(replace(on_gpu, placement={}))
