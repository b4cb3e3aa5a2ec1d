"""Predicted against measured memory: does the plan tell the truth?

    python benchmarks/plan_accuracy.py [--quick] [--only REGEX] [--json]

Every configuration gets a fresh worker, whose context is filled to n − 32 in all sequences at once before 32 tokens
are generated (transformers: a bare process, one batch). Printed: the plan's peak (its total, or that while loading
if it is larger), the worker's VmHWM, the error, and the same after loading alone; then the
formula's cache and compute beside the engine's own (a dry run) with flash attention on and off; last the worker's
baseline, measured anew (`shoestring.planning.llama_cpp.runtime.BASELINE_BYTES`).

Exit status 1 when a figure is out of its bounds. Totals: 2 % in the mean, 5 % at worst, never more than 1 % below
the measurement. Cache within 1 % of the engine's figure, compute within 5 %. Models of 1 and 8 billion parameters have
random weights and are removed after use; what the machine has no room for is left out, and that is printed.
`--only` takes the lines that match (`smollm2 .* batch 4`); `--json` prints one document with every term.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import bare_transformers
import big_gguf
import random_gguf
import smollm2_checkpoint

from shoestring.engines.base import Sampling
from shoestring.errors import WorkerDiedError
from shoestring.hardware.memory import MemoryProbe
from shoestring.hardware.probe import probe
from shoestring.models.facts import ModelFacts
from shoestring.models.gguf_facts import read_facts
from shoestring.models.reference import resolve
from shoestring.models.safetensors_facts import read_checkpoint
from shoestring.models.source import FolderSource
from shoestring.planning.base import (
    CPU,
    ComputeDtype,
    Estimate,
    LlamaCppSettings,
    MemoryModel,
    Precision,
    TransformersSettings,
)
from shoestring.planning.dry_run import dry_run
from shoestring.planning.llama_cpp.compute import compute_buffer_bytes
from shoestring.planning.llama_cpp.kv_cache import kv_cache_bytes
from shoestring.planning.llama_cpp.model import LlamaCppMemory
from shoestring.planning.llama_cpp.runtime import BASELINE_BYTES
from shoestring.planning.transformers.model import TransformersMemory
from shoestring.runtime.client import Worker
from shoestring.runtime.process import prestart
from shoestring.runtime.process_memory import read_process_memory

MB, GIB = 1e6, 1024**3
MEAN, WORST, BELOW = 0.02, 0.05, -0.01
"""Bounds of totals: of the mean absolute error, of the worst, and how far a plan may be under the measurement."""

UNSEEN = random_gguf.Shape(
    architecture="qwen2", layers=10, hidden=640, heads=10, kv_heads=2, feed_forward=1728, vocabulary=60_000,
    dtype="Q4_0", bias=True, merges=30_000,
)  # fmt: skip
"""A shape that was not used to derive anything: rearranged weights, biases, an untied head."""
SMALLEST = random_gguf.Shape(
    layers=1, hidden=32, heads=1, kv_heads=1, head_dim=32, feed_forward=32, vocabulary=128, context=512, dtype="F32"
)  # fmt: skip

Settings = LlamaCppSettings | TransformersSettings


@dataclass(frozen=True)
class Peaks:
    """VmHWM of a fresh worker in bytes: after loading, and with the context full."""

    loaded: int
    full: int


@dataclass(frozen=True)
class Model:
    """A model to measure with.

    Attributes:
        open: gives its facts for the time of use; what it wrote is removed after.
        memory: predicts.
        measure: measures.
        settings: the configurations; `quick` ones first.
        needs_bytes: memory, and disk, that the machine must have free.
        quick: how many configurations are short.
    """

    name: str
    open: Callable[[], AbstractContextManager[ModelFacts]]
    memory: MemoryModel
    measure: Callable[[ModelFacts, Settings], Peaks]
    settings: tuple[Settings, ...]
    quick: int = 0
    needs_bytes: int = 0


@dataclass(frozen=True)
class Comparison:
    """One configuration: what was predicted, what was measured."""

    model: str
    configuration: str
    predicted: int
    measured: int
    predicted_load: int
    measured_load: int
    terms: dict[str, int]

    @property
    def error(self) -> float:
        return self.predicted / self.measured - 1

    @property
    def load_error(self) -> float:
        return self.predicted_load / self.measured_load - 1

    @property
    def fine(self) -> bool:
        return BELOW <= self.error <= WORST


def measure_llama_cpp(facts: ModelFacts, settings: Settings) -> Peaks:
    """Load in a fresh worker; fill every sequence to n − 32 and generate 32 tokens in each, all at once."""
    if not isinstance(settings, LlamaCppSettings):
        raise TypeError("these are the settings of another engine")
    worker = Worker(prestart("llama_cpp"))
    try:
        worker.load(facts.files, settings)
        loaded = _peak(worker)
        with ThreadPoolExecutor(settings.batch) as sequences:
            list(sequences.map(lambda i: _fill(worker, facts, settings, i), range(settings.batch)))
        return Peaks(loaded, _peak(worker))
    finally:
        worker.close()


def measure_transformers(facts: ModelFacts, settings: Settings) -> Peaks:
    """Load a checkpoint in a bare process, fill the context of the whole batch and generate as above."""
    if not isinstance(settings, TransformersSettings) or facts.config_file is None:
        raise TypeError("these are the settings of another engine")
    peaks = bare_transformers.measure(facts.config_file.parent, settings)
    return Peaks(peaks.load, peaks.end)


def _fill(worker: Worker, facts: ModelFacts, settings: LlamaCppSettings, sequence: int) -> None:
    """A prompt of its own for each sequence, so that none can reuse another's cache."""
    step = 7 + 2 * sequence
    ids = [3 + (sequence + step * i) % (facts.vocab_size - 3) for i in range(settings.context - 32)]
    for _ in worker.generate([ids], Sampling(max_tokens=32, temperature=0, ignore_eos=True)):
        pass


