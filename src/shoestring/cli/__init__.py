"""The command line: one file a command, which parses, calls and prints; `_output` and `_errors` are the machinery.

Exit status: 0 done, 1 failed, 2 usage, 3 does not fit, 4 access, 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from shoestring.cli._streams import open_missing
from shoestring.runtime.early import EarlyWorker

__all__ = ["EarlyWorker", "main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    open_missing()
    given = list(sys.argv[1:] if arguments is None else arguments)
    early = EarlyWorker()
    try:
        if given[:1] == ["run"] and not {"--help", "-h"} & set(given):
            from shoestring.cli._early import likely_engine

            early.start(likely_engine(given))
        from shoestring.cli._app import run_command

        status = run_command(given, early)
    except KeyboardInterrupt:  # while importing
        from shoestring.cli._errors import report_interrupted

        status = report_interrupted(as_json="--json" in given)
    finally:
        early.close()
    sys.exit(status)
