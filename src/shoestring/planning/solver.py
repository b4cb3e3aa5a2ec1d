"""From a model, a machine and a wish to plans: does it fit, what would, and why."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from shoestring.errors import ModelError, UsageError
from shoestring.hardware.base import Hardware, Memory
from shoestring.models.facts import ModelFacts
from shoestring.planning.base import (
    LlamaCppSettings,
    Method,
    Plan,
    PlanBytes,
    PlanReport,
    Request,
    TokensPerSecond,
)
from shoestring.planning.llama_cpp.compute import compute_buffer_bytes, output_buffer_bytes, unaccounted
from shoestring.planning.llama_cpp.kv_cache import PADDING, kv_cache_bytes
from shoestring.planning.llama_cpp.runtime import BASELINE_BYTES, header_bytes, runtime_terms
from shoestring.planning.llama_cpp.weights import mapped_bytes, repacked_bytes
from shoestring.units import MiB, format_bytes

DEFAULT_CONTEXT = 4096
"""Tokens, where the model allows as many: enough for a long chat, and the cache stays small."""

LEAST_CONTEXT = 2
"""One token of prompt and one of answer; llama.cpp aborts on a context of 1."""

MOST_SEQUENCES = 256
"""llama.cpp's own limit (`LLAMA_MAX_SEQ`)."""

SMALLER_UBATCH = 128
"""Tokens computed at once in the alternative that saves work space; its prefill is slower."""


