"""Threads follow the cores that the process really gets: clocks and the number of threads given as data."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from shoestring.engines.transformers.pace import Pace, pace_for
from shoestring.planning.base import TransformersSettings

SETTINGS = TransformersSettings(context=64, threads=2)


@dataclass
class Machine:
    """Cores of which `free` are ours; threads beyond them wait for one."""

    threads: int
    free: float
    wall: float = 0.0
    cpu: float = 0.0
    used: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.most = self.threads
        self.pace = Pace(self.most, self.use, lambda: self.wall, lambda: self.cpu)

    def use(self, threads: int) -> None:
        self.used.append(threads)
        self.threads = threads

    def work(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.05)):
            self.wall += 0.05
            self.cpu += 0.05 * min(self.free, self.threads)
            self.pace.tick()


def test_on_a_quiet_machine_all_threads_compute() -> None:
    machine = Machine(threads=2, free=2)
    machine.work(20)
    assert machine.used == []


def test_where_another_program_takes_a_core_one_thread_fewer_computes() -> None:
    machine = Machine(threads=2, free=1.33)
    machine.work(1)
    assert machine.threads == 1


def test_as_many_fewer_as_cores_are_lost() -> None:
    machine = Machine(threads=16, free=12.2)
    machine.work(1)
    assert machine.threads == 12


def test_at_least_one_is_left() -> None:
    machine = Machine(threads=2, free=0.1)
    machine.work(1)
    assert machine.threads == 1


def test_all_compute_again_once_the_cores_are_free() -> None:
    machine = Machine(threads=2, free=1.33)
    machine.work(1)
    machine.free = 2
    machine.work(8)
    assert machine.threads == 2


def test_a_busy_machine_is_tried_again_for_moments_only() -> None:
    machine = Machine(threads=2, free=1.33)
    seconds_with_all = 0.0
    for _ in range(400):
        seconds_with_all += 0.05 * (machine.threads == 2)
        machine.work(0.05)
    assert seconds_with_all < 0.1 * 20


def test_time_between_generations_does_not_count() -> None:
    machine = Machine(threads=2, free=2)
    machine.wall += 60  # idle: no time on any core
    machine.pace.begin()
    machine.work(5)
    assert machine.used == []


def test_a_single_thread_stays() -> None:
    machine = Machine(threads=1, free=0.5)
    machine.work(5)
    assert machine.used == []


@pytest.mark.parametrize("spins", [None, "1000"])
def test_threads_that_sleep_while_they_wait_are_left_alone(
    spins: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    if spins is not None:
        monkeypatch.setenv("GOMP_SPINCOUNT", spins)
    assert pace_for(SETTINGS) is None


def test_waiting_for_devices_is_no_busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", "100000")
    assert pace_for(SETTINGS) is not None
    on_gpu = TransformersSettings(context=64, threads=2, device_map=(("", "gpu0"),))
    assert pace_for(on_gpu) is None
