"""The command line: one file a command, which parses, calls and prints; `_output` and `_errors` are the machinery.

Exit status: 0 done, 1 failed, 2 usage, 3 does not fit, 4 access, 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from shoestring.cli._streams import open_missing

if TYPE_CHECKING:
    from shoestring.runtime.process import WorkerProcess


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    open_missing()
    given = list(sys.argv[1:] if arguments is None else arguments)
    early = EarlyWorker()
    try:
        if given[:1] == ["run"] and not {"--help", "-h"} & set(given):
            early.start()
        from shoestring.cli._app import run_command

        status = run_command(given, early)
    except KeyboardInterrupt:  # while importing
        from shoestring.cli._errors import report_interrupted

        status = report_interrupted(as_json="--json" in given)
    finally:
        early.close()
    sys.exit(status)


class EarlyWorker:
    """A worker that was started before the command line was parsed, so that its imports cost no time.

    Whoever takes it owns it; one that nobody takes is closed.
    """

    def __init__(self) -> None:
        self._worker: WorkerProcess | None = None

    def start(self) -> None:
        from shoestring.runtime.process import prestart

        self._worker = prestart()

    def take(self) -> WorkerProcess | None:
        worker, self._worker = self._worker, None
        return worker

    def close(self) -> None:
        if self._worker is not None:
            self._worker.close()
            self._worker = None
