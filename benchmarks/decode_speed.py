"""Predicted against measured decode speed, and the bandwidth probe against a plain reader.

    python benchmarks/decode_speed.py [--rounds 12] [--only NAME…]

For each model and setting a worker decodes 32 tokens, round after round, each between two readings of the memory's
bandwidth with as many threads, so that a neighbour's work weighs on both. The context is half full, as the estimate
assumes. Printed: bytes of weights read for a token, the fastest and the median round, the plan's estimate and limit
with the best bandwidth seen, estimate ÷ fastest, and round by round estimate ÷ measured with that round's bandwidth
(median, smallest to largest). Last, the probe beside NumPy's `max` over the same amount.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import big_gguf
import numpy as np

from shoestring.engines.base import Finished, Sampling
from shoestring.hardware.base import Hardware
from shoestring.hardware.memory_reading import measure_bandwidth
from shoestring.hardware.probe import probe
from shoestring.models.facts import ModelFacts
from shoestring.models.gguf_facts import read_facts
from shoestring.models.reference import resolve
from shoestring.planning.base import CPU, LlamaCppSettings, Plan, PlanBytes, TokensPerSecond
from shoestring.planning.llama_cpp.model import LlamaCppMemory
from shoestring.planning.speed import decode_speed
from shoestring.runtime.session import Session, open_session

TOKENS = 32
HALF_B = big_gguf.BigShape(24, 896, 14, 2, 64, 4864, vocabulary=151_936, merges=151_387, tied=True)
"""Qwen2 0.5B (its `config.json`), as a model of the llama architecture."""


@dataclass(frozen=True)
class Case:
    """A model at a setting. `make` gives its files below a scratch folder."""

    name: str
    make: Callable[[Path], tuple[Path, ...]]
    context: int = 64
    batch: int = 1


def random(shape: big_gguf.BigShape, dtype: str) -> Callable[[Path], tuple[Path, ...]]:
    return lambda folder: (big_gguf.write(folder / f"{dtype}.gguf", replace(shape, dtype=dtype)),)


def starter(name: str) -> Callable[[Path], tuple[Path, ...]]:
    return lambda _: resolve(name).files


CASES = (
    Case("smollm2", starter("smollm2")),
    Case("smollm2, long", starter("smollm2"), context=4096),
    Case("gemma3-270m", starter("gemma3-270m")),
    Case("0.5B Q4_0", random(HALF_B, "Q4_0")),
    Case("0.5B Q8_0", random(HALF_B, "Q8_0")),
    Case("0.5B BF16", random(HALF_B, "BF16")),
    Case("1B Q4_0", random(big_gguf.LLAMA_1B, "Q4_0")),
    Case("1B Q8_0", random(big_gguf.LLAMA_1B, "Q8_0")),
    Case("0.5B Q4_0, 4 at once", random(HALF_B, "Q4_0"), batch=4),
    Case("0.5B Q8_0, 4 at once", random(HALF_B, "Q8_0"), batch=4),
)


@dataclass(frozen=True)
class Round:
    """Tokens per second of all sequences, and the bandwidths beside it in bytes per second."""

    rate: float
    decode_bandwidth: float
    bandwidth: float


def plan_of(settings: LlamaCppSettings) -> Plan:
    """A plan that nobody made: what a session needs of it."""
    nothing = PlanBytes(0, 0, 0, 0, 0, 0)
    speed = TokensPerSecond()
    return Plan(
        "llama_cpp",
        "",
        "f16",
        settings.context,
        settings.batch,
        {},
        nothing,
        0,
        True,
        0,
        speed,
        "formula",
        settings,
        "",
    )


def decode(session: Session, prompts: list[list[int]]) -> float:
    """Tokens per second of all prompts together."""
    rates: list[float] = []

    def one(prompt: list[int]) -> None:
        events = session.generate(prompt, Sampling(max_tokens=TOKENS, temperature=0, ignore_eos=True))
        done = next(event for event in events if isinstance(event, Finished))
        rates.append(done.usage.completion_tokens / done.timings.decode_s)

    threads = [threading.Thread(target=one, args=(prompt,)) for prompt in prompts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(rates)


def reading(threads: int) -> float:
    found = measure_bandwidth(threads, 0.4)
    if found is None:
        raise SystemExit("The memory's bandwidth cannot be measured here.")
    return found


def rounds_of(facts: ModelFacts, settings: LlamaCppSettings, cores: int, rounds: int) -> list[Round]:
    length = max(1, settings.context // 2 - TOKENS // 2)
    prompts = [[3 + (7 * i + k) % 20_000 for i in range(length)] for k in range(settings.batch)]
    found = []
    with open_session(facts, plan_of(settings), guard=False) as session:
        decode(session, prompts)  # pages come in, and the prompt is kept
        for _ in range(rounds):
            fewer = reading(settings.threads)
            rate = decode(session, prompts)
            found.append(Round(rate, fewer, max(fewer, reading(cores))))
    return found


def predicted(
    facts: ModelFacts, settings: LlamaCppSettings, hardware: Hardware, seen: Round
) -> TokensPerSecond:
    machine = replace(
        hardware, bandwidth_bytes_per_s=seen.bandwidth, decode_bandwidth_bytes_per_s=seen.decode_bandwidth
    )
    units = LlamaCppMemory().units(facts, settings, machine)
    return decode_speed(units, (CPU,) * len(units), machine, batch=settings.batch, engine="llama_cpp")


def show(
    case: Case, facts: ModelFacts, settings: LlamaCppSettings, hardware: Hardware, found: list[Round]
) -> None:
    best = Round(
        *(max(getattr(one, name) for one in found) for name in ("rate", "decode_bandwidth", "bandwidth"))
    )
    units = LlamaCppMemory().units(facts, settings, hardware)
    speed = predicted(facts, settings, hardware, best)
    each = [predicted(facts, settings, hardware, one).estimate or 0.0 for one in found]
    ratios = [estimate / one.rate for estimate, one in zip(each, found, strict=True)]
    median = statistics.median(one.rate for one in found)
    print(
        f"{case.name:>20} {sum(unit.read for unit in units) / 1e6:>7.1f} {best.decode_bandwidth / 1e9:>5.1f}"
        f" {best.bandwidth / 1e9:>5.1f} {best.rate:>7.1f} {median:>7.1f} {speed.estimate or 0:>8.1f}"
        f" {speed.limit or 0:>7.1f} {(speed.estimate or 0) / best.rate:>6.2f}"
        f"  {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
        flush=True,
    )


def numpy_reading(threads: int, seconds: float = 1.0) -> float:
    """Bytes per second of `max` over the same amount of memory, the best of many rounds."""
    parts = np.split(np.ones(threads << 25, np.int64), threads)
    best, end = 0.0, time.perf_counter() + seconds
    with ThreadPoolExecutor(threads) as pool:
        while time.perf_counter() < end:
            start = time.perf_counter()
            list(pool.map(np.max, parts))
            best = max(best, sum(part.nbytes for part in parts) / (time.perf_counter() - start))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--only", nargs="+", help="names of cases", default=[case.name for case in CASES])
    options = parser.parse_args()
    hardware = probe()
    cores = hardware.cpu.cores_logical
    print(
        f"{'':>20} {'MB':>7} {'GB/s':>5} {'all':>5} {'fastest':>7} {'median':>7} {'estimate':>8} {'limit':>7} {'ratio':>6}"
    )
    for case in CASES:
        if case.name not in options.only:
            continue
        with tempfile.TemporaryDirectory() as scratch:
            facts = read_facts(case.make(Path(scratch)), id=case.name)
            settings = LlamaCppSettings(
                context=case.context, batch=case.batch, threads=max(1, cores - 1), prefill_threads=cores
            )
            show(case, facts, settings, hardware, rounds_of(facts, settings, cores, options.rounds))
    for threads in sorted({max(1, cores - 1), cores}):
        pairs = [(reading(threads), numpy_reading(threads)) for _ in range(5)]
        ratios = [ours / theirs for ours, theirs in pairs]
        print(
            f"probe / NumPy, {threads} threads: best {max(a for a, _ in pairs) / max(b for _, b in pairs):.3f},"
            f" pairs {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
        )


if __name__ == "__main__":
    main()
