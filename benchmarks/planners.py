"""Other planners on the same files: what each says, the truth, its error and ours.

    python benchmarks/planners.py [--envs FOLDER] [--json]

Each tool runs in an environment of its own, made here (kept in FOLDER, or in the system's folder for temporary
files, for the next run). Tools that only take names of the hub get the local files through a loopback server in the
hub's layout. Truths: weights are the tensors' bytes in the file (of a quantised load, what transformers'
`get_memory_footprint()` says); the cache is the engine's own figure; the total is the measured peak (VmHWM) of a process on
this CPU with the context full. A tool that cannot take a file is listed with its own words.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import local_hub
import peer_truths
from peer_envs import Environment, ToolError

MB, MIB, GIB = 1e6, 1024**2, 1024**3


@dataclass(frozen=True)
class Case:
    """A model as the tools see it.

    Attributes:
        name: what is printed.
        repository: its name on the hub; the loopback server has the local file under this name.
        file: the GGUF, or the safetensors file of a checkpoint.
        context: tokens, one sequence.
        quantization: GGUF type of its weights, as tools are told; None for a checkpoint.
        known_as: the published model it is, for tools that only know a list of their own.
    """

    name: str
    repository: str
    file: Path
    context: int
    quantization: str | None
    known_as: str

    @property
    def gguf(self) -> bool:
        return self.file.suffix == ".gguf"


@dataclass(frozen=True)
class Said:
    """What a tool says of one quantity (`weights`, `cache`, `total`, `weights int4`…), in bytes."""

    quantity: str
    n_bytes: int
    remark: str = ""


@dataclass(frozen=True)
class Row:
    """One line of the table. Without a figure `words` are the tool's own."""

    tool: str
    version: str
    model: str
    quantity: str
    said: int | None
    truth: int | None
    ours: int | None
    words: str = ""


@dataclass(frozen=True)
class Tool:
    """A planner: its environment, and how it is asked about a case (with the hub's address)."""

    environment: Environment
    ask: Callable[[Environment, Case, str], list[Said]]


def hf_mem(environment: Environment, case: Case, hub: str) -> list[Said]:
    """Its address of the hub is fixed in its code: its HTTP client is led to the loopback server instead."""
    arguments = ["--model-id", case.repository, "--experimental", "--json-output"]
    arguments += ["--max-model-len", str(case.context)]
    if case.gguf:
        arguments += ["--gguf-file", case.file.name]
    driver = Path(__file__).with_name("hf_mem_driver.py")
    answer = json.loads(environment.run("python", [str(driver), *arguments], {"HF_ENDPOINT": hub}))
    return [
        Said("weights", answer["memory"]),
        Said("cache", answer["kv_cache"]),
        Said("total", answer["total_memory"]),
    ]


def accelerate(environment: Environment, case: Case, hub: str) -> list[Said]:
    """`accelerate estimate-memory`: weights alone, "Total Size" of its table."""
    arguments = ["estimate-memory", case.repository, "--library_name", "transformers"]
    arguments += ["--dtypes", "float16", "int8", "int4"]
    table = environment.run("accelerate", arguments, {"HF_ENDPOINT": hub})
    found = re.findall(r"│\s*(float16|int8|int4)\s*│[^│]*│\s*([\d.]+) ([KMG]B)\s*│", table)
    names = {"float16": "weights", "int8": "weights int8", "int4": "weights int4"}
    units = {"KB": 1024, "MB": MIB, "GB": GIB}
    return [Said(names[dtype], round(float(size) * units[unit])) for dtype, size, unit in found]


def modelinfo(environment: Environment, case: Case, hub: str) -> list[Said]:
    text = environment.run("modelinfo", ["--context", str(case.context), str(case.file)])
    figures = dict(re.findall(r"(Weights|KV Cache|Overhead):\s+([\d.]+ [KMG]B)", text))
    total = re.search(r"~([\d.]+ [KMG]B) Total", text)
    if total is None:
        raise ToolError(text.strip()[-160:])
    overhead = f"of which {figures['Overhead']} CUDA and activations"
    return [
        Said("weights", _bytes(figures["Weights"])),
        Said("cache", _bytes(figures["KV Cache"])),
        Said("total", _bytes(total[1]), overhead),
    ]


def whichllm(environment: Environment, case: Case, hub: str) -> list[Said]:
    arguments = ["plan", case.repository, "-c", str(case.context), "--json"]
    answer = json.loads(environment.run("whichllm", arguments, {"HF_ENDPOINT": hub}))
    quantization = case.quantization or "F16"
    figures = answer["vram_by_quant"]
    nearest = next((name for name in (quantization, "Q4_K_M") if name in figures), None)
    if nearest is None:
        raise ToolError(f"no figure for {quantization}; it has {', '.join(figures)}")
    return [
        Said("total", figures[nearest]["vram_bytes"], "" if nearest == quantization else f"its {nearest}")
    ]


