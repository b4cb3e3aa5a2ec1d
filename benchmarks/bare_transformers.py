"""A bare worker on transformers, and what it holds: the truth that the planner's figures are held against.

    python benchmarks/bare_transformers.py CHECKPOINT [--precision nf4 --context 2048 --batch 4 …]
    python benchmarks/bare_transformers.py --baseline

A fresh process loads a checkpoint as the engine does, reads context − 32 tokens with the whole batch, generates
32 greedily and tells VmHWM after the imports, after loading and at the end. `measure` does it for other benchmarks;
`--baseline` prints the worker's constants anew (`planning/transformers/runtime.py`), with a model of no size.
"""

from __future__ import annotations

import argparse
import ctypes
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from shoestring.planning.base import TransformersSettings

GENERATED = 32
ENVIRONMENT = {
    # Every tensor of 128 KiB and more gets pages of its own and gives them back. By default glibc raises the
    # threshold to 32 MiB as blocks come free, and a growing cache leaves holes in the heap that nothing fits.
    "MALLOC_MMAP_THRESHOLD_": "131072",
    "MALLOC_ARENA_MAX": "1",
    # int8 layers multiply their outlier columns apart, in a number that every text changes: oneDNN generates
    # code for each shape, 0.3 MB, and keeps 1024 of them.
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",
    "HF_DEACTIVATE_ASYNC_LOAD": "1",
    "GOMP_SPINCOUNT": "1000",  # as in every worker: beside busy processes, spinning threads stand still
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
"""What a transformers worker starts with, so that its memory is what its tensors take."""
_FROM_PARENT = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH")
_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


@dataclasses.dataclass(frozen=True)
class Peaks:
    """VmHWM in bytes at three moments, and what was resident then, by kind; seconds of the two phases."""

    imports: int
    load: int
    end: int
    resident: dict[str, dict[str, int]]
    footprint: int
    load_s: float
    prefill_s: float
    decode_s: float


def measure(
    folder: Path, settings: TransformersSettings, *, environment: dict[str, str] | None = None
) -> Peaks:
    """Load and run a checkpoint in a process of its own.

    Args:
        folder: of a safetensors checkpoint with its tokenizer.
        settings: what to load it with; the whole context is used.
        environment: instead of `ENVIRONMENT`.
    """
    inherited = {key: os.environ[key] for key in _FROM_PARENT if key in os.environ}
    extra = ENVIRONMENT if environment is None else environment
    threads = {"OMP_NUM_THREADS": str(settings.threads), "MKL_NUM_THREADS": str(settings.threads)}
    done = subprocess.run(
        [sys.executable, __file__, "--worker", str(folder), json.dumps(dataclasses.asdict(settings))],
        env={**inherited, **threads, **extra},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the worker failed ({done.returncode}): {done.stderr[-2000:]}")
    return Peaks(**json.loads(done.stdout.splitlines()[-1]))


def _status() -> dict[str, int]:
    with Path("/proc/self/status").open() as file:
        lines = [line.split() for line in file]
    return {
        line[0].rstrip(":"): int(line[1]) * 1024
        for line in lines
        if line[0].startswith(("VmHWM", "Vm", "Rss"))
    }


def _resident() -> dict[str, int]:
    status = _status()
    return {key: status[key] for key in ("VmHWM", "VmRSS", "RssAnon", "RssFile")}


def _worker(folder: str, settings: TransformersSettings) -> dict[str, Any]:
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    quantization = _quantization(settings)
    torch.set_num_threads(settings.threads)
    resident = {"imports": _resident()}
    started = time.perf_counter()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    _give_back()
    resident["tokenizer"] = _resident()
    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    model = getattr(transformers, config.architectures[0]).from_pretrained(
        None,
        config=config,
        state_dict=_tensors(Path(folder)),
        dtype=getattr(torch, _DTYPES[settings.compute_dtype]),
        attn_implementation=settings.attention,
        quantization_config=quantization,
    )
    _give_back()
    loaded = time.perf_counter()
    resident["load"] = _resident()
    tokens = settings.context - GENERATED
    ids = torch.arange(settings.batch * tokens).reshape(settings.batch, tokens) % (len(tokenizer) - 1) + 1
    prefilled, ended = _generate(model, ids, resident)
    return {
        "imports": resident["imports"]["VmHWM"],
        "load": resident["load"]["VmHWM"],
        "end": resident["end"]["VmHWM"],
        "resident": resident,
        "footprint": model.get_memory_footprint(),
        "load_s": loaded - started,
        "prefill_s": prefilled,
        "decode_s": ended,
    }


def _give_back() -> None:
    """Return freed heap pages to the system: reading a tokenizer leaves up to 30 MB of them, loading some more."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone has it
    if trim is not None:
        trim(0)


def _tensors(folder: Path) -> dict[str, Any]:
    """Every tensor of a checkpoint, to be read when it is asked for, and only it.

    Mapped into memory, as the library does by itself, every page that was read stays resident while one tensor
    still points into its file: a 4-bit model would hold the whole 16-bit file by its embedding.
    """
    from safetensors import safe_open

    slices: dict[str, Any] = {}
    for file in sorted(folder.glob("*.safetensors")):
        pointer = safe_open(file, framework="pt", device="cpu", backend="pread")
        names = pointer.keys()
        slices.update((name, pointer.get_slice(name)) for name in names)
    return slices


def _generate(model: Any, ids: Any, resident: dict[str, dict[str, int]]) -> tuple[float, float]:
    """Reads the prompt and decodes greedily, one forward pass a step, as `generate` does it."""
    import torch

    times = [time.perf_counter()]

    class Clock(transformers_streamer()):
        def put(self, value: Any) -> None:
            times.append(time.perf_counter())
            if len(times) == 3:
                resident["prefill"] = _resident()

        def end(self) -> None:
            pass

    one = ids.shape[0] == 1
    with torch.inference_mode():
        model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=GENERATED,
            min_new_tokens=GENERATED,
            do_sample=False,
            pad_token_id=0,
            streamer=Clock() if one else None,
        )
    times.append(time.perf_counter())
    resident["end"] = _resident()
    return (times[2] - times[0], times[-1] - times[2]) if one else (times[-1] - times[0], 0.0)


def transformers_streamer() -> type:
    """The library's base class of what watches a generation."""
    from transformers.generation.streamers import BaseStreamer

    return BaseStreamer


def _quantization(settings: TransformersSettings) -> Any:
    """The library's quantisation config; importing it is part of the worker's baseline."""
    if settings.precision in ("fp32", "bf16", "fp16", "stored"):
        return None
    import logging

    import bitsandbytes  # noqa: F401 - imported before the baseline is read
    import torch
    from transformers import BitsAndBytesConfig

    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    if settings.precision == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    kind, _, double = settings.precision.partition("-")
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=kind,
        bnb_4bit_use_double_quant=bool(double),
        bnb_4bit_compute_dtype=getattr(torch, _DTYPES[settings.compute_dtype]),
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    for field in dataclasses.fields(TransformersSettings):
        if field.name in ("device_map", "kv_precision"):
            continue
        default = 2048 if field.name == "context" else field.default
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(default), default=default)
    return parser.parse_args()


def baseline() -> None:
    """Print what a worker holds with a model of some kilobytes, loaded and after it has computed once."""
    import random_checkpoint
    from transformers import LlamaConfig

    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "vocab_size": 1024}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "tie_word_embeddings": True}
    with tempfile.TemporaryDirectory() as scratch:
        folder = random_checkpoint.write(Path(scratch), LlamaConfig(**shape, **heads))
        random_checkpoint.write_tokenizer(folder)
        for precision, dtype in (("fp32", "fp32"), ("bf16", "bf16"), ("int8", "bf16"), ("nf4", "bf16")):
            settings = TransformersSettings(context=64, precision=precision, compute_dtype=dtype, threads=2)
            peaks = measure(folder, settings)
            print(f"{precision}: loaded {peaks.load:,} bytes, after computing {peaks.end:,}")


def main() -> None:
    """Measure once and print."""
    given = vars(_arguments())
    folder = given.pop("folder")
    peaks = measure(folder, TransformersSettings(**given))
    print(json.dumps(dataclasses.asdict(peaks), indent=2))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        print(json.dumps(_worker(sys.argv[2], TransformersSettings(**json.loads(sys.argv[3])))))
    elif sys.argv[1:2] == ["--baseline"]:
        baseline()
    else:
        main()
