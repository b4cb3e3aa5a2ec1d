"""The peer: xllamacpp used directly, with the very settings our plan chose, in a script as short as a user's.

    python benchmarks/bare_xllamacpp.py MODEL.gguf '{"context": 4096, "threads": 2}' once PROMPT_IDS_JSON
    python benchmarks/bare_xllamacpp.py MODEL.gguf '{"context": 4096, "threads": 2}' serve

`once` prints the answer as it comes. `serve` reads one JSON request a line ({"prompt": [...], "n": 48})
and answers with the seconds from call to first token and from first to last token, and the text.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import xllamacpp as x


def load(model: str, settings: dict[str, int]) -> x.Server:
    params = x.CommonParams()
    params.model.path = model
    params.n_ctx, params.n_parallel = settings["context"], 1
    params.n_batch = params.n_ubatch = settings.get("ubatch", 512)
    params.cpuparams.n_threads = settings["threads"]
    params.cpuparams_batch.n_threads = settings.get("prefill_threads", settings["threads"])
    params.cache_ram_mib, params.n_ctx_checkpoints = 0, 0
    params.fit_params, params.warmup = False, False
    params.verbosity = 1
    params.hostnames = [str(Path(tempfile.mkdtemp()) / "x.sock")]
    return x.Server(params)


def generate(
    server: x.Server, prompt: list[int], n: int, show: bool = False, ignore_eos: bool = True
) -> dict:
    stamps: list[float] = []
    pieces: list[str] = []

    def receive(chunk: dict) -> bool:
        text = chunk["choices"][0]["text"]
        if text:
            stamps.append(time.perf_counter())
            pieces.append(text)
            if show:
                print(text, end="", flush=True)
        return False

    start = time.perf_counter()
    body = {"prompt": prompt, "n_predict": n, "temperature": 0, "stream": True, "ignore_eos": ignore_eos}
    server.handle_completions(body, receive)
    return {
        "first_s": stamps[0] - start,
        "rest_s": stamps[-1] - stamps[0],
        "pieces": len(pieces),
        "text": "".join(pieces),
    }


def main() -> None:
    model, settings, mode, *rest = sys.argv[1:]
    server = load(model, json.loads(settings))
    if mode == "once":
        generate(server, json.loads(rest[0]), 24, show=True, ignore_eos=False)
    else:
        print("ready", flush=True)
        for line in sys.stdin:
            request = json.loads(line)
            print(json.dumps(generate(server, request["prompt"], request["n"])), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
