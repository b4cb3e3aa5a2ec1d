"""Exact figures from the engine, asked in a process of their own: nothing native runs here."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from shoestring.errors import EngineError
from shoestring.planning.base import LlamaCppSettings

ENGINE_MODULE = "shoestring.engines.llama_cpp_dry_run"
TIMEOUT_S = 60.0

_KEPT = frozenset({"PATH", "HOME", "TMPDIR", "TMP", "TEMP", "SYSTEMROOT", "LANG", "VIRTUAL_ENV"})
_KEPT_PREFIXES = ("PYTHON", "LD_", "DYLD_", "LC_", "OMP_")


@dataclass(frozen=True)
class DryRun:
    """Buffers as the engine plans them, in bytes, each exact to half a hundredth of a MiB."""

    kv_cache_bytes: int
    compute_buffer_bytes: int
    output_buffer_bytes: int


def dry_run(files: Sequence[Path], settings: LlamaCppSettings, *, timeout_s: float = TIMEOUT_S) -> DryRun:
    """Ask llama.cpp what a load with these settings would allocate; it reads headers only, in about a second.

    Args:
        files: the parts of a validated model, in order.

    Raises:
        EngineError: the engine gave no figures, or not in time.
    """
    import msgspec

    question = msgspec.json.encode({"file": str(files[0].resolve()), "settings": asdict(settings)})
    try:
        # `-m` puts the working directory on the import path: it must be one where nothing of the user's lies.
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [sys.executable, "-m", ENGINE_MODULE],
                input=question,
                capture_output=True,
                timeout=timeout_s,
                check=False,
                cwd=folder,
                env=_environment(),
            )
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"llama.cpp had not planned {files[0].name} after {timeout_s:.0f} s.") from error
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise EngineError(
            f"The dry run of {files[0].name} failed: {last or f'exit status {done.returncode}'}."
        )
    answer = msgspec.json.decode(done.stdout)
    if answer["error"]:
        raise EngineError(f"llama.cpp could not plan {files[0].name}: {answer['error']}.")
    return DryRun(answer["kv_cache_bytes"], answer["compute_buffer_bytes"], answer["output_buffer_bytes"])


def _environment() -> dict[str, str]:
    """What a Python process needs of this one's environment, able to import this very package; no secrets."""
    kept = {key: value for key, value in os.environ.items() if key in _KEPT or key.startswith(_KEPT_PREFIXES)}
    package = str(Path(__file__).parents[2])
    inherited = kept.get("PYTHONPATH")
    return kept | {"PYTHONPATH": os.pathsep.join([inherited, package] if inherited else [package])}
