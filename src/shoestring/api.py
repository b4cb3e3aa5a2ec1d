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
    from shoestring.planning.calibration import Calibration
    from shoestring.runtime.process import WorkerProcess

_DECISIVE = 0.1  # of a plan's total: how far from its budget no calibration changes the answer

# Imports stand inside the functions: `doctor` needs no planner, and while `load` reads headers a worker already starts.


def read_model(model: Reference, *, progress: Progress | None = None, offline: bool = False) -> ModelFacts:
    """What a model is, from its headers; a starter that is not here yet is fetched first.

    Args:
        model: a starter's name, or the path of a `.gguf` file or of a folder with `config.json` and safetensors, as
            text or as a path object.
        progress: told of bytes while a starter is fetched.
        offline: never use the network.

    Raises:
        UsageError: `model` names nothing, or is neither text nor a path.
        ModelNotFoundError, InvalidModelFileError, AccessError, FetchError, DiskFullError: as `models.resolve`.
    """
    from shoestring.models.reference import resolve

    resolved = resolve(model, progress=progress, offline=offline)
    if resolved.folder is not None:
        from shoestring.models.safetensors_facts import read_checkpoint
        from shoestring.models.source import FolderSource

        return read_checkpoint(FolderSource(resolved.folder), id=resolved.id, license=resolved.license)
    from shoestring.models.gguf_facts import read_facts

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
    hardware: Hardware | str | None = None,
    ram: int | str | None = None,
    vram: int | str | None = None,
    context: int | None = None,
    batch: int | None = None,
    precision: str | None = None,
    kv_precision: str | None = None,
    engine: str | None = None,
    purpose: str = "inference",
    quality_floor: str | None = None,
    exact: bool = False,
    progress: Progress | None = None,
    offline: bool = False,
) -> PlanReport:
    """What running or training a model would take, whether it fits, and what would.

    Args:
        hardware: a named machine ("t4", "laptop-16gb"), or one as `probe` gives it; None: this machine.
        ram: main memory it may use, in bytes or as text ("12GB"); None: what the machine has free.
        vram: memory of its GPUs together, likewise; 0 plans without a GPU.
        context: tokens one sequence may hold; None: the smaller of the model's and 4096 (training: 1024).
        batch: sequences side by side; in training the examples of one step. None: 1, in training 16.
        precision: of the weights ("bf16", "int8", "nf4", "Q4_K_M"…); None: the best that fits.
        kv_precision: of the cache ("f16", "q8_0", "q4_0"…).
        engine: "llama_cpp", "transformers" or "vllm"; None: the best.
        purpose: "inference", or a way of training: "full", "lora", "qlora".
        quality_floor: a precision below which none is recommended.
        exact: ask the engine for its figures instead of computing them (seconds).

    Raises:
        UsageError: the request can never work.
        EngineError: an exact plan was asked for, and the dry run failed.
        Else as `read_model`.
    """
    from shoestring.planning.request import request

    wanted = request(
        context=context,
        batch=batch,
        ram=ram,
        vram=vram,
        precision=precision,
        kv_precision=kv_precision,
        engine=engine,
        purpose=purpose,
        quality_floor=quality_floor,
    )
    machine = _machine(hardware, wanted)
    facts = read_model(model, progress=progress, offline=offline)
    from shoestring.planning import solver

    here = hardware is None
    return solver.plan(facts, machine, wanted, exact=exact, calibrations=_calibrations() if here else None)


def _machine(hardware: Hardware | str | None, wanted: Request) -> Hardware:
    """The machine to plan for: a named one, a given one or this one, with the GPU memory that was asked for."""
    from shoestring.hardware import base
    from shoestring.hardware.catalog import custom, named

    if isinstance(hardware, str):
        hardware = named(hardware)
    elif hardware is not None and not isinstance(hardware, base.Hardware):
        raise UsageError(f"hardware is {hardware!r}, but it must be a machine's name, or what probe() gives.")
    elif hardware is None:
        from shoestring.hardware.bandwidth import with_bandwidth

        hardware = with_bandwidth(_probe(), measure=True)
    return custom(None, wanted.vram_bytes, hardware)


def _calibrations() -> dict[str, Calibration]:
    """What earlier loads on this machine taught, by engine."""
    from shoestring.planning.calibration import calibrations
    from shoestring.runtime.ledger import Ledger

    return calibrations(Ledger().observations())


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
    from shoestring.planning.request import whole

    loaded = open_model(
        model,
        Request(
            whole(context, "context", "tokens") if context is not None else None,
            whole(batch, "batch", "sequences"),
        ),
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
    if facts.format != "gguf":
        raise EngineError(
            f"{facts.id} can be planned, but this version loads GGUF files only.",
            "Give a .gguf file of the model; its plan says how large one would be.",
        )
    report = _plan_to_load(facts, hardware, request)
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


def _plan_to_load(facts: ModelFacts, hardware: Hardware, request: Request) -> PlanReport:
    """The plan that a load follows: on the CPU, where this version loads models.

    What earlier loads taught is looked up only where it could change the answer: it costs a tenth of the start.
    """
    from shoestring.planning import solver

    on_cpu = replace(hardware, gpus=())
    report = solver.plan(facts, on_cpu, request, limits=False)
    headroom, total = report.plans[0].headroom_bytes, report.plans[0].bytes.total
    if headroom is None or total is None or abs(headroom) > total * _DECISIVE:
        return report
    return solver.plan(facts, on_cpu, request, limits=False, calibrations=_calibrations())


def _probe() -> Hardware:
    from shoestring.hardware.probe import probe

    return probe()


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
    ubatch = getattr(alternative.settings, "ubatch", None)
    if ubatch != getattr(asked.settings, "ubatch", None):
        changes.append(f"prompts read {ubatch} tokens at a time")
    if alternative.precision != asked.precision:
        changes.append(f"{alternative.precision} weights")
    return " and ".join(changes) or "nothing else"
