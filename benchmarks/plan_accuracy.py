"""Predicted against measured memory: does the plan tell the truth?

    python benchmarks/plan_accuracy.py [--quick]

For each model and context a fresh worker fills the context to n − 32 and generates 32 tokens. Printed: the plan's
total, the worker's VmHWM, the error and the terms; the peak after loading alone; and the formula's cache and
compute beside the engine's own (dry run) with flash attention on and off. Exit status 1 when a figure is outside
its bounds: total within 5 % and never more than 2 % below, cache within 1 %, compute within 5 %. The last lines
measure the worker's baseline anew (`shoestring.planning.llama_cpp.runtime.BASELINE_BYTES`).
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import random_gguf

from shoestring.engines.base import Sampling
from shoestring.hardware.probe import probe
from shoestring.models.facts import ModelFacts
from shoestring.models.gguf_facts import read_facts
from shoestring.models.reference import resolve
from shoestring.planning.base import LlamaCppSettings, PlanReport, Request
from shoestring.planning.llama_cpp.compute import compute_buffer_bytes
from shoestring.planning.dry_run import dry_run
from shoestring.planning.llama_cpp.kv_cache import kv_cache_bytes
from shoestring.planning.llama_cpp.runtime import BASELINE_BYTES
from shoestring.planning.solver import plan
from shoestring.runtime.session import open_session

MB = 1e6
STARTERS = {"smollm2": (512, 2048, 8192), "gemma3-270m": (512, 4096, 8192)}
UNSEEN = random_gguf.Shape(
    architecture="qwen2", layers=10, hidden=640, heads=10, kv_heads=2, feed_forward=1728, vocabulary=60_000,
    dtype="Q4_0", bias=True, merges=30_000,
)  # fmt: skip
"""A shape that was not used to derive anything: rearranged weights, biases, an untied head."""
SMALLEST = random_gguf.Shape(
    layers=1, hidden=32, heads=1, kv_heads=1, head_dim=32, feed_forward=32, vocabulary=128, context=512, dtype="F32"
)  # fmt: skip


@dataclass(frozen=True)
class Peaks:
    """VmHWM of a fresh worker in bytes: after loading, and with the context full."""

    loaded: int
    full: int


def measure(facts: ModelFacts, report: PlanReport) -> Peaks:
    """Load in a fresh worker, fill the context to n − 32, generate 32 tokens."""
    asked = report.plans[0]
    with open_session(facts, asked, guard=False) as session:
        session.load()
        loaded = session.memory().measured_peak_bytes
        ids = [3 + 7 * i % (facts.vocab_size - 3) for i in range(asked.context - 32)]
        for _ in session.generate(ids, Sampling(max_tokens=32, temperature=0, ignore_eos=True)):
            pass
        full = session.memory().measured_peak_bytes
    if loaded is None or full is None:
        raise SystemExit("This system does not keep a process's peak memory.")
    return Peaks(loaded, full)


def check_total(facts: ModelFacts, context: int) -> bool:
    """Print one comparison of totals; whether it is within the bounds."""
    report = plan(facts, probe(), Request(context=context))
    peaks, predicted = measure(facts, report), report.plans[0].bytes
    error = predicted.total / peaks.full - 1
    load_error = predicted.load_peak / peaks.loaded - 1
    fine = -0.02 <= error <= 0.05
    print(
        f"{facts.id:>12} {context:>6} {predicted.total / MB:>9.1f} {peaks.full / MB:>9.1f} {error:>+7.2%}"
        f" {predicted.load_peak / MB:>9.1f} {peaks.loaded / MB:>9.1f} {load_error:>+7.2%}  {'' if fine else 'OUT'}"
    )
    print("".join(f"{'':>14}{name} {value / MB:.1f}" for name, value in report.terms.items() if value))
    return fine


def check_engine(facts: ModelFacts, context: int) -> bool:
    """Print cache and compute by formula and by the engine; whether they are within the bounds."""
    fine = True
    for flash in (True, False):
        settings = LlamaCppSettings(context=context, flash_attention=flash)
        engine = dry_run(facts.files, settings)
        cache, compute = kv_cache_bytes(facts, settings), compute_buffer_bytes(facts, settings)
        cache_error = cache / engine.kv_cache_bytes - 1
        compute_error = compute / engine.compute_buffer_bytes - 1
        fine &= abs(cache_error) <= 0.01 and abs(compute_error) <= 0.05
        print(
            f"{facts.id:>12} {context:>6}  flash attention {'on ' if flash else 'off'}"
            f"  cache {cache / MB:.2f} / {engine.kv_cache_bytes / MB:.2f} {cache_error:+.2%}"
            f"  compute {compute / MB:.2f} / {engine.compute_buffer_bytes / MB:.2f} {compute_error:+.2%}"
        )
    return fine


def baseline(folder: Path) -> int:
    """What a worker holds beyond the other terms: a model of a few kilobytes, loaded and run."""
    facts = read_facts([random_gguf.write(folder / "smallest.gguf", SMALLEST)], id="smallest")
    report = plan(facts, probe(), Request(context=512), baseline_bytes=0)
    return measure(facts, report).full - report.plans[0].bytes.total


def cases(folder: Path, quick: bool) -> Iterator[tuple[ModelFacts, tuple[int, ...]]]:
    """Models with the contexts to try; `quick` leaves the long ones out."""
    random = read_facts([random_gguf.write(folder / "random.gguf", UNSEEN)], id="random")
    yield random, (512, 2048)
    for name, contexts in STARTERS.items():
        facts = read_facts(resolve(name).files, id=name)
        yield facts, contexts[:1] if quick else contexts


def main() -> int:
    fine = True
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        print(
            f"{'model':>12} {'context':>6} {'plan':>9} {'measured':>9} {'error':>7} {'load':>9} {'measured':>9}"
        )
        found = list(cases(folder, "--quick" in sys.argv[1:]))
        for facts, contexts in found:
            for context in contexts:
                fine &= check_total(facts, context)
        print("\nformula / engine")
        for facts, contexts in found:
            for context in contexts:
                fine &= check_engine(facts, context)
        print(f"\nbaseline: {baseline(folder):,} bytes measured now, {BASELINE_BYTES:,} used")
    print("within the bounds" if fine else "OUT OF BOUNDS")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
