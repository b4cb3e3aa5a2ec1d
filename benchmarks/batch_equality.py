"""Does a batch of unequal prompts give what each gives alone? Greedily, in fp32, token by token.

    python benchmarks/batch_equality.py [--prompts 30] [--longest 300] [--tokens 24] [--threads 2] [--folder F]

smollm2 through the transformers engine: prompts of 1 to 300 tokens, all in one padded batch, then each by itself.
Prints how many tokens are equal; exits with 1 unless all are.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path

import smollm2_checkpoint

from shoestring.engines.base import LoadedModel, Sampling, Segment, Token
from shoestring.engines.registry import get_engine
from shoestring.planning.base import TransformersSettings

WORDS = (
    "the of and a to in is it you that he was for on are with as I his they be at one have this from or had by "
    "river mountain computer number people water called first made sound look great where through sentence"
)


def prompts(model: LoadedModel, n: int, longest: int) -> list[list[int]]:
    """Token ids of random words, of lengths from 1 to the longest in even steps."""
    source = random.Random(0)
    text = " ".join(source.choices(WORDS.split(), k=longest * 2))
    ids = model.tokenize([Segment(text)])
    lengths = [1 + round(step * (longest - 1) / max(n - 1, 1)) for step in range(n)]
    starts = [source.randrange(len(ids) - length) for length in lengths]
    return [ids[start : start + length] for start, length in zip(starts, lengths, strict=True)]


def greedy(model: LoadedModel, batch: Sequence[Sequence[int]], n: int) -> list[list[int]]:
    """New tokens of each prompt."""
    found: list[list[int]] = [[] for _ in batch]

    def take(index: int, event: object) -> None:
        if isinstance(event, Token):
            found[index] += [one.token for one in event.logprobs]

    model.generate(batch, Sampling(temperature=0, max_tokens=n, logprobs=0), take, lambda: False)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("prompts", 30), ("longest", 300), ("tokens", 24), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--folder", type=Path, help="where the checkpoint lies, or is made and kept")
    asked = parser.parse_args()
    settings = TransformersSettings(
        context=asked.longest + asked.tokens + 1,
        batch=asked.prompts,
        precision="fp32",
        compute_dtype="fp32",
        threads=asked.threads,
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = smollm2_checkpoint.write(asked.folder or Path(scratch) / "smollm2")
        model = get_engine("transformers").load([folder / "model.safetensors"], settings, Path(scratch))
        batch = prompts(model, asked.prompts, asked.longest)
        together = greedy(model, batch, asked.tokens)
        alone = [greedy(model, [prompt], asked.tokens)[0] for prompt in batch]
    for prompt, one, other in zip(batch, together, alone, strict=True):
        print(f"{len(prompt):4d} tokens: {'equal' if one == other else f'{one} instead of {other}'}")
    equal = sum(one == other for one, other in zip(together, alone, strict=True))
    print(f"{equal} of {len(batch)} prompts, {sum(map(len, alone)):,} tokens")
    return 0 if equal == len(batch) else 1


if __name__ == "__main__":
    raise SystemExit(main())
