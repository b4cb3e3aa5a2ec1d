"""A worker that starts on a guess: kept if it was right, ended if it was not."""

from __future__ import annotations

from pathlib import Path

from shoestring.runtime.early import EarlyWorker
from shoestring.runtime.process import WorkerProcess


def is_running(worker: WorkerProcess) -> bool:
    return Path(f"/proc/{worker.pid}").exists() and worker.alive


def test_one_that_is_taken_lives_on() -> None:
    with EarlyWorker() as early:
        early.start("fake")
        worker = early.take()
    assert worker is not None
    assert is_running(worker)
    worker.close()


def test_one_that_nobody_takes_is_ended() -> None:
    with EarlyWorker() as early:
        early.start("fake")
        worker = early._worker
    assert worker is not None
    assert not is_running(worker)


def test_the_right_guess_is_kept_and_a_wrong_one_replaced() -> None:
    with EarlyWorker() as early:
        early.start("fake")
        first = early._worker
        early.start("fake")
        assert early._worker is first
        early.start("llama_cpp")
        assert early._worker is not first
        assert first is not None
        assert not is_running(first)
