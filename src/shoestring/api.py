"""The verbs by a model's name: what `shoestring.load("smollm2")` and the command line both call."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from shoestring.errors import DoesNotFitError, EngineError, UsageError
from shoestring.planning.base import Plan, PlanReport, Request

if TYPE_CHECKING:
    from shoestring.chat.model import Model
    from shoestring.hardware.base import Hardware
    from shoestring.models.facts import ModelFacts
    from shoestring.models.inspect import InspectReport
    from shoestring.models.progress import Progress
    from shoestring.models.reference import Reference, Resolved
    from shoestring.runtime.process import WorkerProcess

# Imports stand inside the functions: `doctor` needs no planner, and while `load` reads headers a worker already starts.


def read_model(model: Reference, *, progress: Progress | None = None, offline: bool = False) -> ModelFacts:
    """What a model is, from its headers; a starter that is not here yet is fetched first.

    Args:
        model: a starter's name, or the path of a `.gguf` file as text or as a path object.
        progress: told of bytes while a starter is fetched.
        offline: never use the network.

    Raises:
        UsageError: `model` names nothing, or is neither text nor a path.
        ModelNotFoundError, InvalidModelFileError, AccessError, FetchError, DiskFullError: as `models.resolve`.
    """
    from shoestring.models.gguf_facts import read_facts
    from shoestring.models.reference import resolve

    resolved = resolve(model, progress=progress, offline=offline)
    facts = read_facts(resolved.files, id=resolved.id, license=resolved.license)
    return replace(facts, system=resolved.system)


def inspect(
    model: Reference, *, tensors: bool = False, progress: Progress | None = None, offline: bool = False
) -> InspectReport:
    """What a model is: parameters, bytes, context, licence, chat or base; with every tensor if `tensors`.

    Raises as `read_model`.
    """
    from shoestring.models.inspect import inspect as report

    return report(read_model(model, progress=progress, offline=offline), tensors=tensors)


def plan(
    model: Reference,
    *,
    context: int | None = None,
    batch: int = 1,
    budget: int | str | None = None,
    exact: bool = False,
    progress: Progress | None = None,
    offline: bool = False,
) -> PlanReport:
    """What running a model here would take, whether it fits, and what would.

    Args:
        context: tokens one sequence may hold; None: the smaller of the model's and 4096.
        batch: sequences side by side.
        budget: memory it may use, in bytes or as text ("2GB"); None: what the machine has free.
        exact: ask the engine for its buffers instead of computing them (about a second).

    Raises:
        UsageError: the request can never work.
        Else as `read_model`.
    """
    request = _request(context, batch, budget)
    facts = read_model(model, progress=progress, offline=offline)
    from shoestring.planning import solver

    return solver.plan(facts, _probe(), request, exact=exact)


def pull(model: Reference, *, progress: Progress | None = None) -> Resolved:
    """Fetch a model, or check the one that is here. Raises as `read_model`."""
    from shoestring.models import cache

    return cache.pull(model, progress)


def load(
    model: Reference,
    *,
    context: int | None = None,
    batch: int = 1,
    in_process: bool = False,
    guard: bool = True,
    progress: Progress | None = None,
    offline: bool = False,
) -> Model:
    """Plan a model and load it in a guarded process of its own, ready to chat.

    Args:
        model: a starter's name, or the path of a `.gguf` file as text or as a path object.
        context: tokens one conversation may hold, prompt and answer together, fixed while the model is loaded
            (more costs more memory); None: the smaller of the model's own and 4096.
        batch: conversations that can be answered at the same time; each has a whole `context` of its own, so
            the cache grows with it.
        in_process: run the engine in this process instead: no isolation, no guard, no measured peak.
        guard: False lets it grow past its plan, at the machine's risk.
        progress: told of bytes while a starter is fetched.
        offline: never use the network.

    Raises:
        DoesNotFitError: it does not fit the memory that is free; `alternative` is the nearest plan that does.
        EngineError, WorkerError: loading failed.
        Else as `plan`.
    """
    loaded = open_model(
        model,
        _request(context, batch),
        in_process=in_process,
        guard=guard,
        progress=progress,
        offline=offline,
    )
    loaded.load()
    return loaded


def open_model(
    model: Reference,
    request: Request,
    *,
    worker: WorkerProcess | None = None,
    in_process: bool = False,
    guard: bool = True,
    progress: Progress | None = None,
    offline: bool = False,
) -> Model:
    """As `load`, but nothing is loaded before the model is used.

    Args:
        worker: one from `prestart`; the model owns it once this returns.

    Raises:
        EngineError: the engine would crash on this processor.
        Else as `load`, but for errors of loading itself.
    """
    facts = read_model(model, progress=progress, offline=offline)
    from shoestring.hardware.problems import cpu_problem

    hardware = _probe()
    if problem := cpu_problem(hardware.cpu):
        raise EngineError(problem.what, problem.fix)
    from shoestring.planning import solver

    report = solver.plan(facts, hardware, request)
    chosen = report.plans[0]
    if not chosen.fits:
        raise _does_not_fit(report)
    from shoestring.chat.model import Model
    from shoestring.runtime.session import open_session

    return Model(
        open_session(
            facts, chosen, alternatives=report.plans[1:], worker=worker, guard=guard, in_process=in_process
        )
    )


def _probe() -> Hardware:
    from shoestring.hardware.probe import probe

    return probe()


def _request(context: int | None, batch: int, budget: int | str | None = None) -> Request:
    """The request, once its types are right; whether its values can work is the planner's to say."""
    if context is not None and not _is_whole(context):
        raise UsageError(f"context is {context!r}, but it must be a whole number of tokens.")
    if not _is_whole(batch):
        raise UsageError(f"batch is {batch!r}, but it must be a whole number of sequences.")
    return Request(context, batch, _bytes(budget))


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _bytes(budget: int | str | None) -> int | None:
    if not isinstance(budget, str):
        if budget is not None and not _is_whole(budget):
            raise UsageError(f"budget is {budget!r}, but it must be whole bytes, or text such as '2GB'.")
        return budget
    from shoestring.units import parse_bytes

    try:
        return parse_bytes(budget)
    except ValueError as error:
        raise UsageError(f"{error}.") from error


