"""The ways to run or train a model that are worth planning: which engine, at which precision, with which settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from shoestring.errors import UsageError
from shoestring.hardware.base import Hardware
from shoestring.models.facts import ModelFacts
from shoestring.planning import precision as precisions
from shoestring.planning.base import (
    ComputeDtype,
    EngineSettings,
    KvPrecision,
    LlamaCppSettings,
    MemoryModel,
    Precision,
    Request,
    TransformersSettings,
    VllmSettings,
)

LLAMA_CPP, TRANSFORMERS, VLLM = "llama_cpp", "transformers", "vllm"
ENGINES = (LLAMA_CPP, TRANSFORMERS, VLLM)


@dataclass(frozen=True)
class Candidate:
    """One way to try.

    Attributes:
        facts: the model as the engine gets it: the file at hand, or the GGUF that would be made of it.
        precision: its name in the plan.
        converted: whether `facts` is a file that has yet to be made.
        notes: what the user should know of the choice.
    """

    memory: MemoryModel
    facts: ModelFacts
    settings: EngineSettings
    precision: str
    converted: bool = False
    notes: tuple[str, ...] = ()


def candidates(
    facts: ModelFacts, hardware: Hardware, request: Request, context: int
) -> tuple[Candidate, ...]:
    """Every candidate for inference that the request leaves open; at least one.

    Raises:
        UsageError: no engine can do what is asked.
    """
    wanted = None if request.precision is None else precisions.known(request.precision)
    if request.engine is not None and request.engine not in ENGINES:
        import difflib

        near = difflib.get_close_matches(request.engine, ENGINES, n=1)
        question = f"Did you mean {near[0]}? " if near else ""
        raise UsageError(
            f"There is no engine {request.engine!r} to plan for.", f"{question}Engines: {', '.join(ENGINES)}."
        )
    found = [
        candidate
        for engine in ([request.engine] if request.engine else ENGINES)
        for candidate in _BY_ENGINE[engine](facts, hardware, request, context, wanted)
    ]
    if not found:
        raise _nothing(facts, request, wanted)
    return tuple(found)


def _llama_cpp(
    facts: ModelFacts, hardware: Hardware, request: Request, context: int, wanted: str | None
) -> Iterator[Candidate]:
    from shoestring.planning.llama_cpp.kv_cache import refused
    from shoestring.planning.llama_cpp.model import LlamaCppMemory

    if request.kv_precision in ("f32", "bf16"):
        return
    if reason := refused(facts, _llama_cpp_settings(hardware, request, context)):
        raise UsageError(
            f"{facts.id} cannot have a {request.kv_precision} cache: {reason}", "Keep it in f16."
        )
    if wanted is not None and request.engine == LLAMA_CPP:
        wanted = precisions.as_gguf(wanted)
    own = prevailing_type(facts) if facts.format == "gguf" else None
    if own is not None and wanted in (None, own, f"{own}_M", f"{own}_S"):
        yield Candidate(LlamaCppMemory(), facts, _llama_cpp_settings(hardware, request, context), own)
    elif wanted is None:
        yield from _files_to_make(facts, hardware, request, context, precisions.OFFERED_GGUF)
    elif wanted in precisions.GGUF:
        yield from _files_to_make(facts, hardware, request, context, (wanted,))


def _llama_cpp_settings(hardware: Hardware, request: Request, context: int) -> LlamaCppSettings:
    cores = hardware.cpu.cores_logical
    return LlamaCppSettings(
        context=context,
        batch=request.batch,
        kv_precision=request.kv_precision or "f16",
        threads=max(1, cores - 1),  # why: docs/decisions/0004
        prefill_threads=cores,
    )


def _files_to_make(
    facts: ModelFacts, hardware: Hardware, request: Request, context: int, types: Sequence[str]
) -> Iterator[Candidate]:
    """GGUF files that could be made of the model, where llama.cpp's converter reads it."""
    from shoestring.planning.llama_cpp.converted import as_gguf
    from shoestring.planning.llama_cpp.model import LlamaCppMemory

    settings, memory = _llama_cpp_settings(hardware, request, context), LlamaCppMemory()
    for file_type in types:
        made = as_gguf(facts, file_type)
        if made is not None:
            notes = [
                f"This {file_type} file has yet to be made of the model; its size follows llama.cpp's own rules."
            ]
            if facts.modalities != ("text",):
                notes.append(
                    "llama.cpp keeps what reads images or sound in a file of its own, which is not counted."
                )
            yield Candidate(memory, made, settings, file_type, converted=True, notes=tuple(notes))


