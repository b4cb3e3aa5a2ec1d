"""The ledger keeps what was predicted beside what was measured, from several processes at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from shoestring.runtime.ledger import Ledger, LoadRecord

RECORD = LoadRecord(
    model="smollm2",
    file_bytes=98_362_432,
    engine="llama_cpp",
    engine_version="1",
    context=4096,
    batch=1,
    settings="{}",
    predicted_bytes=110,
    measured_peak_bytes=100,
    context_tokens=12,
    context_full=False,
    load_s=0.5,
    outcome="closed",
)


def test_what_was_added_is_read_back_in_order(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "deep" / "ledger.sqlite3")
    ledger.add(RECORD)
    ledger.add(LoadRecord(**{**vars(RECORD), "model": "other", "context_full": True}))
    assert [(r.model, r.context_full) for r in ledger.records()] == [("smollm2", False), ("other", True)]


def test_error_is_predicted_over_measured_minus_one() -> None:
    assert round(RECORD.error, 6) == 0.1


def test_an_empty_ledger_has_no_records(tmp_path: Path) -> None:
    assert Ledger(tmp_path / "ledger.sqlite3").records() == ()


def test_two_processes_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    program = (
        "import sys; from pathlib import Path\n"
        "from shoestring.runtime.ledger import Ledger, LoadRecord\n"
        f"record = {RECORD!r}\n"
        "for _ in range(30): Ledger(Path(sys.argv[1])).add(record)"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, str(path)]) for _ in range(2)]
    assert [writer.wait() for writer in writers] == [0, 0]
    assert len(Ledger(path).records()) == 60