def _does_not_fit(report: PlanReport) -> DoesNotFitError:
    asked = report.plans[0]
    alternative = next(
        (plan for plan in report.plans[1:] if plan.fits and _can_be_asked_for(plan, asked)), None
    )
    if alternative is None and report.recommended is not None:
        alternative = report.plans[report.recommended]
    hint = (
        "Close other programs, or choose a smaller model."
        if alternative is None
        else f"What would fit: {describe_difference(asked, alternative)}."
    )
    message = f"{report.model} with a context of {asked.context:,} tokens does not fit. {asked.reason}"
    return DoesNotFitError(message, hint, plan=asked, alternative=alternative)


def _can_be_asked_for(plan: Plan, asked: Plan) -> bool:
    """Whether a caller of `load` gets this plan by asking for another context or batch."""
    return plan.settings == replace(asked.settings, context=plan.context, batch=plan.batch)


def describe_difference(asked: Plan, alternative: Plan) -> str:
    """What another plan changes, in words: "a context of 2,048 tokens and a q8_0 cache"."""
    changes = []
    if alternative.context != asked.context:
        changes.append(f"a context of {alternative.context:,} tokens")
    if alternative.batch != asked.batch:
        changes.append(f"a batch of {alternative.batch}")
    if alternative.kv_precision != asked.kv_precision:
        changes.append(f"a {alternative.kv_precision} cache")
    if alternative.settings.ubatch != asked.settings.ubatch:
        changes.append(f"prompts read {alternative.settings.ubatch} tokens at a time")
    return " and ".join(changes) or "nothing else"
