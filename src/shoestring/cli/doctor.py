"""`shoestring doctor`: what this machine is, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from shoestring.cli import _options
from shoestring.cli._output import present
from shoestring.units import format_bytes

if TYPE_CHECKING:
    from rich.console import RenderableType

    from shoestring.hardware.base import Gpu
    from shoestring.hardware.doctor import DoctorReport


@click.command()
@_options.as_json
def doctor(as_json: bool) -> None:
    """Show what this machine can do, and what stands in the way.

    \b
    Examples:
      shoestring doctor
      shoestring doctor --json
    """
    from shoestring.hardware.doctor import doctor as examine

    present(examine(), view, as_json=as_json)


def view(found: DoctorReport) -> Iterator[RenderableType]:
    """The report for people."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in _rows(found):
        table.add_row(name, value)
    yield table
    yield ""
    if not found.problems:
        yield Text("No problems found.", style="green")
    for problem in found.problems:
        yield Text.assemble(("! ", "bold yellow"), problem.what)
        yield Text(f"  {problem.fix}", style="dim")


def _rows(found: DoctorReport) -> Iterator[tuple[str, str]]:
    cpu, memory, here = found.cpu, found.memory, found.environment
    physical = "" if cpu.cores_physical is None else f", {_count(cpu.cores_physical, 'physical core')}"
    yield "CPU", f"{cpu.model} ({_count(cpu.cores_logical, 'usable core')}{physical})"
    yield "", " ".join(cpu.features) or "no instruction sets that matter here"
    limit = (
        "" if memory.limit_bytes is None else f", limited to {format_bytes(memory.limit_bytes)} by its cgroup"
    )
    yield (
        "Memory",
        f"{format_bytes(memory.available_bytes)} free of {format_bytes(memory.total_bytes)}{limit}",
    )
    for gpu in found.gpus:
        yield "GPU", _gpu(gpu)
    if not found.gpus:
        yield "GPU", "none"
    yield "Disk", f"{format_bytes(found.disk.free_bytes)} free for models in {found.disk.path}"
    yield "Running in", f"{here.kind}, {here.system}, Python {here.python}"
    installed = [f"{name} {version}" for name, version in found.packages.items() if version]
    missing = [name for name, version in found.packages.items() if not version]
    yield "Installed", ", ".join(installed) or "no engine"
    if missing:
        yield "Not installed", ", ".join(missing)


def _gpu(gpu: Gpu) -> str:
    facts = [f"{format_bytes(gpu.free_bytes)} free of {format_bytes(gpu.total_bytes)}"]
    if gpu.compute_capability is not None:
        facts.append("compute capability {}.{}".format(*gpu.compute_capability))
    if gpu.bf16 is not None:
        facts.append("bf16" if gpu.bf16 else "no bf16")
    if gpu.driver:
        facts.append(f"driver {gpu.driver}")
    if gpu.cuda:
        facts.append(f"CUDA {gpu.cuda}")
    return f"{gpu.name}: {', '.join(facts)}"


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
