"""How many threads, and should waiting ones spin or sleep, on a machine that is shared?

    python benchmarks/waiting_threads.py [--seconds 30]

Decode and prefill tok/s of smollm2 for each choice, on the machine as it is and beside one and two busy neighbours
(processes that spin). All choices are loaded at once and taken in turn; every number of neighbours gets the
same time, since a choice that collapses would otherwise take all of it.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

from bare_peer import BarePeer, Rates

from shoestring.models.reference import resolve

TOKENS = 16
PROMPT_TOKENS = 128


@dataclass(frozen=True)
class Choice:
    name: str
    threads: int
    prefill_threads: int
    environment: tuple[tuple[str, str], ...] = ()


def choices(cores: int) -> list[Choice]:
    fewer = max(1, cores - 1)
    brief = (("GOMP_SPINCOUNT", "1000"),)
    sleep = (("OMP_WAIT_POLICY", "PASSIVE"),)
    return [
        Choice("all cores, spin (llama.cpp's default)", cores, cores),
        Choice("all cores, spin 1,000 times", cores, cores, brief),
        Choice("all cores, sleep", cores, cores, sleep),
        Choice("one fewer", fewer, fewer, sleep),
        Choice("one fewer to decode, spin", fewer, cores),
        Choice("one fewer to decode, spin 1,000 times", fewer, cores, brief),
        Choice("one fewer to decode, sleep", fewer, cores, sleep),
    ]


def start(choice: Choice) -> BarePeer:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        os.environ.pop(name, None)
    os.environ.update(choice.environment)
    model = resolve("smollm2").files[0]
    return BarePeer(
        model, {"context": 512, "threads": choice.threads, "prefill_threads": choice.prefill_threads}
    )


def spread(found: list[float]) -> str:
    return f"{statistics.median(found):.0f} ({min(found):.0f} to {max(found):.0f})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=30, help="for each number of neighbours")
    seconds = parser.parse_args().seconds
    peers = {choice: start(choice) for choice in choices(os.cpu_count() or 1)}
    rng = random.Random(0)
    columns: dict[Choice, list[str]] = {choice: [] for choice in peers}
    for neighbours in range(3):
        busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(neighbours)]
        rates: dict[Choice, list[Rates]] = {choice: [] for choice in peers}
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for choice, peer in peers.items():
                prompt = [rng.randrange(100, 40_000) for _ in range(PROMPT_TOKENS)]
                rates[choice].append(peer.generate(prompt, TOKENS))
        for process in busy:
            process.kill()
            process.wait()
        for choice, found in rates.items():
            both = [spread([rate.decode for rate in found]), spread([rate.prefill for rate in found])]
            columns[choice].append(" / ".join(both))
    print("decode / prefill tok/s, median (smallest to largest), beside 0, 1 and 2 busy neighbours")
    for choice, shown in columns.items():
        print(f"{choice.name:<40} " + "   ".join(f"{text:<36}" for text in shown))
    for peer in peers.values():
        peer.close()


if __name__ == "__main__":
    main()