def _peak(worker: Worker) -> int:
    memory = read_process_memory(worker.pid)
    if memory is None or memory.peak_bytes is None:
        raise SystemExit("The worker is gone, or this system does not keep a process's peak memory.")
    return memory.peak_bytes


def predict(memory: MemoryModel, facts: ModelFacts, settings: Settings) -> Estimate:
    """The memory model's figures with everything on the CPU."""
    hardware = probe()
    assignment = (CPU,) * len(memory.units(facts, settings, hardware))
    estimate = memory.estimate(facts, settings, hardware, assignment)
    if estimate.missing:
        raise SystemExit(f"{facts.id}: {' '.join(estimate.missing.values())}")
    return estimate


def compare(model: Model, facts: ModelFacts, settings: Settings) -> Comparison:
    """Predict, then measure."""
    estimate = predict(model.memory, facts, settings)
    peaks = model.measure(facts, settings)
    return Comparison(
        model.name,
        describe(settings),
        predicted=max(sum(term.bytes for term in estimate.terms), estimate.load_peak[CPU]),
        measured=peaks.full,
        predicted_load=estimate.load_peak[CPU],
        measured_load=peaks.loaded,
        terms={term.name: term.bytes for term in estimate.terms},
    )


def describe(settings: Settings) -> str:
    """The configuration in a few words: what differs from the usual."""
    words = [f"context {settings.context}"]
    if isinstance(settings, TransformersSettings):
        words.insert(0, settings.precision)
    if settings.batch > 1:
        words.append(f"batch {settings.batch}")
    if isinstance(settings, LlamaCppSettings):
        if settings.ubatch != 512:
            words.append(f"ubatch {settings.ubatch}")
        if settings.kv_precision != "f16":
            words.append(f"cache {settings.kv_precision}")
        if not settings.mmap:
            words.append("read, not mapped")
    return ", ".join(words)


def print_comparison(found: Comparison) -> None:
    print(
        f"{found.model:>12} {found.configuration:<32} {found.predicted / MB:>9.1f} {found.measured / MB:>9.1f}"
        f" {found.error:>+7.2%} {found.predicted_load / MB:>9.1f} {found.measured_load / MB:>9.1f}"
        f" {found.load_error:>+7.2%}  {'' if found.fine else 'OUT'}",
        flush=True,
    )


