"""How many threads, and how hard should waiting threads spin, on a machine that is shared?

    python benchmarks/threads_and_polling.py [--rounds 6]

Decode tok/s of smollm2 for every thread count and polling level, on a quiet machine and beside one and two
busy neighbours (processes that spin), all configurations loaded at once and taken in turn.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys

from bare_peer import BarePeer

from shoestring.models.reference import resolve

POLLING = (0, 50, 100)
TOKENS = 32


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=6)
    rounds = parser.parse_args().rounds
    model = resolve("smollm2").files[0]
    cores = os.cpu_count() or 1
    choices = [(threads, poll) for threads in sorted({max(1, cores - 1), cores}) for poll in POLLING]
    peers = {
        choice: BarePeer(model, {"context": 512, "threads": choice[0], "poll": choice[1]})
        for choice in choices
    }
    rng = random.Random(0)
    print(f"{'threads':>8} {'poll':>5}   decode tok/s, median (smallest to largest), by busy neighbours")
    found: dict[tuple[int, int], list[str]] = {choice: [] for choice in choices}
    for neighbours in range(3):
        busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(neighbours)]
        rates: dict[tuple[int, int], list[float]] = {choice: [] for choice in choices}
        for n in range(rounds + 1):
            prompt = [rng.randrange(100, 40_000) for _ in range(32)]
            for choice in choices if n % 2 else reversed(choices):
                rate = peers[choice].generate(prompt, TOKENS).decode
                if n:
                    rates[choice].append(rate)
        for process in busy:
            process.kill()
            process.wait()
        for choice, values in rates.items():
            found[choice].append(
                f"{statistics.median(values):6.1f} ({min(values):5.1f} to {max(values):5.1f})"
            )
    for (threads, poll), columns in found.items():
        print(f"{threads:>8} {poll:>5}   {'   '.join(columns)}")
    for peer in peers.values():
        peer.close()


if __name__ == "__main__":
    main()
