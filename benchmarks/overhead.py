"""What Shoestring costs over xllamacpp used directly: same file, prompts and settings, one run, alternating.

    python benchmarks/overhead.py [--rounds 40] [--starts 15] [--spin]

The bare script gets the environment of our worker, too: its waiting threads spin only briefly (docs/decisions/0004). With
`--spin` it keeps llama.cpp's default, which is faster on an idle machine and collapses on a busy one.
Three processes hold the model at once: ours, a bare one, and a second bare one for the A/A control. Each
round gives all three the same fresh prompt, in rotating order, and times 48 tokens as the caller sees them.
Then whole processes are started in turn, from nothing to the first token on the screen.
Exit status 1 when a bound is missed: decode and prefill ratio ≥ 0.97, start ≤ 1.3, import and help < 0.2 s.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path

from bare_peer import SCRIPT, BarePeer, Rates
from statistics_of_ratios import Ratio, paired_ratio

from shoestring.engines.base import Sampling, Segment, Token
from shoestring.hardware.probe import probe
from shoestring.models.gguf_facts import read_facts
from shoestring.models.reference import resolve
from shoestring.planning.base import Request
from shoestring.planning.solver import plan
from shoestring.runtime.session import Session, open_session

TOKENS = 48
WARM_UP = 2
PROMPT_TOKENS = 350
QUESTION = "What is the capital of France?"
CONVERSATION = (
    "<|im_start|>system\nYou are a helpful AI assistant.<|im_end|>\n"
    f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
)
FORBIDDEN = ("torch", "xllamacpp", "transformers", "numpy")


def ours(session: Session, prompt: list[int]) -> Rates:
    stamps, pieces = [], []
    start = time.perf_counter()
    for event in session.generate(prompt, Sampling(temperature=0, max_tokens=TOKENS, ignore_eos=True)):
        if isinstance(event, Token):
            stamps.append(time.perf_counter())
            pieces.append(event.text)
    decode = (len(stamps) - 1) / (stamps[-1] - stamps[0])
    return Rates(len(prompt) / (stamps[0] - start), decode, "".join(pieces))


def rates(session: Session, peers: list[BarePeer], rounds: int) -> dict[str, Ratio]:
    rng = random.Random(0)
    sides = [partial(ours, session), *(partial(peer.generate, n_tokens=TOKENS) for peer in peers)]
    found: list[list[Rates]] = [[] for _ in sides]
    for n in range(rounds + WARM_UP):
        prompt = [rng.randrange(100, 40_000) for _ in range(PROMPT_TOKENS)]
        for k in range(len(sides)):
            side = (n + k) % len(sides)
            result = sides[side](prompt)
            if n >= WARM_UP:
                found[side].append(result)
    if any(len({rate.text for rate in same}) > 1 for same in zip(*found, strict=True)):
        raise SystemExit("greedy texts differ between ours and the bare script")
    prefill = [[rate.prefill for rate in side] for side in found]
    decode = [[rate.decode for rate in side] for side in found]
    for name, both in (("decode", decode), ("prefill", prefill)):
        medians = [statistics.median(side) for side in both]
        print(f"median {name} tok/s: ours {medians[0]:.1f}, bare {medians[1]:.1f} and {medians[2]:.1f}")
    return {
        "decode ours/bare": paired_ratio(decode[0], decode[1]),
        "decode A/A bare/bare": paired_ratio(decode[2], decode[1]),
        "prefill ours/bare": paired_ratio(prefill[0], prefill[1]),
        "prefill A/A bare/bare": paired_ratio(prefill[2], prefill[1]),
    }


def seconds_to_first_output(command: list[str]) -> tuple[float, str]:
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0) as process:
        assert process.stdout is not None
        first = process.stdout.read(1)
        elapsed = time.perf_counter() - start
        text = first + process.stdout.read()
    return elapsed, text.decode().strip()


def starts(model: Path, settings: dict[str, int], prompt: list[int], n: int) -> Ratio:
    command = str(Path(sys.executable).with_name("shoestring"))  # what a user types
    product = [command, "run", "smollm2", QUESTION, "--temperature", "0"]
    bare = [sys.executable, str(SCRIPT), str(model), json.dumps(settings), "once", json.dumps(prompt)]
    mine, theirs = [], []
    for k in range(n + 1):
        pair = [(product, mine), (bare, theirs)]
        for command, found in pair if k % 2 else reversed(pair):
            elapsed, text = seconds_to_first_output(command)
            assert text == "The capital of France is Paris.", text
            if k:
                found.append(elapsed)
    print(
        f"median start to first token: ours {statistics.median(mine):.3f} s, bare {statistics.median(theirs):.3f} s"
    )
    return paired_ratio(mine, theirs)


def seconds(command: list[str], n: int = 11) -> float:
    """Median seconds of a whole process."""
    found = []
    for _ in range(n):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        found.append(time.perf_counter() - start)
    return statistics.median(found)


def heavy_modules(code: str) -> list[str]:
    program = f"import sys\n{code}\nprint([m for m in {FORBIDDEN!r} if m in sys.modules])"
    output = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return json.loads(output.stdout.splitlines()[-1].replace("'", '"'))


HELP = """
import contextlib, io
from shoestring.cli import main
sys.argv = ["shoestring", "--help"]
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main()
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--starts", type=int, default=15)
    parser.add_argument("--spin", action="store_true")
    arguments = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its bytecode
    if not arguments.spin:
        os.environ["GOMP_SPINCOUNT"] = "1000"

    resolved = resolve("smollm2")
    facts = read_facts(resolved.files, id="smollm2")
    chosen = plan(facts, probe(), Request()).plans[0]
    settings = {
        key: asdict(chosen.settings)[key] for key in ("context", "threads", "prefill_threads", "ubatch")
    }
    print(f"settings: {settings}")

    peers = [BarePeer(resolved.files[0], settings) for _ in range(2)]
    with open_session(facts, chosen) as session:
        found = rates(session, peers, arguments.rounds)
        prompt = session.tokenize([Segment(CONVERSATION, special=True)])
    for peer in peers:
        peer.close()
    start = starts(resolved.files[0], settings, prompt, arguments.starts)
    import_s = seconds([sys.executable, "-c", "import shoestring"])
    help_s = seconds([sys.executable, "-m", "shoestring", "--help"])
    heavy = heavy_modules("import shoestring") + heavy_modules(HELP)

    for name, ratio in found.items():
        print(f"{name}: {ratio}")
    print(f"start to first token ours/bare: {start}")
    print(
        f"import shoestring {import_s:.3f} s, shoestring --help {help_s:.3f} s, heavy modules loaded: {heavy}"
    )
    kept = (
        found["decode ours/bare"].median >= 0.97
        and found["prefill ours/bare"].median >= 0.97
        and start.median <= 1.3
        and import_s < 0.2
        and help_s < 0.2
        and not heavy
    )
    print("all bounds kept" if kept else "A BOUND IS MISSED")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
