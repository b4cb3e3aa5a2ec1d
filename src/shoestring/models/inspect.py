"""`inspect`: what a model is, in the shape that the `inspect` command prints. Pure: facts in, report out."""

from __future__ import annotations

from dataclasses import dataclass

from shoestring.models.facts import Kind, ModelFacts, Parameters, QuantizationFacts, Weights
from shoestring.models.generators import why_no_generator
from shoestring.models.hub.base import Origin


@dataclass(frozen=True)
class TensorReport:
    """One tensor, its shape as its format stores it: GGUF's fastest-varying dimension first, safetensors' last."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int


@dataclass(frozen=True)
class VariantReport:
    """Another GGUF model of the same repository: how to name it, its type as its name states it (or None), its bytes."""

    model: str
    type: str | None
    bytes: int


@dataclass(frozen=True)
class HubReport:
    """Where a model of the hub comes from.

    Attributes:
        repository: `org/name`, as the hub spells it.
        commit: that the report is about.
        gated: whether its owner has to grant access.
        downloads: in the last 30 days; None where the hub was not asked.
        last_modified: ISO 8601, in UTC; None likewise.
        files: how many the repository holds.
        weights: names of those that hold this model's weights.
        fetched: whether all of these are on this machine.
        variants: its GGUF models, this one included.
        notes: what a user has to know of what was taken, one sentence each.
    """

    repository: str
    commit: str
    gated: bool
    downloads: int | None
    last_modified: str | None
    files: int
    weights: tuple[str, ...]
    fetched: bool
    variants: tuple[VariantReport, ...]
    notes: tuple[str, ...]


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
        no_generator: why it cannot generate text (an encoder), or None.
        own_code: Python modules that it brings along and needs; they run only with the user's consent.
        hub: of a model of the hub; else None.
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
    no_generator: str | None = None
    own_code: tuple[str, ...] = ()
    hub: HubReport | None = None


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
        no_generator=why_no_generator(facts.architecture, facts.class_name),
        own_code=facts.own_code,
        hub=None if facts.origin is None else _hub(facts.origin, fetched=bool(facts.files)),
    )


def _hub(origin: Origin, *, fetched: bool) -> HubReport:
    from shoestring.models.hub.variants import references, variants

    repository = origin.repository
    found = variants(repository.files)
    return HubReport(
        repository=repository.id,
        commit=repository.commit,
        gated=repository.gated,
        downloads=repository.downloads,
        last_modified=repository.last_modified,
        files=len(repository.files),
        weights=origin.weights,
        fetched=fetched,
        variants=tuple(
            VariantReport(model, variant.type, variant.size_bytes)
            for model, variant in zip(references(repository.id, found), found, strict=True)
        ),
        notes=origin.remarks,
    )
