"""From a model, a machine and a wish to plans: does it fit, what would, and why."""

from __future__ import annotations

from dataclasses import dataclass, replace

from shoestring.errors import UsageError
from shoestring.hardware.base import Hardware, Memory
from shoestring.models.facts import ModelFacts
from shoestring.planning.base import (
    EngineSettings,
    Plan,
    PlanBytes,
    PlanReport,
    Request,
    TokensPerSecond,
)
from shoestring.planning.compute import compute_buffer_bytes, output_buffer_bytes
from shoestring.planning.kv_cache import PADDING, kv_cache_bytes
from shoestring.planning.runtime import runtime_terms
from shoestring.planning.weights import mapped_bytes, repacked_bytes
from shoestring.units import MiB, format_bytes

DEFAULT_CONTEXT = 4096
"""Tokens, where the model allows as many: enough for a long chat, and the cache stays small."""


def safety_margin_bytes(memory: Memory) -> int:
    """Memory that a plan leaves free: a tenth of the machine's (or its cgroup's), at most 512 MiB.

    Half of it is the floor under which the guard stops a worker; the other half is for what other
    programs take meanwhile and for the plan's own error.
    """
    whole = memory.total_bytes if memory.limit_bytes is None else memory.limit_bytes
    return min(512 * MiB, whole // 10)


def plan(facts: ModelFacts, hardware: Hardware, request: Request, *, exact: bool = False) -> PlanReport:
    """What running a GGUF model on llama.cpp would take of this machine's main memory.

    Args:
        exact: ask the engine for its cache and compute buffers (a dry run, about a second) instead of
            computing them.

    Returns:
        The plan asked for first, then, where it does not fit, the nearest that do.

    Raises:
        UsageError: the request can never work, whatever the machine.
        ModelError: a term has no figure for this model.
    """
    settings = EngineSettings(
        context=_context(facts, request), batch=_batch(request), threads=hardware.cpu.cores_logical
    )
    solver = _Solver(facts, hardware, _budget(hardware, request), exact)
    asked = solver.plan(settings)
    plans = [asked] if asked.fits else [asked, *solver.alternatives(settings)]
    recommended = next((i for i, candidate in enumerate(plans) if candidate.fits), None)
    return PlanReport(
        model=facts.id,
        hardware=f"{hardware.cpu.model}, {format_bytes(hardware.memory.total_bytes)}",
        request=request,
        recommended=recommended,
        plans=tuple(plans),
        largest_context=solver.largest_context(settings),
        terms=solver.terms(settings),
    )


@dataclass
class _Solver:
    facts: ModelFacts
    hardware: Hardware
    budget_bytes: int
    exact: bool

    def terms(self, settings: EngineSettings) -> dict[str, int]:
        facts = self.facts
        return {
            "weights_mapped": mapped_bytes(facts, settings, self.hardware.cpu.features),
            "weights_repacked": repacked_bytes(facts, settings, self.hardware.cpu.features),
            "kv_cache": kv_cache_bytes(facts, settings),
            "compute_buffer": compute_buffer_bytes(facts, settings),
            "output_buffer": output_buffer_bytes(facts, settings),
            **runtime_terms(facts, settings),
        }

    def plan(self, settings: EngineSettings, reason: str | None = None) -> Plan:
        figures = _group(self.terms(settings))
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
            method="formula",
            settings=settings,
            reason=reason or _reason(headroom, self.budget_bytes),
        )

    def alternatives(self, settings: EngineSettings) -> list[Plan]:
        found = []
        for reason, candidate in _smaller(settings):
            option = self.plan(candidate, reason)
            if option.fits:
                found.append(option)
        largest = self.largest_context(settings)
        if largest is not None and largest < settings.context:
            found.append(
                self.plan(replace(settings, context=largest), "A shorter context needs a smaller cache.")
            )
        return found

    def largest_context(self, settings: EngineSettings) -> int | None:
        """The largest context that fits, everything else as it is; None where none does."""

        def fits(context: int) -> bool:
            return self.plan(replace(settings, context=context)).fits

        limit = self.facts.context_length
        if fits(limit):
            return limit
        low, high = 0, -(-limit // PADDING)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if fits(middle * PADDING) else (low, middle)
        return low * PADDING or None


def _smaller(settings: EngineSettings) -> list[tuple[str, EngineSettings]]:
    options = []
    if settings.ubatch > 128:
        options.append(
            ("Reading the prompt 128 tokens at a time needs less work space.", replace(settings, ubatch=128))
        )
    if settings.kv_precision == "f16" and settings.flash_attention:
        options.append(("An 8-bit cache needs half the memory.", replace(settings, kv_precision="q8_0")))
        options.append(
            ("Both an 8-bit cache and shorter steps.", replace(settings, kv_precision="q8_0", ubatch=128))
        )
    return options


def _group(terms: dict[str, int]) -> PlanBytes:
    weights = terms["weights_mapped"] + terms["weights_repacked"]
    compute = terms["compute_buffer"] + terms["output_buffer"]
    total = sum(terms.values())
    runtime = total - weights - compute - terms["kv_cache"]
    return PlanBytes(
        weights=weights,
        kv_cache=terms["kv_cache"],
        compute=compute,
        runtime=runtime,
        total=total,
        load_peak=total - compute,
    )


def _reason(headroom: int, budget: int) -> str:
    if headroom >= 0:
        return f"Everything fits in the {format_bytes(budget)} that may be used, {format_bytes(headroom)} to spare."
    return f"It needs {format_bytes(-headroom)} more than the {format_bytes(budget)} that may be used."


def _context(facts: ModelFacts, request: Request) -> int:
    limit = facts.context_length
    if request.context is None:
        return min(limit, DEFAULT_CONTEXT)
    if request.context < 1:
        raise UsageError(
            f"A context of {request.context} tokens can hold nothing.", f"Choose one between 1 and {limit:,}."
        )
    if request.context > limit:
        raise UsageError(
            f"{facts.id} was trained for contexts of up to {limit:,} tokens; {request.context:,} is beyond that.",
            f"Choose a context of at most {limit:,}.",
        )
    return request.context


def _batch(request: Request) -> int:
    if request.batch < 1:
        raise UsageError(f"A batch of {request.batch} sequences has nothing to run.", "Choose 1 or more.")
    return request.batch


def _budget(hardware: Hardware, request: Request) -> int:
    free = max(0, hardware.memory.available_bytes - safety_margin_bytes(hardware.memory))
    if request.budget_bytes is None:
        return free
    if request.budget_bytes < 1:
        raise UsageError(
            f"A memory budget of {request.budget_bytes} bytes can hold nothing.", "Choose a larger one."
        )
    return min(request.budget_bytes, free)
