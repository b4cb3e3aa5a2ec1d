"""From a model's facts to a session: a plan is chosen and held against this machine before anything is fetched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from shoestring.engines import installed
from shoestring.errors import EngineError
from shoestring.hardware.base import Hardware
from shoestring.hardware.problems import cpu_problem
from shoestring.models.facts import ModelFacts
from shoestring.models.progress import Progress
from shoestring.planning.base import Plan, Request, TransformersSettings
from shoestring.runtime.choosing import Choice, choose, engine_for, smaller
from shoestring.runtime.early import EarlyWorker
from shoestring.runtime.session import Session
from shoestring.runtime.stepping import Told


def open_chosen(
    facts: ModelFacts,
    hardware: Hardware,
    request: Request,
    early: EarlyWorker,
    *,
    trust_remote_code: bool = False,
    auto: bool = False,
    told: Told | None = None,
    in_process: bool = False,
    guard: bool = True,
    progress: Progress | None = None,
) -> Session:
    """A session on this machine, for a model that is here or on the hub; the latter's weights are fetched last of all.

    Args:
        early: its worker is used if it is of the right engine; else that one starts while the plan is made.

    Raises:
        EngineError: the engine would crash on this processor, or the model needs code that nobody consented to.
        AccessError, FetchError, DiskFullError: fetching failed.
        Else as `choose`.
    """
    engine = engine_for(facts, request)
    installed.require(engine, request.precision)
    _check_processor(hardware, engine)
    _check_code(facts, engine, trust_remote_code=trust_remote_code)
    if not in_process:
        early.start(engine)
    chosen = choose(facts, hardware, request, auto=auto)
    for step in chosen.steps:
        if told is not None:
            told(step)
    if facts.origin is not None:
        from shoestring.models.hub.materialise import materialise

        facts = materialise(facts, progress, code=trust_remote_code)
    return Session(
        facts,
        _consenting(chosen.plan, trust_remote_code),
        steps=chosen.steps,
        smaller=lambda failed: _smaller(facts, chosen, failed, trust_remote_code),
        auto=auto,
        told=told,
        worker=early.take(),
        guard=guard,
        in_process=in_process,
    )


def _smaller(facts: ModelFacts, chosen: Choice, failed: Plan, trust_remote_code: bool) -> Sequence[Plan]:
    from shoestring.hardware.memory import read_memory

    now = replace(chosen.hardware, memory=read_memory())
    found = smaller(facts, now, chosen.request, failed)
    return [_consenting(plan, trust_remote_code) for plan in found]


def _consenting(plan: Plan, trust_remote_code: bool) -> Plan:
    """The plan with the user's consent to the model's own code, which is no part of planning."""
    if not trust_remote_code or not isinstance(plan.settings, TransformersSettings):
        return plan
    return replace(plan, settings=replace(plan.settings, trust_remote_code=True))


def _check_processor(hardware: Hardware, engine: str) -> None:
    problem = cpu_problem(hardware.cpu) if engine == "llama_cpp" else None
    if problem is not None:
        raise EngineError(problem.what, problem.fix)


def _check_code(facts: ModelFacts, engine: str, *, trust_remote_code: bool) -> None:
    """Code that comes with a model runs with consent alone; where the library has the class, it is not needed."""
    if engine != "transformers" or not facts.own_code or trust_remote_code:
        return
    if facts.class_name is not None and installed.knows_class(facts.class_name):
        return
    raise EngineError(
        f"{facts.id} runs only with Python code of its own ({', '.join(facts.own_code)}), which would run with all "
        "your rights on this machine.",
        "Read that code, and consent to running it if you trust it (trust_remote_code).",
    )