def smaller_files(
    facts: ModelFacts, hardware: Hardware, request: Request, context: int
) -> list[tuple[str, Candidate]]:
    """Where nothing fits: smaller GGUF files that could be made, the most precise first, each with its sentence."""
    if request.engine not in (None, LLAMA_CPP):
        return []
    lowest = precisions.OFFERED_GGUF[-1]  # of a checkpoint those were looked at already
    own = precisions.bits(prevailing_type(facts) if facts.format == "gguf" else lowest) or 0.0
    offered = (*precisions.OFFERED_GGUF, *precisions.LAST_GGUF)
    types = [name for name in offered if (precisions.bits(name) or own) < own]
    return [
        (f"Quantised to {found.precision} it would fit, at a cost in quality.", found)
        for found in _files_to_make(facts, hardware, request, context, types)
    ]


def _transformers(
    facts: ModelFacts, hardware: Hardware, request: Request, context: int, wanted: str | None
) -> Iterator[Candidate]:
    if facts.format != "safetensors" or request.kv_precision in ("q8_0", "q4_0"):
        return
    from shoestring.planning.transformers.model import TransformersMemory

    compute, memory = compute_dtype(facts, hardware), TransformersMemory()
    for precision in _transformers_precisions(facts, compute, wanted):
        dtype = precision if precision in ("fp32", "bf16", "fp16") else compute
        if request.kv_precision not in (None, _KV_OF[dtype]):
            continue  # its cache is in what it computes in
        lacking = lacks_bf16(hardware) if dtype == "fp16" and wanted != "fp16" else None
        notes = (lacking,) if lacking and "bf16" in (wanted, facts.dtype) else ()
        settings = TransformersSettings(
            context=context,
            batch=request.batch,
            precision=precision,
            compute_dtype=dtype,
            kv_precision=_KV_OF[dtype],
            threads=hardware.cpu.cores_logical,
        )
        yield Candidate(memory, facts, settings, _name(facts, precision), notes=notes)


_KV_OF: dict[ComputeDtype, KvPrecision] = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}


def compute_dtype(facts: ModelFacts, hardware: Hardware) -> ComputeDtype:
    """What to compute in: the checkpoint's own 16 bits, but fp16 on a GPU without bf16 (a T4), fp32 where stored so.

    A GPU that does not tell whether it has bf16 counts as one that has not.
    """
    if facts.dtype == "fp32":
        return "fp32"
    if hardware.gpus and not all(gpu.bf16 for gpu in hardware.gpus):
        return "fp16"
    return "fp16" if facts.dtype == "fp16" and hardware.gpus else "bf16"


def lacks_bf16(hardware: Hardware) -> str | None:
    """Why bf16 is not available on this machine's GPU, in a sentence; None where it is."""
    gpu = next((gpu for gpu in hardware.gpus if not gpu.bf16), None)
    if gpu is None:
        return None
    if gpu.compute_capability is None:
        return f"Whether {gpu.name} computes in bf16 is not known; fp16 is used."
    major, minor = gpu.compute_capability
    return f"bf16 is not available on {gpu.name} (compute capability {major}.{minor}, 8.0 is needed); fp16 is used."


def _transformers_precisions(
    facts: ModelFacts, compute: ComputeDtype, wanted: str | None
) -> tuple[Precision, ...]:
    if facts.quantization is not None:
        return (
            ("stored",)
            if wanted in (None, "stored", facts.quantization.kind, facts.quantization.method)
            else ()
        )
    if wanted is not None:
        precision = precisions.as_transformers(wanted)
        if precision is None:
            return ()
        return ("fp16",) if precision == "bf16" and compute == "fp16" else (precision,)
    return (compute, "int8", "nf4-dq")


def _name(facts: ModelFacts, precision: Precision) -> str:
    if precision != "stored" or facts.quantization is None:
        return precision
    method, bits = facts.quantization.method, facts.quantization.bits
    return facts.quantization.kind or (f"{method}-{bits}bit" if bits else method)


