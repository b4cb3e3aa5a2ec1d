"""What llama.cpp itself would allocate: a dry run that reads the header and no weights.

Run as `python -m shoestring.engines.llama_cpp_dry_run`: a JSON object on stdin
(`{"file": …, "settings": {…}}`), one on stdout. The engine is loaded with `no_alloc`, in yet another
process, because its server crashes on the first token once it has planned its buffers and finds none; by then
they are in the log, which is where the figures are read: in MiB with two decimals.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from shoestring.planning.base import LlamaCppSettings
from shoestring.units import MiB

_NATIVE = "native"
_PATIENCE_S = 60
_INFO = 4  # llama.cpp's log level
_ANOTHER_LINE_S = 0.01

_CACHE = re.compile(r"(?:llama_kv_cache|llama_memory_recurrent): size = +([\d.]+) MiB")
_COMPUTE = re.compile(r"sched_reserve: +(\S+) compute buffer size = +([\d.]+) MiB")
_OUTPUT = re.compile(r"llama_context: +\S+ +output buffer size = +([\d.]+) MiB")
_WEIGHTS = re.compile(r"print_info: file size += +([\d.]+) (MiB|GiB)")
_UNITS = {"MiB": MiB, "GiB": 1024 * MiB}


class Question(msgspec.Struct, frozen=True):
    """What to plan for. `file` is the model's (first) file, `settings` those of a real load."""

    file: str
    settings: LlamaCppSettings


class Answer(msgspec.Struct, frozen=True):
    """The engine's figures in bytes, each exact to half a hundredth of a MiB; or why there are none.

    Attributes:
        kv_cache_bytes: keys and values of all layers, and recurrent states.
        compute_buffer_bytes: of all devices together.
        compute_by_device: the same, by the engine's names of its devices' buffers (`CPU`, `CUDA0`, `CUDA_Host`).
        weights_bytes: all tensors as stored; from 1 GiB on exact to half a hundredth of a GiB. None where not logged.
    """

    kv_cache_bytes: int = 0
    compute_buffer_bytes: int = 0
    output_buffer_bytes: int = 0
    error: str | None = None
    compute_by_device: dict[str, int] = {}
    weights_bytes: int | None = None


def parse_log(log: str) -> Answer | None:
    """The figures that llama.cpp logs while it sets up a context, None while any is missing.

    A hybrid model logs its cells and its states; one without attention only states.
    """
    cache, output, compute = _CACHE.findall(log), _OUTPUT.findall(log), dict(_COMPUTE.findall(log))
    if not (cache and output and compute):
        return None
    weights = _WEIGHTS.search(log)
    by_device = {device: _mebibytes([figure]) for device, figure in compute.items()}
    return Answer(
        _mebibytes(cache),
        sum(by_device.values()),
        _mebibytes(output),
        compute_by_device=by_device,
        weights_bytes=round(float(weights[1]) * _UNITS[weights[2]]) if weights else None,
    )


def _mebibytes(figures: Iterable[str]) -> int:
    return round(sum(map(float, figures)) * MiB)


def main() -> None:
    """Answer one question. With `native` and a folder as arguments: load there, log and hang."""
    question = sys.stdin.buffer.read()
    if sys.argv[1:2] == [_NATIVE]:
        _load(msgspec.json.decode(question, type=Question), Path(sys.argv[2]))
        return
    with tempfile.TemporaryDirectory() as folder:
        answer = _ask(question, Path(folder))
    sys.stdout.buffer.write(msgspec.json.encode(answer))


def _ask(question: bytes, folder: Path) -> Answer:
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "shoestring.engines.llama_cpp_dry_run", _NATIVE, str(folder)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            cwd=folder,
            env=os.environ | {"GGML_NO_BACKTRACE": "1"},
        )
    if process.stdin is not None:
        process.stdin.write(question)
        process.stdin.close()
    try:
        while True:
            ended = process.poll() is not None
            text = log.read_text(errors="replace")
            if found := parse_log(text):
                time.sleep(_ANOTHER_LINE_S)  # further devices' lines follow at once
                return parse_log(log.read_text(errors="replace")) or found
            if ended:
                errors = [line for line in text.splitlines() if " E " in line]
                return Answer(error="; ".join(errors[:3]) or "it ended before it had planned its buffers")
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()


def _load(question: Question, folder: Path) -> None:
    import xllamacpp

    from shoestring.engines.llama_cpp import _parameters

    params = _parameters(Path(question.file), question.settings, folder / "llama.sock")
    params.no_alloc = True
    params.load_mode = xllamacpp.llama_load_mode.LLAMA_LOAD_MODE_NONE  # no_alloc aborts on a mapped file
    params.verbosity = _INFO
    _hang_instead_of_crashing()
    xllamacpp.Server(params)


def _hang_instead_of_crashing() -> None:
    """Put a crashing thread to sleep: dying would lose the log's last lines, which another thread writes."""
    if os.name != "posix":
        return
    libc = ctypes.CDLL(None)
    libc.signal(signal.SIGSEGV, ctypes.cast(libc.pause, ctypes.c_void_p))
    signal.alarm(_PATIENCE_S)  # the kernel ends this process if nobody else does


if __name__ == "__main__":
    main()
