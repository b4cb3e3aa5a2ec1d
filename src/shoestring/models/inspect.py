"""`inspect`: what a model is, in the shape that the `inspect` command prints. Pure: facts in, report out."""

from __future__ import annotations

from dataclasses import dataclass

from shoestring.models.facts import Kind, ModelFacts, Parameters, QuantizationFacts, Weights


@dataclass(frozen=True)
class TensorReport:
    """One tensor, its shape as its format stores it: GGUF's fastest-varying dimension first, safetensors' last."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int


@dataclass(frozen=True)
class InspectReport:
    """The keys that other tools rely on (design.md); `tensors` is None unless it was asked for.

    Attributes:
        layers: number of transformer blocks.
        context_length: tokens the model was trained for; `NO_CONTEXT_LIMIT` where it has no positions.
        license, chat_template: None where the model has none.
        not_understood: what this version cannot account for, one sentence each.
        dtype: the precision that a checkpoint's config states, or None.
        quantization: how a checkpoint is quantised already, or None.
        tied: whether a checkpoint's head is its embedding.
        modalities: what it reads: `text`, `image`, `audio`, `video`.
        class_name: the class that transformers loads a checkpoint with, or None.
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
    dtype: str | None = None
    quantization: QuantizationFacts | None = None
    tied: bool = False
    modalities: tuple[str, ...] = ("text",)
    class_name: str | None = None


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
        dtype=facts.dtype,
        quantization=facts.quantization,
        tied=facts.tied,
        modalities=facts.modalities,
        class_name=facts.class_name,
    )
