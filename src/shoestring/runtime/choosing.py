"""Which plan a load follows: the planner's answer among those that this installation can load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from shoestring.engines import installed
from shoestring.engines.registry import has_engine
from shoestring.errors import DoesNotFitError, EngineError, UsageError
from shoestring.hardware.base import Hardware
from shoestring.models.facts import ModelFacts
from shoestring.planning.base import Plan, PlanReport, Request
from shoestring.planning.calibration import MOST_UP, Calibration
from shoestring.planning.difference import describe_difference
from shoestring.runtime.stepping import Step

_ENGINE_OF = {"gguf": "llama_cpp", "safetensors": "transformers"}


@dataclass(frozen=True)
class Choice:
    """What to load.

    Attributes:
        request: with the engine that was chosen.
        hardware: as far as that engine uses it here.
        steps: those taken already, because what was asked for does not fit.
    """

    plan: Plan
    request: Request
    hardware: Hardware
    steps: tuple[Step, ...] = ()


def choose(facts: ModelFacts, hardware: Hardware, request: Request, *, auto: bool = False) -> Choice:
    """The plan to load a model with on this machine; nothing is imported, fetched or loaded for it.

    Args:
        hardware: this machine, as `probe` gives it.
        auto: where what was asked for does not fit, take what would instead of raising.

    Raises:
        UsageError: the request can never work.
        EngineError: the engine is missing, cannot load the model, or nobody can say what it takes.
        DoesNotFitError: it does not fit; `alternative` is the nearest plan that does.
    """
    request = replace(request, engine=engine_for(facts, request))
    machine = usable(hardware, request)
    installed.require(str(request.engine), request.precision)
    report = _report(facts, machine, request)
    asked = report.plans[0]
    if asked.fits:
        installed.require(asked.engine, asked.precision)
        return Choice(asked, request, machine)
    if asked.bytes.total is None:
        raise EngineError(f"Whether {facts.id} fits cannot be said, so it is not loaded. {asked.reason}")
    error = _does_not_fit(report)
    taken = next((plan for plan in _loadable(report) if plan.fits), None)
    if not auto or taken is None:
        raise error
    installed.require(taken.engine, taken.precision)
    return Choice(taken, request, machine, (Step(error.message, asked, taken),))


def engine_for(facts: ModelFacts, request: Request) -> str:
    """The engine that loads a model: the one asked for, or the one for its format.

    Raises:
        EngineError: it cannot load this model here.
    """
    own = _ENGINE_OF.get(facts.format, facts.format)
    engine = request.engine or own
    if engine == "vllm":
        raise EngineError(
            "Plans for vllm can be made, but not loaded by this version.", f"Choose {own} to load it here."
        )
    if engine == "llama_cpp" and facts.format == "safetensors":
        raise EngineError(
            f"{facts.id} is a checkpoint, and llama.cpp loads GGUF files only.",
            "Leave the engine open, or give a GGUF file of the model.",
        )
    return engine


def usable(hardware: Hardware, request: Request) -> Hardware:
    """The machine as far as an engine of this installation uses it, with the GPU memory that was asked for.

    Raises:
        UsageError: GPU memory was asked for where there is none.
    """
    if request.vram_bytes and not hardware.gpus:
        raise UsageError("GPU memory was asked for, but no GPU is here.", "Leave it out to load on the CPU.")
    on_cpu = replace(hardware, gpus=())
    if request.engine == "llama_cpp" or not hardware.gpus or request.vram_bytes == 0:
        return on_cpu  # llama.cpp's prebuilt wheel has no GPU code
    return hardware if installed.torch_has_cuda() else on_cpu


def _report(facts: ModelFacts, hardware: Hardware, request: Request) -> PlanReport:
    """The plans, asked of the engine where the formula has no figure.

    What earlier loads taught is looked up only where it could change the answer: it costs a tenth of llama.cpp's start.
    """
    from shoestring.planning import solver

    def plan(known: Mapping[str, Calibration] | None = None, *, exact: bool = False) -> PlanReport:
        return solver.plan(facts, hardware, request, limits=False, calibrations=known, exact=exact)

    report = plan()
    first = report.plans[0]
    if first.bytes.total is None and first.engine == "transformers" and facts.config_file is not None:
        return plan(exact=True)
    if request.engine != "transformers" and not _close(first):
        return report
    from shoestring.runtime.ledger import learnt

    known = learnt(facts)
    return plan(known) if known else report


def _close(plan: Plan) -> bool:
    """Whether a correction could change what fits; or (a little beyond) that it does not."""
    headroom, total = plan.headroom_bytes, plan.bytes.total
    return headroom is not None and total is not None and abs(headroom) <= total * MOST_UP


def smaller(facts: ModelFacts, hardware: Hardware, request: Request, failed: Plan) -> Sequence[Plan]:
    """Plans to go on with after one failed for memory, on the machine as it is now; those that give up least first."""
    from shoestring.planning.smaller import smaller_plans
    from shoestring.runtime.ledger import learnt

    return smaller_plans(facts, hardware, request, failed, calibrations=learnt(facts))


def _loadable(report: PlanReport) -> Sequence[Plan]:
    """What this installation could load of the same files."""
    return [plan for plan in report.plans if has_engine(plan.engine) and not plan.converted]


def _does_not_fit(report: PlanReport) -> DoesNotFitError:
    asked = report.plans[0]
    fitting = [plan for plan in _loadable(report) if plan.fits]
    alternative = next((plan for plan in fitting if _can_be_asked_for(plan, asked)), None)
    if alternative is None and fitting:
        alternative = fitting[0]
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
    """Whether a caller of `load` gets this plan by asking for another context, batch or precision."""
    if plan.engine != asked.engine:
        return False
    if plan.engine == "transformers":
        return not getattr(plan.settings, "offload", False)
    return plan.settings == replace(asked.settings, context=plan.context, batch=plan.batch)
