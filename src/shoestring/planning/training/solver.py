"""Which way of training fits: the fastest settings first, then ever more frugal ones, then another method."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from shoestring.errors import UsageError
from shoestring.hardware.base import Hardware
from shoestring.models.facts import ModelFacts
from shoestring.planning.base import Precision, Request, TrainingSettings
from shoestring.planning.candidates import Candidate, compute_dtype, lacks_bf16
from shoestring.planning.precision import as_transformers
from shoestring.planning.training.micro_batch import accumulate, candidates
from shoestring.planning.training.model import TrainingMemory

Way = Literal["full", "lora", "qlora"]

DEFAULT_LENGTH = 1024
"""Tokens of an example, where the model allows as many and none are asked for."""

LEAST_LENGTH = 8
"""Tokens; nothing is learnt from less."""

MOST_EXAMPLES = 65_536
"""A step; more than the largest batches of published training runs, and its divisors are found at once."""

_CHEAPER: dict[Way, tuple[Way, ...]] = {"full": ("lora", "qlora"), "lora": ("qlora",), "qlora": ()}
_FOUR_BIT = ("nf4-dq", "nf4", "fp4-dq", "fp4")


def training_candidates(facts: ModelFacts, hardware: Hardware, request: Request) -> Iterator[Candidate]:
    """The settings worth trying for what was asked, the fastest first, each with the whole effective batch.

    Raises:
        UsageError: the model cannot be trained so, or the request can never work.
    """
    _check(facts, request)
    length = _length(facts, request)
    for candidate in _of_way(facts, hardware, request, _way(request)):
        if candidate.settings.context == length:
            yield candidate


def cheaper_candidates(
    facts: ModelFacts, hardware: Hardware, request: Request
) -> Iterator[tuple[str, Iterator[Candidate]]]:
    """What to try where nothing asked for fits, each with its sentence: shorter examples, then cheaper methods."""
    way, length = _way(request), _length(facts, request)
    shorter = (c for c in _of_way(facts, hardware, request, way) if c.settings.context < length)
    yield "Shorter examples would fit; what is longer would have to be cut.", shorter
    if request.precision is None:
        for other in _CHEAPER[way]:
            same = (c for c in _of_way(facts, hardware, request, other) if c.settings.context == length)
            yield f"{_NAMES[other]} would fit: {_SAYS[other]}.", same


_NOT_PREPARED = (
    "Planned without peft's prepare_model_for_kbit_training, which casts embeddings, head and norms to fp32: twice "
    "what they take."
)
_NAMES: dict[Way, str] = {"full": "Full fine-tuning", "lora": "LoRA", "qlora": "QLoRA"}
_SAYS: dict[Way, str] = {
    "full": "every weight is trained",
    "lora": "small adapters are trained beside frozen weights",
    "qlora": "small adapters are trained beside frozen weights in 4 bits",
}


def _way(request: Request) -> Way:
    if request.purpose == "inference":
        raise ValueError("inference is not a way of training")
    return request.purpose


def _of_way(facts: ModelFacts, hardware: Hardware, request: Request, way: Way) -> Iterator[Candidate]:
    lacking = lacks_bf16(hardware)
    batch, accumulation = accumulate(request.batch, request.batch)
    for precision in _precisions(facts, hardware, request, way):
        compute = compute_dtype(facts, hardware)
        if way != "qlora":
            compute = "fp32" if precision == "fp32" else "fp16" if precision == "fp16" else "bf16"
        notes = (lacking,) if lacking and facts.dtype == "bf16" and compute == "fp16" else ()
        if way == "qlora":
            notes = (*notes, _NOT_PREPARED)
        fastest = TrainingSettings(
            context=_length(facts, request),
            batch=batch,
            accumulation=accumulation,
            method=way,
            precision=precision,
            compute_dtype=compute,
            lora_rank=0 if way == "full" else TrainingSettings.lora_rank,
            gradient_checkpointing=False,
            threads=hardware.cpu.cores_logical,
        )
        for settings in candidates(fastest):
            yield Candidate(TrainingMemory(), facts, settings, precision, notes=notes)


def _precisions(facts: ModelFacts, hardware: Hardware, request: Request, way: Way) -> tuple[Precision, ...]:
    """Of the base weights: 4 bits for QLoRA, the checkpoint's 16 for LoRA, 32 (then 16) for full fine-tuning."""
    compute = compute_dtype(facts, hardware)
    if request.precision is not None:
        asked = as_transformers(request.precision)
        fitting = _FOUR_BIT if way == "qlora" else ("fp32", "bf16", "fp16")
        if asked is None or asked not in fitting:
            raise UsageError(
                f"{_NAMES[way]} does not work on {request.precision} weights.",
                f"Choose {', '.join(fitting[:-1])} or {fitting[-1]}, or leave the precision open.",
            )
        return (asked,)
    if way == "qlora":
        return ("nf4-dq",)
    if way == "lora":
        return (compute,)
    return ("fp32",) if compute != "bf16" else ("fp32", "bf16")


def _length(facts: ModelFacts, request: Request) -> int:
    limit = facts.context_length
    if request.context is None:
        return min(limit, DEFAULT_LENGTH)
    if not LEAST_LENGTH <= request.context <= limit:
        raise UsageError(
            f"Examples of {request.context:,} tokens cannot be trained with {facts.id}.",
            f"Choose a length between {LEAST_LENGTH} and {limit:,} tokens.",
        )
    return request.context


def _check(facts: ModelFacts, request: Request) -> None:
    if facts.format != "safetensors":
        raise UsageError(
            f"{facts.id} is a GGUF file, which cannot be trained.",
            "Give the checkpoint it was made from: a folder with config.json and safetensors.",
        )
    if facts.quantization is not None:
        raise UsageError(
            f"{facts.id} is quantised already ({facts.quantization.method}); training starts from full weights.",
            "Give the checkpoint it was made from.",
        )
    if request.kv_precision is not None:
        raise UsageError("Training keeps no KV cache.", "Leave the cache's precision out.")
    if request.engine not in (None, "transformers"):
        raise UsageError(
            f"{request.engine} trains nothing.", "Choose transformers, or leave the engine open."
        )
    if request.batch < 1:
        raise UsageError(f"A step of {request.batch} examples trains nothing.", "Choose 1 or more.")
    if request.batch > MOST_EXAMPLES:
        raise UsageError(
            f"A step of {request.batch:,} examples is more than any training takes.",
            f"Choose at most {MOST_EXAMPLES:,}.",
        )
