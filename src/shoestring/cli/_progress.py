"""How a fetch shows where it is: a bar on a terminal, a few plain lines elsewhere; always on stderr."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING

from shoestring.cli._output import console, say
from shoestring.units import format_bytes

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from shoestring.models.progress import FetchProgress


class FetchDisplay:
    """A progress callback that draws. Nothing is imported or shown before the first byte moves."""

    def __init__(self) -> None:
        self._label: str | None = None
        self._quarter = 0
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> FetchDisplay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, now: FetchProgress) -> None:
        if sys.stderr.isatty():
            self._draw(now)
        else:
            self._write(now)

    def _write(self, now: FetchProgress) -> None:
        if now.label != self._label:
            self._label, self._quarter = now.label, 0
            size = "" if now.total_bytes is None else f" ({format_bytes(now.total_bytes)})"
            say(f"{now.label}{size}...")
        quarter = now.done_bytes * 4 // now.total_bytes if now.total_bytes else 0
        if quarter > self._quarter and quarter < 4:
            self._quarter = quarter
            say(f"{now.label}: {quarter * 25} %")

    def _draw(self, now: FetchProgress) -> None:
        bar = self._started()
        if now.label != self._label or self._task is None:
            if self._task is not None:
                bar.remove_task(self._task)
            self._label, self._task = now.label, bar.add_task(now.label, total=now.total_bytes)
        bar.update(self._task, completed=now.done_bytes, total=now.total_bytes)

    def _started(self) -> Progress:
        if self._bar is None:
            from rich.progress import (
                BarColumn,
                DownloadColumn,
                Progress,
                TextColumn,
                TimeRemainingColumn,
                TransferSpeedColumn,
            )

            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                DownloadColumn(),
                TransferSpeedColumn(),
                TimeRemainingColumn(compact=True),
            )
            self._bar = Progress(*columns, console=console(sys.stderr), transient=True)
            self._bar.start()
        return self._bar
