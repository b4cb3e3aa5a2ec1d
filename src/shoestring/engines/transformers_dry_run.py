"""What transformers itself would allocate: the real model and its real forward pass over fake tensors.

Run as `python -m shoestring.engines.transformers_dry_run`: a JSON object on stdin
(`{"folder": …, "settings": {…}, "on_gpu": …}`), one on stdout.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import msgspec

from shoestring.errors import EngineError
from shoestring.planning.base import TransformersSettings

INSTALL_HINT = "Install it: pip install 'shoestring[transformers]'"


class Question(msgspec.Struct, frozen=True):
    """What to plan for: the folder that holds `config.json`, the settings of a load, and where it lies."""

    folder: str
    settings: TransformersSettings
    on_gpu: bool = False


class Figures(msgspec.Struct, frozen=True):
    """As in `planning.transformers_dry_run.TransformersDryRun`."""

    weights_bytes: int
    footprint_bytes: int
    kv_cache_bytes: int
    prefill_peak_bytes: int
    decode_peak_bytes: int
    seconds: float
    weights_by_dtype: dict[str, int]


class Answer(msgspec.Struct, frozen=True):
    """The figures; or why there are none, and what to do."""

    figures: Figures | None = None
    error: str | None = None
    hint: str | None = None


def answer(question: Question) -> Answer:
    """The figures for one question."""
    start = time.perf_counter()
    try:
        from shoestring.engines.fake_forward import run
    except ImportError as error:
        if not _is_of_the_extra(error):
            raise
        return Answer(error=f"A dry run of transformers needs {error.name}.", hint=INSTALL_HINT)
    try:
        measured = run(Path(question.folder), question.settings, on_gpu=question.on_gpu)
    except ImportError as error:
        if not _is_of_the_extra(error):
            raise
        return Answer(error=f"A dry run with these settings needs {error.name}.", hint=INSTALL_HINT)
    except EngineError as error:
        return Answer(error=error.message, hint=error.hint)
    return Answer(
        Figures(
            sum(measured.weights.values()),
            measured.footprint,
            measured.kv_cache,
            measured.prefill_peak,
            measured.decode_peak,
            time.perf_counter() - start,
            measured.weights,
        )
    )


def _is_of_the_extra(error: ImportError) -> bool:
    return (error.name or "").partition(".")[0] in {"torch", "transformers", "accelerate", "bitsandbytes"}


def main() -> None:
    """Answer the question on stdin; whatever the libraries print goes to stderr."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    out = os.dup(1)
    os.dup2(2, 1)
    reply = answer(msgspec.json.decode(sys.stdin.buffer.read(), type=Question))
    with os.fdopen(out, "wb") as stream:
        stream.write(msgspec.json.encode(reply))


if __name__ == "__main__":
    main()
