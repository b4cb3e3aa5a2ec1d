"""A transformers worker and nothing beside it, and what it holds: the truth that the planner's figures are held against.

    python benchmarks/bare_transformers.py CHECKPOINT [--precision nf4 --context 2048 --batch 4 …]
    python benchmarks/bare_transformers.py --baseline

The product's own worker process loads a checkpoint, reads context − 32 tokens with the whole batch, generates
32 greedily and tells VmHWM after the imports, after loading and at the end. `measure` does it for other benchmarks;
`--baseline` prints the worker's constants anew (`planning/transformers/runtime.py`), with a model of no size.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
import time
from pathlib import Path

from shoestring.engines.base import Sampling
from shoestring.planning.base import TransformersSettings
from shoestring.runtime.client import Worker
from shoestring.runtime.process import prestart

GENERATED = 32


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
    weights: int


def measure(folder: Path, settings: TransformersSettings) -> Peaks:
    """Load and run a checkpoint in a worker process of its own.

    Args:
        folder: of a safetensors checkpoint with its tokenizer.
        settings: what to load it with; the whole context is used.
    """
    worker = Worker(prestart("transformers"))
    try:
        while worker.ready is None:  # its imports are done
            if not worker.alive:
                raise RuntimeError(f"the worker died: {worker.process.log_tail()}")
            time.sleep(0.01)
        resident = {"imports": _resident(worker.pid)}
        loaded = worker.load(sorted(folder.glob("*.safetensors")), settings)
        resident["load"] = _resident(worker.pid)
        report = loaded.report
        prefill_s, decode_s = _generate(worker, settings)
        resident["end"] = _resident(worker.pid)
    finally:
        worker.close()
    if report.footprint_bytes is None or report.weights_bytes is None:
        raise RuntimeError("the worker told nothing of what it had loaded")
    peaks = {moment: held["VmHWM"] for moment, held in resident.items()}
    return Peaks(
        **peaks,
        resident=resident,
        footprint=report.footprint_bytes,
        load_s=loaded.load_s,
        prefill_s=prefill_s,
        decode_s=decode_s,
        weights=report.weights_bytes,
    )


def _generate(worker: Worker, settings: TransformersSettings) -> tuple[float, float]:
    """Fill the context of the whole batch; seconds of prefill and decode as the engine tells them of its first row."""
    tokens = settings.context - GENERATED
    prompts = [[3 + (row + (7 + 2 * row) * i) % 250 for i in range(tokens)] for row in range(settings.batch)]
    sampling = Sampling(max_tokens=GENERATED, temperature=0, ignore_eos=True)
    *_, (_, finished) = worker.generate(prompts, sampling)
    return finished.timings.prefill_s, finished.timings.decode_s


def _resident(pid: int) -> dict[str, int]:
    with Path(f"/proc/{pid}/status").open() as file:
        lines = [line.split() for line in file]
    status = {
        line[0].rstrip(":"): int(line[1]) * 1024
        for line in lines
        if line[0].startswith(("VmHWM", "VmRSS", "Rss"))
    }
    return {key: status[key] for key in ("VmHWM", "VmRSS", "RssAnon", "RssFile")}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    for field in dataclasses.fields(TransformersSettings):
        if field.name in ("device_map", "kv_precision", "offload", "trust_remote_code"):
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
        for precision, dtype in (
            ("fp32", "fp32"),
            ("bf16", "bf16"),
            ("int8", "bf16"),
            ("nf4", "bf16"),
            ("nf4-dq", "bf16"),
        ):
            settings = TransformersSettings(context=64, precision=precision, compute_dtype=dtype, threads=2)
            peaks = measure(folder, settings)
            print(
                f"{precision}: imports {peaks.imports:,} bytes, loaded {peaks.load:,}, after computing {peaks.end:,}"
            )


def main() -> None:
    """Measure once and print."""
    given = vars(_arguments())
    folder = given.pop("folder")
    peaks = measure(folder, TransformersSettings(**given))
    print(json.dumps(dataclasses.asdict(peaks), indent=2))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--baseline"]:
        baseline()
    else:
        main()
