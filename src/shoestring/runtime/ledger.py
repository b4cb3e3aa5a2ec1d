"""The ledger: every load as an experiment, predicted beside measured, in SQLite.

Only loads whose context was filled tell what a plan's total promises (the peak with the context full);
shorter ones are kept, marked, and never used to correct later plans.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from shoestring.paths import state_dir

_SCHEMA = """
CREATE TABLE IF NOT EXISTS loads (
    id INTEGER PRIMARY KEY,
    at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')),
    model TEXT NOT NULL,
    file_bytes INTEGER NOT NULL,
    engine TEXT NOT NULL,
    engine_version TEXT NOT NULL,
    context INTEGER NOT NULL,
    batch INTEGER NOT NULL,
    settings TEXT NOT NULL,
    predicted_bytes INTEGER NOT NULL,
    measured_peak_bytes INTEGER NOT NULL,
    context_tokens INTEGER NOT NULL,
    context_full INTEGER NOT NULL,
    load_s REAL NOT NULL,
    outcome TEXT NOT NULL
)
"""
_WAIT_S = 5.0


@dataclass(frozen=True)
class LoadRecord:
    """One worker's life with one model.

    Attributes:
        settings: the engine settings, as JSON.
        predicted_bytes: the plan's total; `measured_peak_bytes`: the worker's VmHWM.
        context_tokens: the longest sequence it held; `context_full`: whether that filled the context.
        outcome: `closed`, `died` or `stopped by the guard`.
    """

    model: str
    file_bytes: int
    engine: str
    engine_version: str
    context: int
    batch: int
    settings: str
    predicted_bytes: int
    measured_peak_bytes: int
    context_tokens: int
    context_full: bool
    load_s: float
    outcome: str

    @property
    def error(self) -> float:
        """predicted ÷ measured − 1."""
        return self.predicted_bytes / self.measured_peak_bytes - 1


class Ledger:
    """The loads of this machine. Safe with several processes: SQLite locks, and writes wait."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or state_dir() / "ledger.sqlite3"

    def add(self, record: LoadRecord) -> None:
        """Keep a record.

        Raises:
            OSError, sqlite3.Error: the file cannot be written.
        """
        values = {**vars(record), "context_full": int(record.context_full)}
        columns = ", ".join(values)
        places = ", ".join(f":{name}" for name in values)
        with self._open() as database:
            # Names come from the dataclass, values are bound.
            database.execute(f"INSERT INTO loads ({columns}) VALUES ({places})", values)  # noqa: S608

    def records(self) -> tuple[LoadRecord, ...]:
        """All records, oldest first."""
        names = list(LoadRecord.__dataclass_fields__)
        with self._open() as database:
            rows = database.execute(f"SELECT {', '.join(names)} FROM loads ORDER BY id").fetchall()  # noqa: S608
        found = (dict(zip(names, row, strict=True)) for row in rows)
        return tuple(LoadRecord(**{**row, "context_full": bool(row["context_full"])}) for row in found)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self._path, timeout=_WAIT_S)) as database, database:
            database.execute(_SCHEMA)
            yield database
