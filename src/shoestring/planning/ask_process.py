"""Questions to an engine, answered by a process of its own: nothing native runs here."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from shoestring.errors import EngineError

_KEPT = frozenset({"PATH", "HOME", "TMPDIR", "TMP", "TEMP", "SYSTEMROOT", "LANG", "VIRTUAL_ENV"})
_KEPT_PREFIXES = ("PYTHON", "LD_", "DYLD_", "LC_", "OMP_")


def ask(module: str, question: object, *, engine: str, subject: str, timeout_s: float) -> bytes:
    """Run `python -m module` with the question as JSON on its stdin; returns what it writes to stdout.

    Args:
        engine, subject: who is asked about what, for messages.

    Raises:
        EngineError: it failed, or had no answer in time.
    """
    import msgspec

    try:
        # `-m` puts the working directory on the import path: it must be one where nothing of the user's lies.
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [sys.executable, "-m", module],
                input=msgspec.json.encode(question),
                capture_output=True,
                timeout=timeout_s,
                check=False,
                cwd=folder,
                env=environment(),
            )
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"{engine} had not planned {subject} after {timeout_s:.0f} s.") from error
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2].rstrip(".")
        raise EngineError(f"The dry run of {subject} failed: {last or f'exit status {done.returncode}'}.")
    return done.stdout


def environment() -> dict[str, str]:
    """What a Python process needs of this one's environment, able to import this very package; no secrets."""
    kept = {key: value for key, value in os.environ.items() if key in _KEPT or key.startswith(_KEPT_PREFIXES)}
    package = str(Path(__file__).parents[2])
    inherited = kept.get("PYTHONPATH")
    return kept | {"PYTHONPATH": os.pathsep.join([inherited, package] if inherited else [package])}
