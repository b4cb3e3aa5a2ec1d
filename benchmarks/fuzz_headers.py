"""10,000 damaged GGUF headers and 500 harmless edits against the reader; 200 that pass in a real worker.

    python benchmarks/fuzz_headers.py                      # both starters, fetched if need be
    python benchmarks/fuzz_headers.py a.gguf b.gguf --mutations 2000 --native 50

Exit status 1 if the reader crashed, refused a harmless edit, or took more than 64 MB. What llama.cpp does with
a header that passed is counted; its crash ends a worker, never this program.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from header_mutations import Mutant, Original, damage, edit, take_apart

from shoestring.engines.base import Sampling
from shoestring.errors import EngineError, InvalidModelFileError, PromptTooLongError, WorkerDiedError
from shoestring.models.gguf.reader import read_header
from shoestring.models.gguf_facts import facts_of
from shoestring.planning.base import LlamaCppSettings
from shoestring.runtime.client import Worker
from shoestring.runtime.process import prestart

PEAK_LIMIT_BYTES = 64 * 10**6
SETTINGS = LlamaCppSettings(context=64, threads=1, prefill_threads=2)
HUNG_AFTER_S = 120


@dataclass
class Tally:
    """What came of a run of headers."""

    outcomes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    accepted: list[int] = field(default_factory=list)
    slowest_s: float = 0.0
    peak_bytes: int = 0


def try_header(original: Original, mutant: Mutant, tally: Tally, traced: bool) -> bool:
    """Read one header as a model; True if it passed. Tracing its allocations makes it several times slower."""
    if traced:
        tracemalloc.start()
    started = time.perf_counter()
    try:
        facts_of(read_header(mutant, name=original.path.name), id="fuzz")
        outcome = "read"
    except InvalidModelFileError as error:
        outcome = "refused"
        tally.reasons["".join("#" if c.isdigit() else c for c in error.message)[:90]] += 1
    except Exception as error:  # noqa: BLE001  (finding those is the point)
        outcome = "crashed"
        tally.failures.append(f"{mutant.what}: {type(error).__name__}: {error}")
    if traced:
        tally.peak_bytes = max(tally.peak_bytes, tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    else:
        tally.slowest_s = max(tally.slowest_s, time.perf_counter() - started)
    tally.outcomes[outcome] += 1
    return outcome == "read"


def write_out(original: Original, mutant: Mutant, target: Path) -> None:
    """The mutant as a real file: its header, then the original's tensor data."""
    with original.path.open("rb") as source, target.open("wb") as file:
        file.write(mutant.header[: mutant.data_offset])
        source.seek(len(original.header))
        shutil.copyfileobj(source, file, 4 * 2**20)
        file.truncate(mutant.size_bytes)


def try_natively(chosen: Iterable[tuple[Original, Mutant]], crashes: list[str]) -> Counter[str]:
    """Load each in a worker of its own, as the product does, and generate two tokens."""
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "mutant.gguf"
        for original, mutant in chosen:
            write_out(original, mutant, target)
            outcome = try_in_worker(target)
            outcomes[outcome] += 1
            if outcome == "killed the worker":
                crashes.append(f"{original.path.name}: {mutant.what}")
    return outcomes


def try_in_worker(file: Path) -> str:
    worker = Worker(prestart())
    watchdog = threading.Timer(HUNG_AFTER_S, worker.kill)
    watchdog.start()
    try:
        worker.load([file], SETTINGS)
        for _ in worker.generate([[1, 5, 6]], Sampling(max_tokens=2, temperature=0)):
            pass
    except WorkerDiedError:
        return "killed the worker"
    except (EngineError, PromptTooLongError):  # a mutant may claim a tiny context
        return "refused by llama.cpp"
    finally:
        watchdog.cancel()
        worker.close()
    return "answered"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", type=Path, help="GGUF files; both starters by default")
    parser.add_argument("--mutations", type=int, default=10_000)
    parser.add_argument("--edits", type=int, default=500)
    parser.add_argument("--native", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--trace-every", type=int, default=20, help="trace the allocations of every n-th header"
    )
    return parser.parse_args()


def starters() -> list[Path]:
    from shoestring.models.reference import resolve

    return [resolve(name).files[0] for name in ("smollm2", "gemma3-270m")]


def mutant(originals: list[Original], seed: int, i: int) -> tuple[Original, Mutant]:
    """Mutant number `i`: made again when it is needed, since thousands of headers are gigabytes."""
    original = originals[i % len(originals)]
    return original, damage(original, random.Random(f"{seed}:{i}"))


def main() -> int:
    args = arguments()
    originals = [take_apart(path) for path in args.files or starters()]
    damaged, edited = Tally(), Tally()
    for original in originals:
        try_header(original, original.as_it_is, edited, traced=True)
    for i in range(args.mutations):
        if try_header(*mutant(originals, args.seed, i), damaged, traced=i % args.trace_every == 0):
            damaged.accepted.append(i)
    for i in range(args.edits):
        original = originals[i % len(originals)]
        harmless = edit(original, random.Random(f"{args.seed}:edit {i}"))
        try_header(original, harmless, edited, traced=i % args.trace_every == 0)
    chosen = random.Random(args.seed).sample(damaged.accepted, min(args.native, len(damaged.accepted)))
    crashes: list[str] = []
    native = try_natively((mutant(originals, args.seed, i) for i in chosen), crashes)
    report(damaged, edited, native, crashes)
    bad = damaged.failures or edited.failures or edited.outcomes["refused"]
    return int(bool(bad) or max(damaged.peak_bytes, edited.peak_bytes) > PEAK_LIMIT_BYTES)


def report(damaged: Tally, edited: Tally, native: Counter[str], crashes: list[str]) -> None:
    for name, tally in (("damaged", damaged), ("originals and harmless edits", edited)):
        print(f"{name}: {dict(tally.outcomes)}")
        print(f"  slowest {tally.slowest_s:.2f} s, peak of those traced {tally.peak_bytes / 1e6:.1f} MB")
        for failure in tally.failures[:20]:
            print("  CRASH", failure)
    print("refusals:")
    for reason, n in damaged.reasons.most_common(25):
        print(f"  {n:6} {reason}")
    for reason, n in edited.reasons.most_common(10):
        print(f"  HARMLESS EDIT REFUSED {n:6} {reason}")
    print(f"accepted mutants in a worker: {dict(native)}; this program lives")
    for crash in crashes:
        print("  ", crash)


if __name__ == "__main__":
    sys.exit(main())
