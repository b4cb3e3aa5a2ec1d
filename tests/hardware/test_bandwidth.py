"""The bandwidth of this machine's memory: really measured once, and what is kept of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from conftest import Tree

from shoestring.hardware import bandwidth as module
from shoestring.hardware import memory_reading
from shoestring.hardware.bandwidth import Bandwidth, bandwidth, with_bandwidth
from shoestring.hardware.base import Cpu, Disk, Gpu, Hardware, Memory
from shoestring.hardware.catalog import named
from shoestring.hardware.memory_reading import last_cache_bytes, measure_bandwidth
from shoestring.units import GiB, MiB

CPU = Cpu("a processor", 2, 2, ())
TODAY = date.today().isoformat()


@pytest.fixture
def kept(home: Path) -> Path:
    """Where figures are kept; nothing is there yet."""
    return home / "state" / "bandwidth.json"


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Measuring replaced by figures; the cores of every measurement asked for."""
    asked: list[int] = []

    def measure(cores: int) -> Bandwidth:
        asked.append(cores)
        return Bandwidth(40e9, 24e9, TODAY)

    monkeypatch.setattr(module, "_measure", measure)
    return asked


def test_memory_is_really_read() -> None:
    found = measure_bandwidth(1, 0.05)

    # Slower than a disk or faster than any memory would be a mistake in the measuring.
    assert found is None or 0.2e9 < found < 2e12


def test_nothing_is_measured_unless_allowed(kept: Path, measured: list[int]) -> None:
    assert bandwidth(CPU, GiB) is None
    assert (measured, kept.exists()) == ([], False)


def test_a_figure_is_measured_once(kept: Path, measured: list[int]) -> None:
    first = bandwidth(CPU, GiB, measure=True)

    assert first == Bandwidth(40e9, 24e9, TODAY)
    assert bandwidth(CPU, GiB, measure=True) == first
    assert bandwidth(CPU, GiB) == first
    assert measured == [2]


@pytest.mark.parametrize(
    ("cpu", "memory"), [(replace(CPU, model="b"), GiB), (replace(CPU, cores_logical=1), GiB), (CPU, 2 * GiB)]
)
def test_another_machine_has_another_figure(home: Path, measured: list[int], cpu: Cpu, memory: int) -> None:
    bandwidth(CPU, GiB, measure=True)

    assert bandwidth(cpu, memory) is None


def test_machines_that_share_a_home_keep_their_figures_side_by_side(home: Path, measured: list[int]) -> None:
    other = replace(CPU, model="b")
    bandwidth(CPU, GiB, measure=True)
    bandwidth(other, GiB, measure=True)

    assert bandwidth(CPU, GiB) is not None
    assert bandwidth(other, GiB) is not None


@pytest.mark.parametrize("days", [31, -1])
def test_an_old_figure_or_one_of_tomorrow_is_measured_anew(
    home: Path, measured: list[int], monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    then = (date.today() - timedelta(days=days)).isoformat()
    monkeypatch.setattr(module, "_measure", lambda _: Bandwidth(1.0, 1.0, then))
    bandwidth(CPU, GiB, measure=True)

    assert bandwidth(CPU, GiB) is None


def test_a_figure_of_a_busy_machine_holds_for_a_day_and_the_better_one_is_kept(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    yesterday = (date.today() - timedelta(days=1)).isoformat()
    monkeypatch.setattr(module, "_measure", lambda _: Bandwidth(20e9, 15e9, yesterday, busy=True))
    bandwidth(CPU, GiB, measure=True)
    assert bandwidth(CPU, GiB) is None
    monkeypatch.setattr(module, "_measure", lambda _: Bandwidth(40e9, 10e9, TODAY))

    assert bandwidth(CPU, GiB, measure=True) == Bandwidth(40e9, 15e9, TODAY)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', '[{"machine": 1}]', "[" * 200])
def test_a_damaged_file_is_as_good_as_none(kept: Path, measured: list[int], text: str) -> None:
    kept.parent.mkdir(parents=True)
    kept.write_text(text)

    assert bandwidth(CPU, GiB) is None
    assert bandwidth(CPU, GiB, measure=True) == Bandwidth(40e9, 24e9, TODAY)
    assert bandwidth(CPU, GiB) is not None


def test_a_home_that_cannot_be_written_still_gives_the_figure(
    home: Path, measured: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    home.write_text("a file where a folder should be")

    assert bandwidth(CPU, GiB, measure=True) == Bandwidth(40e9, 24e9, TODAY)
    assert "could not be kept" in caplog.text


def test_an_interrupt_while_measuring_leaves_nothing(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(cores: int) -> Bandwidth:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_measure", interrupted)

    with pytest.raises(KeyboardInterrupt):
        bandwidth(CPU, GiB, measure=True)
    assert not kept.parent.exists()


def test_too_little_memory_for_more_than_the_caches_hold_gives_no_figure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory_reading, "read_memory", lambda: Memory(GiB, 64 * MiB, None))
    monkeypatch.setattr(memory_reading, "last_cache_bytes", lambda: 32 * MiB)

    assert measure_bandwidth(2, 0.01) is None


def test_a_slow_reader_gives_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_reading, "_reader", lambda: None)

    assert measure_bandwidth(1, 0.01) is None


def test_caches_are_counted_once_for_the_cores_that_share_them(tree: Tree) -> None:
    at = "sys/devices/system/cpu/cpu{}/cache/index3/{}"
    root = tree(
        {at.format(core, "size"): "32768K\n" for core in range(4)}
        | {at.format(core, "shared_cpu_list"): "0-1\n" if core < 2 else "2-3\n" for core in range(4)}
    )

    assert last_cache_bytes(root) == 64 * MiB


def test_a_machine_takes_its_figures_from_what_is_kept(home: Path, measured: list[int]) -> None:
    card = Gpu("Tesla T4", 15 * GiB, 14 * GiB, "550", "12.4", (7, 5), bf16=False)
    machine = Hardware(CPU, Memory(GiB, GiB, None), (card,), Disk("/", 0))

    known = with_bandwidth(machine, measure=True)

    assert (known.bandwidth_bytes_per_s, known.decode_bandwidth_bytes_per_s) == (40e9, 24e9)
    assert known.gpus[0].bandwidth_bytes_per_s == 320e9  # NVML does not tell it; the catalog does
    assert with_bandwidth(machine) == known


def test_a_machine_that_was_never_measured_stays_unknown(home: Path) -> None:
    machine = Hardware(CPU, Memory(GiB, GiB, None), (), Disk("/", 0))

    assert with_bandwidth(machine) == machine


def test_a_named_machine_is_never_measured(home: Path, measured: list[int]) -> None:
    assert with_bandwidth(named("t4"), measure=True) == named("t4")
    assert measured == []