def llmfit(environment: Environment, case: Case, hub: str) -> list[Said]:
    """It takes no file, but knows the published model; its gigabytes are binary."""
    arguments = ["plan", case.known_as, "--context", str(case.context), "--json"]
    # Q4_1 is not in its list; Q4_K_M is as large as its Q4_0 there.
    quantization = {None: "BF16", "Q4_1": "Q4_K_M"}.get(case.quantization, case.quantization)
    answer = json.loads(environment.run("llmfit", [*arguments, "--quant", str(quantization)]))
    path = next(path for path in answer["run_paths"] if path["path"] == "cpu_only")
    cache = next(a for a in answer["kv_alternatives"] if a["kv_quant"] == "fp16")
    remark = f"its {quantization}" if case.quantization not in (None, quantization) else ""
    return [
        Said("weights", round(answer["disk_size_gb"] * GIB), remark),
        Said("cache", round(cache["kv_cache_gb"] * GIB)),
        Said("total", round(path["minimum"]["ram_gb"] * GIB), remark),
    ]


def have_the_vram(environment: Environment, case: Case, hub: str) -> list[Said]:
    arguments = ["--seq-len", str(case.context), "--dtype", "bfloat16", "--json", case.repository]
    answer = json.loads(environment.run("do-i-have-the-vram", arguments, {"HF_ENDPOINT": hub}))
    figures = answer["memory_breakdown_gb"]
    return [
        Said("weights", round(figures["weights"] * GIB)),
        Said("cache", round(figures["kv_cache"] * GIB)),
        Said("total", round(figures["total"] * GIB)),
    ]


def tools(folder: Path) -> dict[str, Tool]:
    """The planners, with the requirements they install from."""

    def environment(package: str, *requirements: str) -> Environment:
        return Environment(folder / package, package, requirements or (package,))

    return {
        "hf-mem": Tool(environment("hf-mem"), hf_mem),
        "accelerate": Tool(
            environment("accelerate", "accelerate", "torch==2.13.0", "transformers"), accelerate
        ),
        "modelinfo-cli": Tool(environment("modelinfo-cli"), modelinfo),
        # Its options do not exist any more in later releases of typer.
        "whichllm": Tool(environment("whichllm", "whichllm", "typer<0.16", "click<8.2"), whichllm),
        "llmfit": Tool(environment("llmfit"), llmfit),
        "do-i-have-the-vram": Tool(environment("do-i-have-the-vram"), have_the_vram),
    }


def cases(scratch: Path) -> list[Case]:
    """The two starters as GGUF, and a real checkpoint in safetensors."""
    gguf = peer_truths.starters()
    checkpoint = peer_truths.checkpoint(scratch)
    return [
        Case("smollm2 GGUF", "local/smollm2-gguf", gguf["smollm2"], 8192, "Q4_1", "HuggingFaceTB/SmolLM2-135M-Instruct"),
        Case("gemma3-270m GGUF", "local/gemma3-270m-gguf", gguf["gemma3-270m"], 8192, "Q4_K_M", "google/gemma-3-270m"),
        Case("smollm2 bf16", "local/smollm2", checkpoint / "model.safetensors", 2048, None, "HuggingFaceTB/SmolLM2-135M-Instruct"),
    ]  # fmt: skip


def compare(
    tool: str, found: Tool, case: Case, hub: str, truths: dict[str, peer_truths.Truth]
) -> Iterator[Row]:
    """A tool's lines for one case."""
    version = "?"
    try:
        found.environment.make()
        version = found.environment.version()
        said = found.ask(found.environment, case, hub)
    except (ToolError, KeyError, TypeError, ValueError) as error:
        yield Row(tool, version, case.name, "", None, None, None, words=str(error)[:160])
        return
    for figure in said:
        truth = truths.get(figure.quantity)
        yield Row(
            tool, version, case.name, figure.quantity, figure.n_bytes,
            truth.measured if truth else None, truth.ours if truth else None, figure.remark,
        )  # fmt: skip


def print_row(row: Row) -> None:
    head = f"{row.tool:<19}{row.version:<8} {row.model:<17}"
    if row.said is None:
        print(f'{head} "{row.words}"', flush=True)
        return
    print(
        f"{head} {row.quantity:<13}{row.said / MB:>9.1f}{_figure(row.truth)}{_error(row.said, row.truth)}"
        f"{_figure(row.ours)}{_error(row.ours, row.truth)}  {row.words}",
        flush=True,
    )


def _figure(n_bytes: int | None) -> str:
    return f"{'-':>9}" if n_bytes is None else f"{n_bytes / MB:>9.1f}"


def _error(said: int | None, truth: int | None) -> str:
    return f"{'-':>9}" if said is None or truth is None else f"{said / truth - 1:>+9.1%}"


def _bytes(text: str) -> int:
    number, unit = text.split()
    return round(float(number) * {"KB": 1024, "MB": MIB, "GB": GIB}[unit])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    default = Path(tempfile.gettempdir()) / "shoestring-planners"
    parser.add_argument("--envs", type=Path, default=default, help="where the tools' environments are kept")
    parser.add_argument("--json", action="store_true", help="one document instead of the table")
    options = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        found = cases(Path(scratch))
        print("measuring the truths: some minutes", file=sys.stderr)
        truths = {case.name: peer_truths.find(case.file, case.context) for case in found}
        with local_hub.serve({case.repository: case.file.parent for case in found}) as hub:
            if not options.json:
                print(f"{'tool':<19}{'version':<8} {'model':<17} {'quantity':<13}{'MB said':>9}{'truth':>9}"
                      f"{'error':>9}{'ours':>9}{'error':>9}")  # fmt: skip
            for name, tool in tools(options.envs.absolute()).items():
                for case in found:
                    for row in compare(name, tool, case, hub, truths[case.name]):
                        rows.append(row)
                        if not options.json:
                            print_row(row)
    if options.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