def _vllm(
    facts: ModelFacts, hardware: Hardware, request: Request, context: int, wanted: str | None
) -> Iterator[Candidate]:
    if request.engine != VLLM or facts.format != "safetensors":
        return  # never run by us: planned only for who asks
    from shoestring.planning.vllm import VllmMemory, why_not

    reason = why_not(hardware)
    if reason is not None:
        raise UsageError(
            f"vLLM cannot be planned here: {reason}", "Name a machine with a GPU, or another engine."
        )
    compute = compute_dtype(facts, hardware)
    for precision in _transformers_precisions(facts, compute, wanted)[:1]:
        if precision in ("fp32", "bf16", "fp16", "stored"):
            dtype = compute if precision == "stored" else precision
            settings = VllmSettings(context, request.batch, precision, dtype, _KV_OF[dtype])
            yield Candidate(VllmMemory(), facts, settings, _name(facts, precision))


_BY_ENGINE = {LLAMA_CPP: _llama_cpp, TRANSFORMERS: _transformers, VLLM: _vllm}


def prevailing_type(facts: ModelFacts) -> str:
    """The GGML type that holds most of a file's bytes."""
    return max(facts.weights.by_dtype.items(), key=lambda item: item[1])[0]


def unmapped(candidate: Candidate) -> Candidate | None:
    """The same with the file read instead of mapped: rearranged weights then have no original beside them."""
    if not isinstance(candidate.settings, LlamaCppSettings) or not candidate.settings.mmap:
        return None
    note = "The file is read, not mapped, so that rearranged weights are held once; loading takes longer."
    settings = replace(candidate.settings, mmap=False)
    return replace(candidate, settings=settings, notes=(*candidate.notes, note))


def smaller(candidate: Candidate) -> list[tuple[str, Candidate]]:
    """What may be given up while the context stays, each with its sentence: the prefill's speed first, then precision of the cache."""
    settings = candidate.settings
    if isinstance(settings, LlamaCppSettings):
        ubatch = min(settings.ubatch, SMALLER_UBATCH)
        steps = (
            f"Reading the prompt in steps of {ubatch} tokens needs less work space and is a little slower."
        )
        # A quantised value cache needs flash attention, which is always on here.
        cache = "A cache in 8 bits (q8_0) needs about half the memory, at a small cost in quality."
        both = (
            "A cache in 8 bits (q8_0) and a prompt read in smaller steps need least memory for this context."
        )
        changes: list[tuple[str, EngineSettings]] = [
            (steps, replace(settings, ubatch=ubatch)),
            (cache, replace(settings, kv_precision="q8_0")),
            (both, replace(settings, kv_precision="q8_0", ubatch=ubatch)),
        ]
        from shoestring.planning.llama_cpp.kv_cache import refused

        return [
            (reason, replace(candidate, settings=changed))
            for reason, changed in changes
            if not (isinstance(changed, LlamaCppSettings) and refused(candidate.facts, changed))
        ]
    if isinstance(settings, TransformersSettings) and not settings.offload:
        offloaded = "Kept partly outside it would fit; that part is copied for every token, which is slow."
        return [(offloaded, replace(candidate, settings=replace(settings, offload=True)))]
    return []


SMALLER_UBATCH = 128
"""Tokens computed at once in the alternative that saves work space; its prefill is slower."""


def _nothing(facts: ModelFacts, request: Request, wanted: str | None) -> UsageError:
    what = f"{facts.id} ({facts.format})"
    on = f" on {request.engine}" if request.engine else ""
    at = f" at {wanted}" if wanted else ""
    cache = f" with a {request.kv_precision} cache" if request.kv_precision else ""
    if facts.format == "gguf" and request.engine == TRANSFORMERS:
        return UsageError(
            f"{what} is a GGUF file, which llama.cpp runs.",
            "Choose llama_cpp, or give the original checkpoint.",
        )
    if request.engine == LLAMA_CPP and facts.format == "safetensors":
        from shoestring.planning.llama_cpp.converted import why_not_convertible

        if reason := why_not_convertible(facts):
            return UsageError(f"llama.cpp cannot run {what}: {reason}", "Leave the engine open.")
    return UsageError(
        f"No engine here runs {what}{on}{at}{cache}.", "Leave the engine, the precision or the cache open."
    )