def safety_margin_bytes(memory: Memory) -> int:
    """Memory that a plan leaves free: a tenth of the machine's (or its cgroup's), at most 512 MiB.

    Half of it is the floor under which the guard stops a worker; the other half is for what other
    programs take meanwhile and for the plan's own error.
    """
    whole = memory.total_bytes if memory.limit_bytes is None else memory.limit_bytes
    return min(512 * MiB, whole // 10)


def plan(
    facts: ModelFacts,
    hardware: Hardware,
    request: Request,
    *,
    exact: bool = False,
    baseline_bytes: int = BASELINE_BYTES,
) -> PlanReport:
    """What running a GGUF model on llama.cpp would take of this machine's main memory.

    Args:
        exact: ask the engine for its cache and compute buffers (a dry run, about a second) instead of
            computing them. A model that the formula cannot account for is always asked about.
        baseline_bytes: what a worker holds whatever the model, if it was measured on this machine.

    Returns:
        The plan asked for first; where it does not fit, the nearest that do. `terms` are the first plan's.

    Raises:
        UsageError: the request can never work, whatever the machine.
        ModelError: a term has no figure for this model, neither by formula nor from the engine.
        EngineError: the dry run failed.
    """
    cores = hardware.cpu.cores_logical
    settings = LlamaCppSettings(
        context=_context(facts, request),
        batch=_batch(request),
        threads=max(1, cores - 1),  # why: docs/decisions/0004
        prefill_threads=cores,
    )
    return _Solver(facts, hardware, request, exact, baseline_bytes).report(settings)


@dataclass
class _Solver:
    facts: ModelFacts
    hardware: Hardware
    request: Request
    exact: bool
    baseline_bytes: int

    def report(self, settings: LlamaCppSettings) -> PlanReport:
        asked, terms = self.asked(settings)
        by_formula = not self.unaccounted
        largest = self.largest_context(settings) if by_formula else None
        plans = [asked]
        if by_formula and not asked.fits:
            plans += self.alternatives(settings, largest)
        return PlanReport(
            model=self.facts.id,
            hardware=f"{self.hardware.cpu.model}, {format_bytes(self.hardware.memory.total_bytes)}",
            request=self.request,
            recommended=next((i for i, candidate in enumerate(plans) if candidate.fits), None),
            plans=tuple(plans),
            largest_context=largest,
            terms=terms,
        )

    @cached_property
    def budget_bytes(self) -> int:
        asked = self.request.budget_bytes
        if asked is None:
            return self.free_bytes
        if asked < 1:
            raise UsageError(
                f"A memory budget of {asked} bytes can hold nothing.", "Give a size such as 2GB, or none."
            )
        return asked

    @cached_property
    def free_bytes(self) -> int:
        """What this machine can really give."""
        memory = self.hardware.memory
        return max(0, memory.available_bytes - safety_margin_bytes(memory))

    @cached_property
    def unaccounted(self) -> tuple[str, ...]:
        return unaccounted(self.facts)

    def asked(self, settings: LlamaCppSettings) -> tuple[Plan, dict[str, int]]:
        """The plan asked for and its terms, by formula or from the engine."""
        if not (self.exact or self.unaccounted):
            terms = self.terms(settings)
            return self.plan(settings, terms, "formula"), terms
        if not self.facts.files:
            reasons = " ".join(self.unaccounted) or "Its files are not here."
            raise ModelError(
                f"The memory of {self.facts.id} cannot be planned: {reasons}",
                "Fetch the model first: the engine can then be asked.",
            )
        from shoestring.planning.dry_run import dry_run

        engine = dry_run(self.facts.files, settings)
        terms = self.fixed_terms(settings) | {
            "kv_cache": engine.kv_cache_bytes,
            "compute_buffer": engine.compute_buffer_bytes,
            "output_buffer": engine.output_buffer_bytes,
        }
        notes = [f"{reason} The engine was asked instead." for reason in self.unaccounted]
        return self.plan(settings, terms, "dry-run", notes=tuple(notes)), terms

    def terms(self, settings: LlamaCppSettings) -> dict[str, int]:
        """Every term by formula."""
        return self.fixed_terms(settings) | {
            "kv_cache": kv_cache_bytes(self.facts, settings),
            "compute_buffer": compute_buffer_bytes(self.facts, settings),
            "output_buffer": output_buffer_bytes(self.facts, settings),
        }

    def fixed_terms(self, settings: LlamaCppSettings) -> dict[str, int]:
        """The terms that no dry run tells."""
        features = self.hardware.cpu.features
        return {
            "weights_mapped": mapped_bytes(self.facts, settings, features),
            "weights_repacked": repacked_bytes(self.facts, settings, features),
            **runtime_terms(self.facts, settings, self.baseline_bytes),
        }

    def plan(
        self,
        settings: LlamaCppSettings,
        terms: dict[str, int],
        method: Method,
        *,
        reason: str | None = None,
        notes: tuple[str, ...] = (),
    ) -> Plan:
        figures = self.grouped(terms)
        headroom = self.budget_bytes - max(figures.total, figures.load_peak)
        return Plan(
            engine="llama_cpp",
            precision=max(self.facts.weights.by_dtype.items(), key=lambda item: item[1])[0],
            kv_precision=settings.kv_precision,
            context=settings.context,
            batch=settings.batch,
            placement={"cpu": figures.total},
            bytes=figures,
            budget_bytes=self.budget_bytes,
            fits=headroom >= 0,
            headroom_bytes=headroom,
            tokens_per_s=TokensPerSecond(),
            method=method,
            settings=settings,
            reason=reason or _reason(figures, headroom, self.budget_bytes),
            notes=(*notes, *self.budget_notes),
        )

    @property
    def budget_notes(self) -> tuple[str, ...]:
        if self.budget_bytes <= self.free_bytes:
            return ()
        free = format_bytes(self.free_bytes)
        return (f"Planned for a larger machine: this one can give {free} now.",)

    def grouped(self, terms: dict[str, int]) -> PlanBytes:
        """The terms in the plan's groups, and the two peaks.

        While loading, the whole file is mapped and the header's arrays lie beside the vocabulary made of
        them; then cache and output are cleared, while compute, work space and samplers fill with use.
        """
        total = sum(terms.values())
        weights = terms["weights_mapped"] + terms["weights_repacked"]
        compute = terms["compute_buffer"] + terms["output_buffer"]
        reading = self.facts.file_bytes + terms["weights_repacked"] + terms["worker"]
        reading += terms["vocabulary"] + header_bytes(self.facts.tokenizer)
        loaded = total - terms["compute_buffer"] - terms["work"] - terms["sampling"]
        return PlanBytes(
            weights=weights,
            kv_cache=terms["kv_cache"],
            compute=compute,
            runtime=total - weights - compute - terms["kv_cache"],
            total=total,
            load_peak=max(reading, loaded),
        )

    def alternatives(self, settings: LlamaCppSettings, largest: int | None) -> list[Plan]:
        """Plans near the one asked for that fit, the one that gives up least first."""
        found = []
        for reason, candidate in _smaller(settings):
            option = self.plan(candidate, self.terms(candidate), "formula", reason=reason)
            if option.fits:
                found.append(option)
        if largest is not None:
            shorter = replace(settings, context=largest)
            reason = f"A context of {largest:,} tokens is the longest that fits with nothing else given up."
            found.append(self.plan(shorter, self.terms(shorter), "formula", reason=reason))
        return found

    def largest_context(self, settings: LlamaCppSettings) -> int | None:
        """The longest context that fits, everything else as it is; None where none does.

        llama.cpp reserves whole blocks of 256 cells, so only their ends need a look.
        """

        def fits(context: int) -> bool:
            candidate = replace(settings, context=context)
            return self.plan(candidate, self.terms(candidate), "formula").fits

        limit = self.facts.context_length
        if fits(limit):
            return limit
        fitting, failing = 0, -(-limit // PADDING)
        while failing - fitting > 1:
            middle = (fitting + failing) // 2
            fitting, failing = (middle, failing) if fits(middle * PADDING) else (fitting, middle)
        return fitting * PADDING or None


def _smaller(settings: LlamaCppSettings) -> list[tuple[str, LlamaCppSettings]]:
    """What may be given up while the context stays: speed of the prefill first, then precision of the cache."""
    ubatch = min(settings.ubatch, SMALLER_UBATCH)
    steps = f"Reading the prompt in steps of {ubatch} tokens needs less work space and is a little slower."
    # A quantised value cache needs flash attention, which is always on here.
    cache = "A cache in 8 bits (q8_0) needs about half the memory, at a small cost in quality."
    both = "A cache in 8 bits (q8_0) and a prompt read in smaller steps need least memory for this context."
    return [
        (steps, replace(settings, ubatch=ubatch)),
        (cache, replace(settings, kv_precision="q8_0")),
        (both, replace(settings, kv_precision="q8_0", ubatch=ubatch)),
    ]


def _reason(figures: PlanBytes, headroom: int, budget: int) -> str:
    peak = format_bytes(max(figures.total, figures.load_peak))
    if headroom >= 0:
        return f"It needs {peak} of the {format_bytes(budget)} that may be used."
    return (
        f"It needs {peak}, {format_bytes(-headroom)} more than the {format_bytes(budget)} that may be used."
    )


def _context(facts: ModelFacts, request: Request) -> int:
    limit = facts.context_length
    if request.context is None:
        return min(limit, DEFAULT_CONTEXT)
    hint = f"Choose a context between {LEAST_CONTEXT} and {limit:,} tokens."
    if request.context < LEAST_CONTEXT:
        raise UsageError(
            f"A context of {request.context} tokens cannot hold a prompt and one token of answer.", hint
        )
    if request.context > limit:
        raise UsageError(
            f"A context of {request.context:,} tokens is longer than {facts.id} was trained for ({limit:,}).",
            hint,
        )
    return request.context


def _batch(request: Request) -> int:
    if request.batch < 1:
        raise UsageError(f"A batch of {request.batch} sequences has nothing to run.", "Choose 1 or more.")
    if request.batch > MOST_SEQUENCES:
        raise UsageError(
            f"llama.cpp runs at most {MOST_SEQUENCES} sequences side by side; {request.batch:,} is too many.",
            f"Choose a batch of at most {MOST_SEQUENCES}.",
        )
    return request.batch
