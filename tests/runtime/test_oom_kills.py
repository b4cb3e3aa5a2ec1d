"""The kernel's count of processes it killed for memory."""

from __future__ import annotations

from pathlib import Path

from shoestring.runtime.oom_kills import oom_kills


def test_the_count_is_read(tmp_path: Path) -> None:
    file = tmp_path / "vmstat"
    file.write_text("drop_slab 2\noom_kill 7\nnr_unstable 0\n")
    assert oom_kills(file) == 7


def test_an_old_kernel_does_not_tell(tmp_path: Path) -> None:
    file = tmp_path / "vmstat"
    file.write_text("drop_slab 2\n")
    assert oom_kills(file) is None


def test_another_system_does_not_tell(tmp_path: Path) -> None:
    assert oom_kills(tmp_path / "missing") is None
