"""What a plan for a model of the hub moves, and how far the sampled tokenizer is off: `python benchmarks/hub_reading.py FOLDER…`

Each folder (a checkpoint, or one with GGUF files) is served on a loopback port and read by its hub name and from the disk.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import local_hub


def main(folders: list[Path]) -> None:
    names = {f"local/{folder.name}": folder for folder in folders}
    with local_hub.serve(names) as address, tempfile.TemporaryDirectory() as home:
        os.environ |= {"HF_ENDPOINT": address, "HF_HOME": home}
        for name, folder in names.items():
            report(name, folder)


def report(name: str, folder: Path) -> None:
    from shoestring import api
    from shoestring.models.hub import client

    moved: list[int] = []
    asked = client.get

    def counting(*arguments: object, **options: object) -> client.Answer:
        answer = asked(*arguments, **options)  # type: ignore[arg-type]
        moved.append(len(answer.body))
        return answer

    client.get = counting  # type: ignore[assignment]
    there = api.read_model(name)
    client.get = asked
    here = api.read_model(next(iter(sorted(folder.glob("*.gguf"))), folder))
    print(f"{name}: {len(moved)} requests, {sum(moved):,} bytes of {here.file_bytes:,}")
    if there.tokenizer is None or here.tokenizer is None or not there.tokenizer.sampled:
        return
    for field in ("vocab_size", "tokens_bytes", "merges", "merges_bytes"):
        far, near = getattr(there.tokenizer, field), getattr(here.tokenizer, field)
        print(f"  {field:13} {far:>9,} sampled, {near:>9,} counted ({far / max(near, 1) - 1:+.1%})")
    plans = [api.plan(model).plans[0].bytes.total or 0 for model in (name, folder)]
    print(
        f"  the plan's total: {plans[0]:,} before, {plans[1]:,} once it is here ({plans[0] / plans[1] - 1:+.3%})"
    )


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
