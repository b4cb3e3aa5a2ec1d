"""The engine's own figures, from headers alone."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import msgspec
import pytest
import random_gguf
from planning_facts import WriteModel

from shoestring.engines.llama_cpp_dry_run import parse_log
from shoestring.errors import EngineError
from shoestring.planning.base import LlamaCppSettings
from shoestring.planning.dry_run import dry_run

REAL_LOAD = """
import os, sys
from pathlib import Path
import msgspec, time
from shoestring.engines.llama_cpp import _parameters
from shoestring.planning.base import LlamaCppSettings
settings = msgspec.json.decode(sys.argv[2], type=LlamaCppSettings)
params = _parameters(Path(sys.argv[1]), settings, Path(sys.argv[3]) / "llama.sock")
params.verbosity = 4
import xllamacpp
server = xllamacpp.Server(params)
time.sleep(0.3)  # its log is written by a thread
os._exit(0)
"""


@pytest.mark.parametrize(
    "settings",
    [
        LlamaCppSettings(context=512),
        LlamaCppSettings(context=1000, batch=2, ubatch=64),
        LlamaCppSettings(context=512, flash_attention=False),
        LlamaCppSettings(context=512, kv_precision="q8_0"),
    ],
)
def test_equals_what_a_real_load_logs(
    settings: LlamaCppSettings, write_model: WriteModel, tmp_path: Path
) -> None:
    facts = write_model(random_gguf.Shape(vocabulary=1024, dtype="Q4_0"))
    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            REAL_LOAD,
            str(facts.files[0]),
            msgspec.json.encode(settings).decode(),
            tmp_path,
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    real = parse_log(loaded.stdout + loaded.stderr)
    assert real is not None
    assert asdict(dry_run(facts.files, settings)) == {
        "kv_cache_bytes": real.kv_cache_bytes,
        "compute_buffer_bytes": real.compute_buffer_bytes,
        "output_buffer_bytes": real.output_buffer_bytes,
    }


def test_a_model_that_the_engine_refuses_is_a_typed_error_with_its_words(write_model: WriteModel) -> None:
    facts = write_model(random_gguf.Shape(architecture="granite", layers=1, vocabulary=512))
    with pytest.raises(EngineError, match="logit_scale"):
        dry_run(facts.files, LlamaCppSettings(context=256))


def test_an_engine_that_takes_too_long_is_a_typed_error(write_model: WriteModel) -> None:
    facts = write_model(random_gguf.Shape(vocabulary=1024, dtype="Q4_0"))
    with pytest.raises(EngineError, match="had not planned"):
        dry_run(facts.files, LlamaCppSettings(context=256), timeout_s=0.01)


def test_a_log_without_every_figure_has_no_answer() -> None:
    assert parse_log("llama_kv_cache: size =   24.00 MiB (  8192 cells,   3 layers") is None


def test_nothing_of_the_working_directory_is_imported(
    write_model: WriteModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = write_model(random_gguf.Shape(vocabulary=1024, dtype="Q4_0"))
    (tmp_path / "msgspec.py").write_text("raise SystemExit('a file of the user was imported')")
    monkeypatch.chdir(tmp_path)
    assert dry_run(facts.files, LlamaCppSettings(context=256)).kv_cache_bytes > 0