def check_engine(facts: ModelFacts, context: int) -> Iterator[tuple[str, bool]]:
    """Cache and compute by formula and by the engine, as a line; and whether they are within the bounds."""
    for flash in (True, False):
        settings = LlamaCppSettings(context=context, flash_attention=flash)
        engine = dry_run(facts.files, settings)
        cache, compute = kv_cache_bytes(facts, settings), compute_buffer_bytes(facts, settings)
        cache_error = cache / engine.kv_cache_bytes - 1
        compute_error = compute / engine.compute_buffer_bytes - 1
        yield (
            f"{facts.id:>12} {context:>6}  flash attention {'on ' if flash else 'off'}"
            f"  cache {cache / MB:.2f} / {engine.kv_cache_bytes / MB:.2f} {cache_error:+.2%}"
            f"  compute {compute / MB:.2f} / {engine.compute_buffer_bytes / MB:.2f} {compute_error:+.2%}",
            abs(cache_error) <= 0.01 and abs(compute_error) <= 0.05,
        )


def baseline() -> int:
    """What a worker holds beyond the other terms: a model of a few kilobytes, loaded and run."""
    with _written("smallest", lambda path: random_gguf.write(path, SMALLEST)) as facts:
        settings = _llama(512)
        others = sum(term.bytes for term in predict(LlamaCppMemory(baseline_bytes=0), facts, settings).terms)
        return measure_llama_cpp(facts, settings).full - others


def _llama(context: int, batch: int = 1, **others: int) -> LlamaCppSettings:
    """Our settings, with this machine's threads."""
    cores = probe().cpu.cores_logical
    return LlamaCppSettings(
        context=context, batch=batch, threads=max(1, cores - 1), prefill_threads=cores, **others
    )


def _torch(precision: Precision, context: int, batch: int = 1) -> TransformersSettings:
    """The settings of a precision, with this machine's threads."""
    compute: ComputeDtype = "fp32" if precision == "fp32" else "bf16"
    threads = probe().cpu.cores_logical
    return TransformersSettings(context, batch, precision=precision, compute_dtype=compute, threads=threads)


@contextlib.contextmanager
def _checkpoint() -> Iterator[ModelFacts]:
    with tempfile.TemporaryDirectory() as folder:
        yield read_checkpoint(FolderSource(smollm2_checkpoint.write(Path(folder) / "smollm2")), id="smollm2")


@contextlib.contextmanager
def _starter(name: str) -> Iterator[ModelFacts]:
    yield read_facts(resolve(name).files, id=name)


@contextlib.contextmanager
def _written(name: str, write: Callable[[Path], Path]) -> Iterator[ModelFacts]:
    with tempfile.TemporaryDirectory() as folder:
        yield read_facts([write(Path(folder) / f"{name}.gguf")], id=name)


def llama_cpp_models() -> Iterator[Model]:
    """Two real models and three of random weights: an unseen shape, 1B and 8B."""
    memory, measure = LlamaCppMemory(), measure_llama_cpp
    yield Model(
        "random", lambda: _written("random", lambda path: random_gguf.write(path, UNSEEN)), memory, measure,
        (_llama(512), _llama(2048), _llama(512, 8), replace(_llama(512), mmap=False)), quick=1,
    )  # fmt: skip
    yield Model(
        "smollm2", lambda: _starter("smollm2"), memory, measure,
        (_llama(512), _llama(2048), _llama(8192), _llama(512, 4), _llama(2048, 4), _llama(512, 8)), quick=1,
    )  # fmt: skip
    yield Model(
        "gemma3-270m", lambda: _starter("gemma3-270m"), memory, measure,
        (
            _llama(512), _llama(4096), _llama(8192), _llama(1024, 4), _llama(2048, ubatch=64),
            replace(_llama(4096), kv_precision="q8_0"),
        ),
        quick=1,
    )  # fmt: skip
    for name, shape, settings in (
        ("llama-1b", big_gguf.LLAMA_1B, (_llama(512), _llama(2048), _llama(512, 2))),
        ("llama-8b", big_gguf.LLAMA_8B, (_llama(512),)),
    ):
        yield Model(
            name, lambda name=name, shape=shape: _written(name, lambda path: big_gguf.write(path, shape)),
            memory, measure, settings, needs_bytes=big_gguf.file_bytes(shape) * (2 if shape.dtype == "Q4_0" else 1) + GIB,
        )  # fmt: skip


