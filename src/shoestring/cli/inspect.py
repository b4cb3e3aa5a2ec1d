"""`shoestring inspect MODEL`: what a model is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from shoestring.cli import _options
from shoestring.cli._output import present
from shoestring.cli._progress import FetchDisplay
from shoestring.models.facts import NO_CONTEXT_LIMIT
from shoestring.units import format_bytes, format_count

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from shoestring.models.facts import QuantizationFacts
    from shoestring.models.inspect import HubReport, InspectReport, TensorReport, VariantReport


@click.command()
@_options.model
@click.option("--tensors", is_flag=True, help="List every tensor.")
@_options.as_json
def inspect(model: str, tensors: bool, as_json: bool) -> None:
    """Show what a model is, from its headers alone.

    MODEL is a name (see `shoestring models list`), a model of the Hugging Face hub, the path of a .gguf file, or a
    folder with config.json and safetensors. Of a hub model only the headers are read.

    \b
    Examples:
      shoestring inspect smollm2
      shoestring inspect org/name:Q4_K_M
      shoestring inspect ./model-00001-of-00003.gguf --tensors
    """
    from shoestring import api

    with FetchDisplay() as progress:
        found = api.inspect(model, tensors=tensors, progress=progress)
    present(found, view, as_json=as_json)


def view(found: InspectReport) -> Iterator[RenderableType]:
    """The report for people."""
    from rich.table import Table
    from rich.text import Text

    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold")
    facts.add_column(overflow="fold")
    for name, value in _rows(found):
        facts.add_row(name, value)
    yield facts
    yield ""
    yield _components(found)
    yield ""
    yield _dtypes(found)
    if found.hub is not None and len(found.hub.variants) > 1:
        yield ""
        yield _variants(found.hub.variants)
    for sentence in _remarks(found):
        yield Text.assemble(("! ", "bold yellow"), sentence)
    if found.tensors is not None:
        yield ""
        yield _tensors(found.tensors)


def _remarks(found: InspectReport) -> Iterator[str]:
    if found.hub is not None:
        yield from found.hub.notes
    if found.no_generator is not None:
        yield found.no_generator
    if found.own_code:
        code = ", ".join(found.own_code)
        yield f"It brings Python code of its own ({code}), which runs only with your consent."
    yield from found.not_understood


def _rows(found: InspectReport) -> Iterator[tuple[str, str]]:
    parameters = found.parameters
    active = (
        ""
        if parameters.active == parameters.total
        else f", {format_count(parameters.active)} active per token"
    )
    yield "Model", found.id
    yield "Kind", _kind(found)
    yield "Architecture", f"{found.architecture}, {found.layers} layers"
    yield "Parameters", f"{format_count(parameters.total)}{active}"
    yield "Weights", f"{format_bytes(found.weights.total_bytes)} ({found.format})"
    if found.quantization is not None:
        yield "Quantised", _quantization(found.quantization)
    if found.modalities != ("text",):
        yield "Reads", ", ".join(found.modalities)
    unlimited = found.context_length == NO_CONTEXT_LIMIT
    yield "Context", "no limit of its own" if unlimited else f"{found.context_length:,} tokens"
    yield "Vocabulary", f"{found.vocab_size:,} tokens"
    yield (
        "Chat template",
        "none" if found.chat_template is None else f"yes ({len(found.chat_template):,} characters)",
    )
    yield "Licence", found.license or "not stated"
    if found.hub is not None:
        yield from _hub_rows(found.hub)


def _kind(found: InspectReport) -> str:
    if found.no_generator is not None:
        return "not a generator of text"
    return "chat: it answers" if found.kind == "chat" else "base: it continues text"


def _hub_rows(hub: HubReport) -> Iterator[tuple[str, str]]:
    gated = ", gated: its owner grants access" if hub.gated else ""
    yield "Repository", f"{hub.repository}, commit {hub.commit[:8]}{gated}"
    if hub.last_modified is not None:
        yield "Last change", hub.last_modified[:10]
    if hub.downloads is not None:
        yield "Downloads", f"{hub.downloads:,} in 30 days"
    taken = "1 holds" if len(hub.weights) == 1 else f"{len(hub.weights):,} hold"
    here = "fetched" if hub.fetched else "not fetched yet"
    yield "Files", f"{hub.files:,}, of which {taken} its weights ({here})"


def _quantization(found: QuantizationFacts) -> str:
    kind = f" {found.kind}" if found.kind else ""
    group = f", one scale for {found.group_size} weights" if found.group_size else ""
    bits = f", {found.bits} bits" if found.bits else ""
    return f"{found.method}{kind}{bits}{group}{', its scales too' if found.double else ''}"


def _components(found: InspectReport) -> Table:
    table = _table("component", "parameters", "share")
    for name, n in sorted(found.parameters.by_component.items(), key=lambda item: -item[1]):
        table.add_row(name.replace("_", " "), f"{n:,}", f"{n / max(1, found.parameters.total):.1%}")
    return table


def _dtypes(found: InspectReport) -> Table:
    table = _table("dtype", "bytes", "share")
    for name, n in sorted(found.weights.by_dtype.items(), key=lambda item: -item[1]):
        table.add_row(name, format_bytes(n), f"{n / max(1, found.weights.total_bytes):.1%}")
    return table


def _variants(variants: tuple[VariantReport, ...]) -> Table:
    table = _table("GGUF", "bytes")
    for variant in variants:
        table.add_row(variant.model, format_bytes(variant.bytes))
    return table


def _tensors(tensors: tuple[TensorReport, ...]) -> Table:
    table = _table("tensor", "shape", "dtype", "bytes")
    for tensor in tensors:
        shape = " × ".join(map(str, tensor.shape)) or "scalar"
        table.add_row(tensor.name, shape, tensor.dtype, f"{tensor.bytes:,}")
    return table


def _table(first: str, *rest: str) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(first, no_wrap=True, overflow="fold")
    for name in rest:
        table.add_column(name, justify="left" if name == "dtype" else "right", no_wrap=True)
    return table
