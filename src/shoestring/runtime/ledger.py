"""The ledger: every load as an experiment, predicted beside measured, in SQLite.

Only loads whose context was filled tell what a plan's total promises (the peak with the context full);
shorter ones are kept, marked, and never used to correct later plans. What failed for memory is kept, too, even where
loading never finished. What both teach: `planning/calibration.py`.
"""

from __future__ import annotations

import os
import platform
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from shoestring.paths import state_dir
from shoestring.planning.base import CPU

if TYPE_CHECKING:
    from shoestring.models.facts import ModelFacts
    from shoestring.planning.calibration import Calibration, Observation

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
_LATER = {
    "precision": "TEXT NOT NULL DEFAULT ''",
    "machine": "TEXT NOT NULL DEFAULT ''",
    "correction_bytes": "INTEGER NOT NULL DEFAULT 0",
    "devices": "TEXT NOT NULL DEFAULT ''",
}
"""Columns that came after the first release: a ledger without them gets them."""
_ENDINGS: dict[str, Literal["peace", "memory"]] = {
    "closed": "peace",
    "stopped by the guard": "memory",
    "out of memory": "memory",
}
_WAIT_S = 5.0
_warned = False


def this_machine() -> str:
    """What tells machines apart that share a home, as far as memory is concerned; stable when a host is renamed."""
    return f"{sys.platform} {platform.machine()} {os.cpu_count()} cores"


@dataclass(frozen=True)
class LoadRecord:
    """One worker's life with one model.

    Attributes:
        settings: the engine settings, as JSON.
        predicted_bytes: the plan's peak in main memory; `measured_peak_bytes`: the worker's VmHWM.
        context_tokens: the longest sequence it held; `context_full`: whether that filled the context.
        load_s: 0 where it never finished.
        outcome: `closed`, `died`, `stopped by the guard` or `out of memory`.
        precision: of the weights, as the plan named it; empty where that was not kept.
        machine: empty in records of the first release.
        correction_bytes: what of `predicted_bytes` was a correction by earlier loads.
        devices: those in use, parted by spaces; empty in records of earlier releases, which knew the CPU alone.
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
    precision: str = ""
    machine: str = field(default_factory=this_machine)
    correction_bytes: int = 0
    devices: str = ""

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

    def observations(self) -> tuple[Observation, ...]:
        """What this machine's loads say of plans, oldest first; nothing where the ledger cannot be read.

        A plan must not fail because of the ledger: what is wrong with it is logged, once.
        """
        from shoestring.planning.calibration import Observation

        if not self._path.is_file():
            return ()
        try:
            records = self.records()
        except (OSError, sqlite3.Error, OverflowError) as error:
            _warn(error)
            return ()
        here = ("", this_machine())
        return tuple(
            Observation(
                record.engine,
                record.engine_version,
                record.predicted_bytes - record.correction_bytes,
                record.measured_peak_bytes,
                record.context_full and record.outcome == "closed",
                (record.model, record.file_bytes),
                record.precision,
                _ENDINGS.get(record.outcome, "other"),
            )
            for record in records
            if record.machine in here and record.devices in ("", CPU) and _are_numbers(record)
        )

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self._path, timeout=_WAIT_S)) as database, database:
            database.execute(_SCHEMA)
            if _missing(database):
                _add_columns(database)
            yield database


def learnt(facts: ModelFacts) -> dict[str, Calibration]:
    """What earlier loads on this machine teach for plans of a model."""
    from shoestring.planning.calibration import calibrations

    return calibrations(Ledger().observations(), (facts.id, facts.file_bytes))


def _missing(database: sqlite3.Connection) -> list[str]:
    there = {row[1] for row in database.execute("PRAGMA table_info(loads)")}
    return [name for name in _LATER if name not in there]


def _add_columns(database: sqlite3.Connection) -> None:
    database.execute("BEGIN IMMEDIATE")  # another process may be at it: look again once nobody else can write
    for name in _missing(database):
        database.execute(f"ALTER TABLE loads ADD COLUMN {name} {_LATER[name]}")
    database.commit()


def _are_numbers(record: LoadRecord) -> bool:
    """SQLite keeps whatever it is given, whatever the column's type."""
    figures = (record.predicted_bytes, record.measured_peak_bytes, record.correction_bytes)
    return all(isinstance(figure, int) for figure in figures)


def _warn(error: Exception) -> None:
    import logging

    global _warned
    if not _warned:
        _warned = True
        logging.getLogger(__name__).warning("Plans are not corrected: the ledger cannot be read (%s).", error)
