"""What the engine adds to the library: decoding through the contract against a plain `model.generate(streamer=…)`.

    python benchmarks/generation_overhead.py [--rounds 40] [--tokens 48] [--precision fp32] [--threads 1] [--folder F]

One process, one model in memory, short rounds in turn: ours, plain, plain again (the A/A control); greedy, then with
the usual sampling. Rates count from the first new token to the last. Beside wall time stands the processor's time,
which other work on the machine disturbs less. Prints ratios ours ÷ plain, with their spread.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import smollm2_checkpoint
from statistics_of_ratios import paired_ratio

from shoestring.engines.base import Sampling, Segment, Token
from shoestring.engines.transformers.load import load
from shoestring.engines.transformers.model import TransformersModel
from shoestring.planning.base import TransformersSettings

PROMPT = "<|im_start|>user\nTell me a long story about the sea.<|im_end|>\n<|im_start|>assistant\n"
COMPUTE = {"fp32": "fp32", "fp16": "fp16"}


@dataclass
class Clock:
    """Seconds from the first tick to the last, by the wall and by the processor."""

    ticks: list[tuple[float, float]]

    def tick(self) -> None:
        self.ticks.append((time.perf_counter(), time.process_time()))

    def rates(self) -> tuple[float, float]:
        (wall, cpu), (wall_end, cpu_end) = self.ticks[0], self.ticks[-1]
        n = len(self.ticks) - 1
        return n / (wall_end - wall), n / (cpu_end - cpu)


def ours(model: TransformersModel, prompt: list[int], sampling: Sampling) -> tuple[float, float]:
    clock = Clock([])

    def take(_: int, event: object) -> None:
        if isinstance(event, Token):
            clock.tick()

    model.generate([prompt], sampling, take, lambda: False)
    return clock.rates()


def plain(model: Any, tokenizer: Any, prompt: list[int], sampling: Sampling) -> tuple[float, float]:
    """What a good user writes."""
    import torch
    import transformers

    clock = Clock([])

    class Streamer(transformers.TextStreamer):  # type: ignore[misc]
        def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
            """Text is shown nowhere."""

        def put(self, value: Any) -> None:
            started = not self.next_tokens_are_prompt
            super().put(value)
            if started:
                clock.tick()

    options: dict[str, Any] = {"do_sample": False}
    if sampling.temperature:
        options = {"do_sample": True, "temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05}
    model.generate(
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        max_new_tokens=sampling.max_tokens,
        min_new_tokens=sampling.max_tokens,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
        streamer=Streamer(tokenizer, skip_prompt=True, skip_special_tokens=True),
        **options,
    )
    return clock.rates()


def rounds(n: int, *measure: Callable[[], tuple[float, float]]) -> Iterator[list[tuple[float, float]]]:
    for _ in range(n):
        yield [one() for one in measure]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("rounds", 40), ("tokens", 48), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--folder", type=Path, help="where the checkpoint lies, or is made and kept")
    asked = parser.parse_args()
    settings = TransformersSettings(
        context=512,
        precision=asked.precision,
        compute_dtype=COMPUTE.get(asked.precision, "bf16"),  # type: ignore[arg-type]
        threads=asked.threads,
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = smollm2_checkpoint.write(asked.folder or Path(scratch) / "smollm2")
        loaded = load([folder / "model.safetensors"], settings, Path(scratch))
    engine = TransformersModel(loaded.model, loaded.tokenizer, settings, loaded.report)
    prompt = engine.tokenize([Segment(PROMPT, special=True)])
    for name, temperature in (("greedy", 0.0), ("sampled", 0.8)):
        sampling = Sampling(temperature=temperature, max_tokens=asked.tokens, ignore_eos=True)
        theirs = (lambda sampling=sampling: plain(loaded.model, loaded.tokenizer, prompt, sampling),) * 2
        mine = lambda sampling=sampling: ours(engine, prompt, sampling)  # noqa: E731
        found = list(rounds(asked.rounds + 1, mine, *theirs))[1:]  # the first warms up
        for n, clock in enumerate(("wall", "processor")):
            engine_rates, first, second = ([one[k][n] for one in found] for k in range(3))
            print(f"{name:8s}{clock:10s} ours/plain {paired_ratio(engine_rates, first)}")
            print(f"{'':8s}{'':10s} plain/plain {paired_ratio(second, first)}", flush=True)


if __name__ == "__main__":
    main()
