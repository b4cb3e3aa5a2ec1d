"""The engine's own figures, from headers alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import random_gguf
from planning_facts import WriteModel

from shoestring.engines.llama_cpp_dry_run import parse_log
from shoestring.errors import EngineError
from shoestring.models.gguf.reader import read_header
from shoestring.models.ranges import FileRange
from shoestring.planning.base import LlamaCppSettings
from shoestring.planning.dry_run import dry_run, dry_run_header, read_part

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


HYBRID_ON_A_GPU = """
print_info: file size   = 10.14 GiB (4.54 BPW)
llama_context:  CUDA_Host  output buffer size =     0.03 MiB
llama_kv_cache:      CUDA0 KV buffer size =    16.00 MiB
llama_kv_cache: size =   16.00 MiB (  2048 cells,   1 layers,  2/2 seqs), K (f16): 8.00 MiB, V (f16): 8.00 MiB
llama_memory_recurrent:      CUDA0 RS buffer size =    13.06 MiB
llama_memory_recurrent: size =   13.06 MiB (     2 cells,  12 layers,  2 seqs  0 rs_seq), R (f32): 2.06 MiB
sched_reserve:      CUDA0 compute buffer size =   200.00 MiB
sched_reserve:  CUDA_Host compute buffer size =    10.00 MiB
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
    planned = dry_run(facts.files, settings)
    assert planned.kv_cache_bytes == real.kv_cache_bytes
    assert planned.compute_by_device == real.compute_by_device
    assert planned.compute_buffer_bytes == real.compute_buffer_bytes
    assert planned.output_buffer_bytes == real.output_buffer_bytes


def test_a_model_that_the_engine_refuses_is_a_typed_error_with_its_words(write_model: WriteModel) -> None:
    facts = write_model(random_gguf.Shape(architecture="granite", layers=1, vocabulary=512))
    with pytest.raises(EngineError, match="logit_scale"):
        dry_run(facts.files, LlamaCppSettings(context=256))


def test_an_engine_that_takes_too_long_is_a_typed_error(write_model: WriteModel) -> None:
    facts = write_model(random_gguf.Shape(vocabulary=1024, dtype="Q4_0"))
    with pytest.raises(EngineError, match="had not planned"):
        dry_run(facts.files, LlamaCppSettings(context=256), timeout_s=0.01)


def test_a_header_alone_gives_the_same_figures(write_model: WriteModel) -> None:
    facts = write_model(random_gguf.Shape(vocabulary=1024, dtype="Q4_0"))
    settings = LlamaCppSettings(context=512, ubatch=64)
    with FileRange(facts.files[0]) as file:
        part = read_part(file, read_header(facts.files[0]).data_offset_bytes)
    assert len(part.header) < part.size_bytes
    assert dry_run_header(part.header, part.size_bytes, settings) == dry_run(facts.files, settings)


def test_the_weights_are_told_too(write_model: WriteModel) -> None:
    facts = write_model(random_gguf.Shape(vocabulary=1024, dtype="Q4_0"))
    told = dry_run(facts.files, LlamaCppSettings(context=256)).weights_bytes
    assert told == pytest.approx(facts.weights.total_bytes, abs=5300)


def test_a_log_of_a_hybrid_on_a_gpu_is_read_whole() -> None:
    found = parse_log(HYBRID_ON_A_GPU)
    assert found is not None
    assert found.kv_cache_bytes == round((16 + 13.06) * 2**20)
    assert found.compute_by_device == {"CUDA0": 200 * 2**20, "CUDA_Host": 10 * 2**20}
    assert found.compute_buffer_bytes == 210 * 2**20
    assert found.weights_bytes == round(10.14 * 2**30)


def test_a_log_of_a_model_without_attention_has_its_states() -> None:
    log = "\n".join(line for line in HYBRID_ON_A_GPU.splitlines() if "kv_cache" not in line)
    found = parse_log(log)
    assert found is not None
    assert found.kv_cache_bytes == round(13.06 * 2**20)


def test_a_log_without_every_figure_has_no_answer() -> None:
    assert parse_log("llama_kv_cache: size =   24.00 MiB (  8192 cells,   3 layers") is None


def test_nothing_of_the_working_directory_is_imported(
    write_model: WriteModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = write_model(random_gguf.Shape(vocabulary=1024, dtype="Q4_0"))
    (tmp_path / "msgspec.py").write_text("raise SystemExit('a file of the user was imported')")
    monkeypatch.chdir(tmp_path)
    assert dry_run(facts.files, LlamaCppSettings(context=256)).kv_cache_bytes > 0
