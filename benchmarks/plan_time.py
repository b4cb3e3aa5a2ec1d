"""How long a plan takes once the facts are read, and whether anything heavy was imported for it.

    python benchmarks/plan_time.py [--runs 20] [--only REGEX]

For every model the whole report (`solver.plan`: every engine and precision, what would fit instead, the largest
context and batch) on a machine where it has to be split or refused (`t4`) and on one without a GPU. Printed: the
first plan, which finds out what later ones know, then median, least and most over the runs, in milliseconds of this
process (`time.process_time`), and the imports that a plan costs. Exit status 1 when torch or numpy was imported.
The checkpoints are header-only files of the published shapes, written by a process of its own.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FAMILIES = ("llama-3-8b", "qwen3-30b-a3b", "mixtral-8x7b", "deepseek-v3")
MACHINES = ("t4", "laptop-16gb")
HEAVY = ("torch", "numpy", "transformers")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--only", default="", help="models whose name matches")
    options = parser.parse_args()
    print(f"{'model':16}{'machine':14}{'tensors':>8}{'first':>9}{'median':>9}{'min':>9}{'max':>9}  ms")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("smollm2", *FAMILIES):
            if re.search(options.only, name):
                _measure(name, "smollm2" if name == "smollm2" else _written(name, Path(folder)), options.runs)
    imported = [name for name in HEAVY if name in sys.modules]
    print(f"imported: {', '.join(imported) or 'nothing heavy'}")
    return 1 if imported else 0


def _written(name: str, folder: Path) -> str:
    """A header-only checkpoint, written elsewhere: that needs torch, and planning must not."""
    program = (
        "import sys; from pathlib import Path; from header_checkpoint import FAMILIES, write, write_tokenizer; "
        "folder = Path(sys.argv[2]); write(folder, FAMILIES[sys.argv[1]]()); write_tokenizer(folder)"
    )
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-c", program, name, str(folder / name)]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": path}, capture_output=True)
    return str(folder / name)


def _measure(name: str, model: str, runs: int) -> None:
    from shoestring import api
    from shoestring.hardware.catalog import named
    from shoestring.planning import solver
    from shoestring.planning.request import request

    for machine in MACHINES:
        facts = api.read_model(model)  # anew: what is known of a model is kept with its facts
        hardware, wanted = named(machine), request()
        times = []
        for _ in range(runs + 1):
            start = time.process_time()
            solver.plan(facts, hardware, wanted)
            times.append(1000 * (time.process_time() - start))
        first, *later = times
        figures = (first, statistics.median(later), min(later), max(later))
        row = "".join(f"{figure:9.1f}" for figure in figures)
        print(f"{name:16}{machine:14}{len(facts.tensors):8,}{row}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
