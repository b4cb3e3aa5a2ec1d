"""`inspect`: what a model is, in the shape that the `inspect` command prints. Pure: facts in, report out."""

from __future__ import annotations

from dataclasses import dataclass

from shoestring.models.facts import Kind, ModelFacts, Parameters, Weights


@dataclass(frozen=True)
class TensorReport:
    """One tensor: its shape with the fastest-varying dimension first, as GGUF stores it."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int


@dataclass(frozen=True)
class InspectReport:
    """The keys that other tools rely on (design.md); `tensors` is None unless it was asked for.

    Attributes:
        layers: number of transformer blocks.
        context_length: tokens the model was trained for.
        license, chat_template: None where the model has none.
        not_understood: what this version cannot account for, one sentence each.
    """

    id: str
    format: str
    architecture: str
    kind: Kind
    parameters: Parameters
    weights: Weights
    layers: int
    context_length: int
    vocab_size: int
    license: str | None
    chat_template: str | None
    not_understood: tuple[str, ...] = ()
    tensors: tuple[TensorReport, ...] | None = None


def inspect(facts: ModelFacts, *, tensors: bool = False) -> InspectReport:
    """Report on a model; with every tensor if `tensors`."""
    listed = (
        tuple(TensorReport(t.name, t.shape, t.dtype, t.n_bytes) for t in facts.tensors) if tensors else None
    )
    return InspectReport(
        id=facts.id,
        format=facts.format,
        architecture=facts.architecture,
        kind=facts.kind,
        parameters=facts.parameters,
        weights=facts.weights,
        layers=len(facts.layers),
        context_length=facts.context_length,
        vocab_size=facts.vocab_size,
        license=facts.license,
        chat_template=facts.chat_template,
        not_understood=facts.not_understood,
        tensors=listed,
    )
