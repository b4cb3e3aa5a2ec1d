"""The ledger keeps what was predicted beside what was measured, from several processes at once."""

from __future__ import annotations

import logging
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from shoestring.planning.calibration import Observation
from shoestring.runtime import ledger as ledger_module
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


FIRST_RELEASE = """
CREATE TABLE loads (
    id INTEGER PRIMARY KEY, at TEXT NOT NULL DEFAULT 'then', model TEXT NOT NULL, file_bytes INTEGER NOT NULL,
    engine TEXT NOT NULL, engine_version TEXT NOT NULL, context INTEGER NOT NULL, batch INTEGER NOT NULL,
    settings TEXT NOT NULL, predicted_bytes INTEGER NOT NULL, measured_peak_bytes INTEGER NOT NULL,
    context_tokens INTEGER NOT NULL, context_full INTEGER NOT NULL, load_s REAL NOT NULL, outcome TEXT NOT NULL
)
"""
OLD_ROW = """
INSERT INTO loads VALUES (1, 'then', 'm', 1, 'llama_cpp', '1', 512, 1, '{}', 110, 100, 500, 1, 0.5, 'closed')
"""
FULL = replace(RECORD, context_full=True)
SEEN = Observation("llama_cpp", "1", 110, 100, full=True, model=("m", 1))


@pytest.fixture
def old_ledger(tmp_path: Path) -> Ledger:
    path = tmp_path / "ledger.sqlite3"
    database = sqlite3.connect(path)
    database.execute(FIRST_RELEASE)
    database.execute(OLD_ROW)
    database.commit()
    database.close()
    return Ledger(path)


def test_a_ledger_of_the_first_release_is_read(old_ledger: Ledger) -> None:
    (record,) = old_ledger.records()
    assert (record.precision, record.machine, record.correction_bytes) == ("", "", 0)
    assert old_ledger.observations() == (SEEN,)


def test_a_ledger_of_the_first_release_is_written_on(old_ledger: Ledger) -> None:
    old_ledger.add(replace(FULL, precision="Q4_1"))
    assert [record.precision for record in old_ledger.records()] == ["", "Q4_1"]


def test_two_processes_may_bring_an_old_ledger_up_to_date_at_once(old_ledger: Ledger) -> None:
    program = (
        "import sys; from pathlib import Path; from shoestring.runtime.ledger import Ledger\n"
        "print(len(Ledger(Path(sys.argv[1])).records()))"
    )
    path = str(old_ledger._path)
    readers = [subprocess.Popen([sys.executable, "-c", program, path]) for _ in range(3)]
    assert [reader.wait() for reader in readers] == [0, 0, 0]


def test_an_observation_knows_the_prediction_without_its_correction(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    ledger.add(replace(FULL, predicted_bytes=115, correction_bytes=5))
    assert [each.predicted_bytes for each in ledger.observations()] == [110]


@pytest.mark.parametrize(
    ("changes", "full"),
    [({}, True), ({"context_full": False}, False), ({"outcome": "stopped by the guard"}, False)],
)
def test_only_a_full_load_that_ended_in_peace_is_full(
    changes: dict[str, object], full: bool, tmp_path: Path
) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    ledger.add(LoadRecord(**{**vars(FULL), **changes}))
    assert [each.full for each in ledger.observations()] == [full]


def test_loads_of_another_machine_teach_nothing(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    ledger.add(replace(FULL, machine="elsewhere"))
    assert ledger.observations() == ()


def test_looking_makes_no_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    assert Ledger(path).observations() == ()
    assert not path.exists()


def test_a_broken_ledger_teaches_nothing_and_is_mentioned_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "_warned", False)
    path = tmp_path / "ledger.sqlite3"
    path.write_bytes(b"no database at all" * 100)
    with caplog.at_level(logging.WARNING):
        assert Ledger(path).observations() == Ledger(path).observations() == ()
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_row_that_makes_no_sense_is_left_out(old_ledger: Ledger) -> None:
    database = sqlite3.connect(old_ledger._path)
    database.execute(OLD_ROW.replace("(1,", "(2,").replace("110", "'much'"))
    database.commit()
    database.close()
    assert old_ledger.observations() == (SEEN,)