def transformers_models() -> Iterator[Model]:
    """A real checkpoint at every precision."""
    yield Model(
        "smollm2 hf", _checkpoint, TransformersMemory(), measure_transformers,
        (
            _torch("bf16", 512), _torch("bf16", 2048), _torch("bf16", 512, 4),
            _torch("fp32", 512), _torch("fp32", 2048), _torch("int8", 512), _torch("int8", 512, 4),
            _torch("nf4", 512), _torch("nf4", 2048), _torch("nf4", 512, 4), _torch("nf4-dq", 512),
        ),
        needs_bytes=3 * GIB,
    )  # fmt: skip


def room_for(model: Model) -> str | None:
    """Why the machine cannot take a model now, or None."""
    free = MemoryProbe().available_bytes()
    if free < model.needs_bytes:
        return f"{free / GIB:.1f} GiB of memory are free, it takes {model.needs_bytes / GIB:.1f}"
    disk = shutil.disk_usage(tempfile.gettempdir()).free
    if disk < model.needs_bytes:
        return f"{disk / GIB:.1f} GiB of disk are free, it takes {model.needs_bytes / GIB:.1f}"
    return None


def compare_all(models: Sequence[Model], only: str, quick: bool) -> Iterator[Comparison]:
    """Every configuration that is wanted, one after another."""
    for model in models:
        chosen = model.settings[: model.quick] if quick else model.settings
        chosen = tuple(s for s in chosen if re.search(only, f"{model.name} {describe(s)}"))
        reason = room_for(model) if chosen else None
        if reason is not None:
            print(f"{model.name:>12} left out: {reason}", file=sys.stderr)
        elif chosen:
            with model.open() as facts:
                for settings in chosen:
                    try:
                        yield compare(model, facts, settings)
                    except WorkerDiedError as error:
                        print(f"{model.name:>12} {describe(settings)}: {error}", file=sys.stderr)


def engine_lines(quick: bool) -> Iterator[tuple[str, bool]]:
    """The formula against the engine for the small models."""
    for model in llama_cpp_models():
        if model.quick:
            with model.open() as facts:
                contexts = sorted({settings.context for settings in model.settings})
                for context in contexts[:1] if quick else contexts:
                    yield from check_engine(facts, context)


def verdict(found: Sequence[Comparison]) -> bool:
    """Print the mean and the extremes; whether all totals are within the bounds."""
    errors = [comparison.error for comparison in found]
    mean = sum(abs(error) for error in errors) / len(errors)
    print(
        f"\n{len(errors)} configurations: mean |error| {mean:.2%}, from {min(errors):+.2%} to {max(errors):+.2%}"
    )
    return mean <= MEAN and all(comparison.fine for comparison in found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one short context of each small model")
    parser.add_argument("--only", default="", metavar="REGEX", help="configurations whose line matches")
    parser.add_argument("--json", action="store_true", help="one document with every term, and nothing else")
    options = parser.parse_args()
    comparisons = compare_all([*llama_cpp_models(), *transformers_models()], options.only, options.quick)
    if options.json:
        print(json.dumps([asdict(c) | {"error": c.error, "fine": c.fine} for c in comparisons], indent=1))
        return 0
    print(
        f"{'model':>12} {'configuration':<32} {'plan':>9} {'measured':>9} {'error':>7} {'load':>9} {'measured':>9}"
    )
    found = []
    for comparison in comparisons:
        print_comparison(comparison)
        found.append(comparison)
    fine = verdict(found) if found else False
    if not options.only:
        print("\nformula / engine")
        for line, within in engine_lines(options.quick):
            print(line, flush=True)
            fine &= within
        print(f"\nbaseline: {baseline():,} bytes measured now, {BASELINE_BYTES:,} used")
    print("within the bounds" if fine else "OUT OF BOUNDS")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
