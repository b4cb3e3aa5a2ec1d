"""The transformers engine beside plain transformers code that does the same, each in fresh processes that take turns.

    python benchmarks/transformers_engine.py [--rounds 5] [--precision nf4 …] [--folder CHECKPOINT]

A round starts both for each precision: load smollm2's checkpoint, ask for the capital of France, decode greedily. Ours is
`shoestring.load`; theirs is what a good user writes. Timed: from the process's start to its first text, and decoding.
Measured: VmHWM when loaded. The first round of ours then fills the context, and holds its peak against the plan's.
Prints a table and the ratios ours ÷ theirs with their spread; theirs ÷ theirs (in bf16) is the control.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import smollm2_checkpoint
from statistics_of_ratios import paired_ratio

PRECISIONS = ("fp32", "bf16", "int8", "nf4", "nf4-dq")
CONTEXT, TOKENS, REPETITIONS = 512, 48, 3
QUESTION = "What is the capital of France?"
STORY = "Tell me a long story about the sea."


def _peak(pid: int | str) -> int:
    """VmHWM of a process, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("this system does not tell a process's peak")


def ours(folder: str, precision: str, started: float, *, full: bool) -> dict[str, Any]:
    """What a user of ours writes."""
    import shoestring

    model = shoestring.load(folder, engine="transformers", precision=precision, context=CONTEXT)
    worker = model.session._life.backend.pid
    found: dict[str, Any] = {"load_peak": _peak(worker), "parent": _peak("self")}
    stream = model.chat(QUESTION, temperature=0, max_tokens=12, stream=True)
    text = next(stream)
    found["first_s"] = time.monotonic() - started
    found["answer"] = text + "".join(stream)
    rates = []
    for _ in range(REPETITIONS):
        answer = model.chat(STORY, temperature=0, max_tokens=TOKENS, ignore_eos=True)
        rates.append(answer.timings.decode_tokens_per_s)
    found["decode"] = statistics.median(rates)
    found["footprint"] = model.load_report.footprint_bytes
    found["weights"] = model.load_report.weights_bytes
    if full:
        from shoestring import Sampling

        prompt = [(n * 37) % 40_000 + 100 for n in range(CONTEXT - 32)]
        for _ in model.session.generate(prompt, Sampling(temperature=0, ignore_eos=True, max_tokens=32)):
            pass
        plan = model.plan.bytes
        found |= {"plan": plan.total, "plan_load": plan.load_peak, "peak": _peak(worker)}
    model.close()
    return found


def theirs(folder: str, precision: str, started: float) -> dict[str, Any]:
    """What a good user of transformers writes."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
    from transformers.generation.streamers import TextStreamer
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
    quantization = None
    if precision == "int8":
        quantization = BitsAndBytesConfig(load_in_8bit=True)
    elif precision.startswith("nf4"):
        quantization = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=precision.endswith("-dq"),
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, quantization_config=quantization)
    model.eval()
    found: dict[str, Any] = {"load_peak": _peak("self")}
    ticks: list[float] = []

    class Streamer(TextStreamer):
        def put(self, value: Any) -> None:
            super().put(value)
            ticks.append(time.monotonic())

        def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
            found.setdefault("first_s", time.monotonic() - started)

    def generate(question: str, **options: Any) -> None:
        ticks.clear()
        inputs = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        streamer = Streamer(tokenizer, skip_prompt=True)
        with torch.inference_mode():
            model.generate(**inputs, do_sample=False, streamer=streamer, **options)

    generate(QUESTION, max_new_tokens=12)
    found.setdefault("first_s", time.monotonic() - started)
    rates = []
    for _ in range(REPETITIONS):
        generate(STORY, max_new_tokens=TOKENS, min_new_tokens=TOKENS)
        steps = ticks[1:]  # the first is the prompt's
        rates.append((len(steps) - 1) / (steps[-1] - steps[0]))
    return found | {"decode": statistics.median(rates)}


def run(who: str, folder: Path, precision: str, *, full: bool = False) -> dict[str, Any]:
    """One of them in a process of its own."""
    started = time.monotonic()  # one clock for all processes of a Linux machine
    arguments = [
        sys.executable,
        __file__,
        "--child",
        who,
        str(folder),
        precision,
        str(started),
        str(int(full)),
    ]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{who} at {precision} failed: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _child(who: str, folder: str, precision: str, started: str, full: str) -> None:
    if who == "ours":
        found = ours(folder, precision, float(started), full=full == "1")
    else:
        found = theirs(folder, precision, float(started))
    print(json.dumps(found))


def _measure(folder: Path, precisions: list[str], rounds: int) -> dict[str, list[tuple[Any, Any]]]:
    pairs: dict[str, list[tuple[Any, Any]]] = defaultdict(list)
    for round_ in range(rounds + 1):  # the first warms the file cache up, and is where the context is filled
        for precision in precisions:
            order = ("ours", "theirs") if round_ % 2 else ("theirs", "ours")
            found = {who: run(who, folder, precision, full=not round_ and who == "ours") for who in order}
            pairs[precision].append((found["ours"], found["theirs"]))
            print(".", end="", flush=True, file=sys.stderr)
    print(file=sys.stderr)
    return pairs


def _control(folder: Path, rounds: int) -> list[tuple[Any, Any]]:
    return [(run("theirs", folder, "bf16"), run("theirs", folder, "bf16")) for _ in range(rounds)]


def _table(pairs: dict[str, list[tuple[Any, Any]]]) -> float:
    """The table of predicted beside measured; the largest error."""
    mb = 1e6
    head = "precision  answer                               plan  measured   error   plan load  measured   error  theirs load  footprint  weights  tok/s"
    print(head)
    worst = 0.0
    for precision, found in pairs.items():
        first, other = found[0]
        total, load = (
            first["plan"] / first["peak"] - 1,
            first["plan_load"] / first["load_peak"] - 1,
        )
        worst = max(worst, abs(total), abs(load))
        decode = statistics.median(mine["decode"] for mine, _ in found[1:])
        print(
            f"{precision:9}  {first['answer'].strip()[:34]:34} {first['plan'] / mb:8.1f} {first['peak'] / mb:9.1f} {total:+7.2%}"
            f" {first['plan_load'] / mb:11.1f} {first['load_peak'] / mb:9.1f} {load:+7.2%} {other['load_peak'] / mb:12.1f}"
            f" {first['footprint'] / mb:10.1f} {first['weights'] / mb:8.1f} {decode:6.1f}"
        )
    return worst


def _ratios(pairs: dict[str, list[tuple[Any, Any]]]) -> None:
    for key, name in (
        ("load_peak", "peak while loading"),
        ("first_s", "start to first token"),
        ("decode", "decode tok/s"),
    ):
        for precision, found in pairs.items():
            mine, other = ([pair[i][key] for pair in found[1:]] for i in (0, 1))
            print(f"{name:20} {precision:7} ours / theirs {paired_ratio(mine, other)}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", nargs="+", default=list(PRECISIONS), choices=PRECISIONS)
    parser.add_argument("--folder", type=Path, default=Path("smollm2-checkpoint"))
    given = parser.parse_args()
    folder = smollm2_checkpoint.write(given.folder).absolute()
    pairs = _measure(folder, given.precision, given.rounds)
    worst = _table(pairs)
    print(f"worst error {worst:.2%}\n")
    _ratios(pairs)
    control = _control(folder, given.rounds)
    for key in ("first_s", "decode"):
        print(
            f"control: theirs / theirs, {key}: {paired_ratio(*zip(*[(a[key], b[key]) for a, b in control], strict=True))}"
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        _child(*sys.argv[2:])
    else:
        main()
