"""What loading a model brought, and a smoke check of it, for people."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from shoestring.cli._output import console, say
from shoestring.units import format_bytes, format_count, format_seconds

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from shoestring.chat.check import CheckReport
    from shoestring.chat.model import Model
    from shoestring.engines.base import LoadReport

_NAMES = {
    "bfloat16": "bf16",
    "float16": "fp16",
    "float32": "fp32",
    "uint8": "uint8",
    "int8": "int8",
}
_PACKED = ("nf4", "nf4-dq", "fp4", "fp4-dq")


def loaded(model: Model, *, verbose: bool = False) -> None:
    """One quiet line once a model is loaded, where its engine tells what that brought; with `verbose` all of it."""
    report = model.load_report
    if report is None or report.weights_s is None:
        return
    say(summary(model, report), dim=True)
    for note in report.notes:
        say(note)
    if verbose:
        screen = console(sys.stderr)
        for part in details(model, report):
            screen.print(part)


def summary(model: Model, report: LoadReport) -> str:
    """`Loaded in 3.1 s (tokenizer 0.2 s, weights 2.4 s): 134.5M parameters in nf4, 116 MB of weights…`."""
    parts = [
        f"{name} {format_seconds(seconds)}"
        for name, seconds in (("tokenizer", report.tokenizer_s), ("weights", report.weights_s))
        if seconds is not None
    ]
    took = format_seconds(model.session.load_s or 0.0)
    parameters = "" if report.parameters is None else f"{format_count(report.parameters)} parameters in "
    return f"Loaded in {took} ({', '.join(parts)}): {parameters}{model.plan.precision}{_weights(report)}{_held(model)}."


def _weights(report: LoadReport) -> str:
    if report.weights_bytes is None:
        return ""
    counted = f", {format_bytes(report.weights_bytes)} of weights"
    if report.footprint_bytes is None or report.footprint_bytes == report.weights_bytes:
        return counted
    return f"{counted} (get_memory_footprint() says {format_bytes(report.footprint_bytes)})"


def _held(model: Model) -> str:
    memory = model.session.memory()
    if memory.measured_peak_bytes is None:
        return ""
    predicted = format_bytes(memory.predicted_bytes)
    return f", {format_bytes(memory.measured_peak_bytes)} held at most of {predicted} predicted"


def details(model: Model, report: LoadReport) -> Iterator[RenderableType]:
    """Bytes by dtype, with what is packed explained, and every device."""
    table = _table("stored as", "bytes", "")
    for dtype, n_bytes in sorted(report.bytes_by_dtype.items(), key=lambda item: -item[1]):
        table.add_row(
            _NAMES.get(dtype, dtype), format_bytes(n_bytes), _explained(dtype, model.plan.precision)
        )
    yield table
    devices = _table("device", "allocated", "reserved", "free", "of")
    for device in report.devices:
        reserved = "" if device.reserved_bytes is None else format_bytes(device.reserved_bytes)
        devices.add_row(
            device.name,
            format_bytes(device.allocated_bytes),
            reserved,
            format_bytes(device.free_bytes),
            format_bytes(device.total_bytes),
        )
    yield devices


def _explained(dtype: str, precision: str) -> str:
    if precision not in _PACKED:
        return ""
    if dtype == "uint8":
        double = ", and their scales in 8 bits" if precision.endswith("-dq") else ""
        return f"4-bit weights, two in a byte{double}"
    return (
        "scales of the 4-bit weights"
        if dtype == "float32"
        else "what is not quantised: embedding, norms, head"
    )


def _table(*columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in _NUMBERS else "left")
    return table


_NUMBERS = ("bytes", "allocated", "reserved", "free", "of")


def checked(report: CheckReport) -> Iterator[RenderableType]:
    """A smoke check, a line for each look."""
    from rich.text import Text

    for check in report.checks:
        mark, colour = ("ok", "green") if check.passed else ("FAILED", "red")
        yield Text.assemble((f"{mark:7}", f"bold {colour}"), f"{check.name}: {check.found}")
        if check.cause is not None:
            yield Text(f"       {check.cause}")
    verdict = "It works." if report.passed else "It does not work as a sound model does."
    yield Text(f"{report.model}: {verdict}", style="bold")
