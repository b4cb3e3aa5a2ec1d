"""The verbs by a model's name: what `shoestring.load("smollm2")` and the command line both call."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from shoestring.errors import UsageError
from shoestring.planning.base import PlanReport, Request

if TYPE_CHECKING:
    from shoestring.chat.model import Model
    from shoestring.chat.named_templates import Template
    from shoestring.hardware.base import Hardware
    from shoestring.models.facts import ModelFacts
    from shoestring.models.inspect import InspectReport
    from shoestring.models.progress import Progress
    from shoestring.models.reference import Reference, Resolved
    from shoestring.runtime.process import WorkerProcess
    from shoestring.runtime.stepping import Told

# Imports stand inside the functions: `doctor` needs no planner, and while `load` reads headers a worker already starts.


def read_model(model: Reference, *, progress: Progress | None = None, offline: bool = False) -> ModelFacts:
    """What a model is, from its headers. A starter that is not here yet is fetched first; of a model of the hub,
    nothing but its headers is read (`files` is empty until it was fetched).

    Args:
        model: a starter's name, a model of the hub (`org/name`, `org/name:Q4_K_M`, `org/name/file.gguf`), or the path of
            a `.gguf` file or of a folder with `config.json` and safetensors, as text or as a path object.
        progress: told of bytes while a starter is fetched.
        offline: never use the network.

    Raises:
        UsageError: `model` names nothing, or is neither text nor a path.
        ModelNotFoundError, InvalidModelFileError, AccessError, FetchError, DiskFullError: as `models.resolve`.
    """
    from shoestring.models.reference import resolve

    resolved = resolve(model, progress=progress, offline=offline)
    if resolved.repository is not None and resolved.choice is not None:
        from shoestring.models.hub.reading import read

        return read(resolved.repository, resolved.choice, id=resolved.id)
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
        ModelError: it does not generate text (an encoder).
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
    from shoestring.models.generators import require_generator
    from shoestring.planning import solver

    require_generator(facts)
    known = None
    if hardware is None:
        from shoestring.runtime.ledger import learnt

        known = learnt(facts)
    return solver.plan(facts, machine, wanted, exact=exact, calibrations=known)


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


def pull(model: Reference, *, trust_remote_code: bool = False, progress: Progress | None = None) -> Resolved:
    """Fetch a model, or check the one that is here. Raises as `read_model`.

    Args:
        trust_remote_code: fetch Python code that the model's authors ship with it, too, so that a load with the same
            consent needs no network. Nothing is run.
        progress: told of bytes.
    """
    from shoestring.models import cache

    return cache.pull(model, progress, code=trust_remote_code)


def load(
    model: Reference,
    *,
    context: int | None = None,
    batch: int = 1,
    engine: str | None = None,
    precision: str | None = None,
    kv_precision: str | None = None,
    ram: int | str | None = None,
    vram: int | str | None = None,
    trust_remote_code: bool = False,
    auto: bool = False,
    check: bool = False,
    template: str | None = None,
    in_process: bool = False,
    guard: bool = True,
    progress: Progress | None = None,
    offline: bool = False,
) -> Model:
    """Plan a model and load it in a guarded process of its own, ready to chat.

    Whether it fits is known before a byte of weights is fetched. A GGUF file runs on llama.cpp on the CPU, a checkpoint
    on transformers.

    Args:
        model: as for `read_model`.
        context: tokens one conversation may hold, prompt and answer together, fixed while the model is loaded
            (more costs more memory); None: the smaller of the model's own and 4096.
        batch: conversations that can be answered at the same time; each has a whole `context` of its own, so
            the cache grows with it.
        engine: "llama_cpp" or "transformers"; None: the one for the model's format.
        precision: of a checkpoint's weights ("bf16", "int8", "nf4"…); None: the best that fits.
        kv_precision: of the cache ("f16", "q8_0"…).
        ram: main memory it may use, in bytes or as text ("12GB"); None: what is free.
        vram: memory of the GPUs together, likewise; 0 loads on the CPU.
        trust_remote_code: consent to running Python code that the model's authors ship with it. It runs with your
            rights: read it first.
        auto: where it does not fit, or fails for memory in spite of its plan, go on with the next smaller plan
            instead of raising (`Model.steps` tells what was given up).
        check: ask the loaded model what it must know, and look at its numbers (`Model.check`).
        template: a chat format in place of the model's own: a name ("chatml", "llama3"…) or the path of a Jinja file.
        in_process: run the engine in this process instead: no isolation, no guard, no measured peak.
        guard: False lets it grow past its plan, at the machine's risk.
        progress: told of bytes while something is fetched.
        offline: never use the network.

    Raises:
        DoesNotFitError: it does not fit the memory that is free; `alternative` is the nearest plan that does.
        CheckFailedError: it was loaded, but does not work.
        EngineError, WorkerError: loading failed.
        Else as `plan`.
    """
    from shoestring.planning.request import request

    loaded = open_model(
        model,
        request(
            context=context,
            batch=batch,
            ram=ram,
            vram=vram,
            precision=precision,
            kv_precision=kv_precision,
            engine=engine,
        ),
        trust_remote_code=trust_remote_code,
        auto=auto,
        template=template,
        in_process=in_process,
        guard=guard,
        progress=progress,
        offline=offline,
    )
    try:
        loaded.load()
        if check:
            loaded.check().raise_if_failed()
    except BaseException:
        loaded.close()
        raise
    return loaded


def open_model(
    model: Reference,
    request: Request,
    *,
    trust_remote_code: bool = False,
    auto: bool = False,
    told: Told | None = None,
    template: str | None = None,
    worker: WorkerProcess | None = None,
    in_process: bool = False,
    guard: bool = True,
    progress: Progress | None = None,
    offline: bool = False,
) -> Model:
    """As `load`, but nothing is loaded before the model is used.

    Args:
        told: hears of each step that `auto` takes.
        worker: one from `prestart`; it is the model's from now on, and ended if there is none.

    Raises:
        EngineError: the engine would crash on this processor.
        Else as `load`, but for errors of loading itself.
    """
    from shoestring.runtime.early import EarlyWorker

    with EarlyWorker(worker) as early:
        chosen = _template(template)
        facts = read_model(model, progress=progress, offline=offline)
        from shoestring.chat.model import Model
        from shoestring.models.generators import require_generator
        from shoestring.runtime.opening import open_chosen

        require_generator(facts)
        return Model(
            open_chosen(
                facts,
                _probe(),
                request,
                early,
                trust_remote_code=trust_remote_code,
                auto=auto,
                told=told,
                in_process=in_process,
                guard=guard,
                progress=progress,
            ),
            chosen,
        )


def _template(wanted: str | None) -> Template | None:
    """A chat format by name or file; a name nobody knows is told before anything is fetched."""
    if wanted is None:
        return None
    from shoestring.chat.named_templates import find

    return find(wanted)


def _probe() -> Hardware:
    from shoestring.hardware.probe import probe

    return probe()
