"""The formula beside transformers' own figures, family by family, from headers and configs alone.

    python benchmarks/transformers_dry_run.py [FAMILY…] [--context N]… [--batch N]… [--precision P]… [--attention A]… [--gpu]

Options that can be given several times make a grid; all 37 families at one point of it take two minutes.

For each published shape a header-only checkpoint is written, read as any checkpoint is, planned by formula, and asked
of the library over fake tensors. Weights and cache must agree within 1 %, compute within 5 %; exits with 1 if any
does not. A family that the formula leaves open is listed with its reason, one that the library cannot run with its
words; neither counts as agreement or disagreement.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import header_checkpoint

from shoestring.engines.transformers_dry_run import Figures, Question, answer
from shoestring.errors import ShoestringError
from shoestring.hardware.base import Gpu, Hardware
from shoestring.hardware.probe import probe
from shoestring.models.safetensors_facts import read_checkpoint
from shoestring.models.source import FolderSource
from shoestring.planning.base import CPU, Estimate, Group, TransformersSettings

BOUNDS: dict[Group, float] = {"weights": 0.01, "kv_cache": 0.01, "compute": 0.05}
GPU = Gpu("a GPU", 80 * 2**30, 80 * 2**30, None, None, (9, 0), True)


@dataclass(frozen=True)
class Row:
    """One family: by formula and by the library, in bytes by group; or why there is nothing to compare."""

    family: str
    precision: str
    attention: str
    context: int
    batch: int
    formula: dict[Group, int]
    library: dict[Group, int]
    seconds: float
    notes: tuple[str, ...] = ()

    def error(self, group: Group) -> float | None:
        """formula ÷ library − 1."""
        if group not in self.formula or group not in self.library:
            return None
        mine, theirs = self.formula[group], self.library[group]
        return 0.0 if mine == theirs else mine / theirs - 1 if theirs else float("inf")

    @property
    def outside(self) -> list[Group]:
        """The groups that are further off than they may be."""
        errors = {group: self.error(group) for group in BOUNDS}
        return [group for group, error in errors.items() if error is not None and abs(error) > BOUNDS[group]]


def compare(family: str, settings: TransformersSettings, hardware: Hardware) -> Row:
    """One family with these settings; where its attention is not there, with the eager one, as the library advises."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = header_checkpoint.write(Path(folder), header_checkpoint.FAMILIES[family]())
        start = time.perf_counter()
        given = asked(checkpoint, settings, on_gpu=bool(hardware.gpus))
        if isinstance(given, str) and "attention implementation" in given:
            settings = replace(settings, attention="eager")
            given = asked(checkpoint, settings, on_gpu=bool(hardware.gpus))
        seconds = time.perf_counter() - start
        library: dict[Group, int] = {}
        notes: list[str] = []
        if isinstance(given, Figures):
            peak = max(given.prefill_peak_bytes, given.decode_peak_bytes)
            library = {"weights": given.weights_bytes, "kv_cache": given.kv_cache_bytes, "compute": peak}
        else:
            notes.append(given)
        formula, missing = planned(checkpoint, family, settings, hardware)
    return Row(
        family,
        settings.precision,
        settings.attention,
        settings.context,
        settings.batch,
        formula,
        library,
        seconds,
        (*notes, *missing),
    )


def asked(checkpoint: Path, settings: TransformersSettings, *, on_gpu: bool) -> Figures | str:
    """The library's figures, or its words. Whatever it raises is its word on this family, not the end of the table."""
    try:
        given = answer(Question(str(checkpoint), settings, on_gpu))
    except Exception as error:  # noqa: BLE001
        return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    return given.figures or given.error or "no figures"


def planned(
    checkpoint: Path, family: str, settings: TransformersSettings, hardware: Hardware
) -> tuple[dict[Group, int], list[str]]:
    """The formula's figures by group, and why others are missing."""
    from shoestring.planning.transformers.model import TransformersMemory

    memory, device = TransformersMemory(), "gpu0" if hardware.gpus else CPU
    try:
        facts = read_checkpoint(FolderSource(checkpoint), id=family)
        units = memory.units(facts, settings, hardware)
        estimate: Estimate = memory.estimate(facts, settings, hardware, (device,) * len(units))
    except ShoestringError as error:
        return {}, [error.message]
    found: dict[Group, int] = {}
    for group in BOUNDS:
        if group not in estimate.missing:
            found[group] = sum(term.bytes for term in estimate.terms if term.group == group)
    return found, list(estimate.missing.values())


def lines(row: Row) -> Iterator[str]:
    """A row of the table, and its notes."""
    cells = []
    for group in BOUNDS:
        mine, theirs, error = row.formula.get(group), row.library.get(group), row.error(group)
        mark = "!" if group in row.outside else " "
        off = "      –" if error is None else f"{error * 100:+7.2f}"
        cells.append(f"{_mb(mine)} {_mb(theirs)} {off}{mark}")
    yield f"{row.family:19} {row.precision:7} {row.attention:5} {row.context:5}×{row.batch} {' '.join(cells)} {row.seconds:5.1f}"
    for note in row.notes:
        yield f"{'':20}{note}"


def _mb(n_bytes: int | None) -> str:
    return f"{'–':>10}" if n_bytes is None else f"{n_bytes / 1e6:10.2f}"


def _arguments() -> Any:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("families", nargs="*", default=list(header_checkpoint.FAMILIES), metavar="FAMILY")
    parser.add_argument("--context", type=int, action="append", help="[default: 512]")
    parser.add_argument("--batch", type=int, action="append", help="[default: 1]")
    parser.add_argument("--precision", action="append", help="[default: bf16]")
    parser.add_argument("--attention", action="append", choices=["sdpa", "eager"], help="[default: sdpa]")
    parser.add_argument("--gpu", action="store_true", help="as on a GPU: nothing rearranged for the CPU")
    return parser.parse_args()


def grid(wanted: Any) -> Iterator[TransformersSettings]:
    """Every combination of what was asked for."""
    for precision, attention, context, batch in itertools.product(
        wanted.precision or ["bf16"],
        wanted.attention or ["sdpa"],
        wanted.context or [512],
        wanted.batch or [1],
    ):
        yield TransformersSettings(
            context=context,
            batch=batch,
            precision=precision,
            compute_dtype="fp32" if precision == "fp32" else "bf16",
            attention=attention,
        )


def main() -> int:
    """Print the table; 1 where a figure is outside its bound."""
    wanted = _arguments()
    logging.disable(logging.WARNING)  # bitsandbytes has one for every matrix product
    hardware = replace(probe(), gpus=(GPU,) if wanted.gpu else ())
    groups = " ".join(f"{group + ' MB':>10} {'library':>10} {'%':>7} " for group in BOUNDS)
    print(f"{'family':19} {'':7} {'':5} {'':7} {groups} {'s':>5}")
    outside, compared = [], 0
    for family in wanted.families:
        for settings in grid(wanted):
            row = compare(family, settings, hardware)
            print("\n".join(lines(row)), flush=True)
            compared += bool(row.formula and row.library)
            outside += [
                f"{family} {settings.precision} {settings.attention} {settings.context}×{settings.batch} {group}"
                for group in row.outside
            ]
    print(f"{compared} compared; outside: {', '.join(outside) or 'none'}")
    return 1 if outside else 0


if __name__ == "__main__":
    sys.exit(main())
