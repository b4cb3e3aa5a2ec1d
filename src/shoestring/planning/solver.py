"""From a model, a machine and a wish to plans: does it fit, what would, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from shoestring.errors import EngineError, UsageError
from shoestring.hardware.base import Hardware
from shoestring.models.facts import ModelFacts
from shoestring.planning import budgets as amounts
from shoestring.planning.base import (
    CPU,
    DISK,
    Estimate,
    Method,
    Plan,
    PlanReport,
    Request,
    TransformersSettings,
)
from shoestring.planning.building import build
from shoestring.planning.calibration import Calibration, corrected, lesson, sentence
from shoestring.planning.candidates import LLAMA_CPP, Candidate, candidates, smaller, smaller_files, unmapped
from shoestring.planning.placement import Placed, bytes_left, fits, place
from shoestring.planning.ranking import good_enough, key, why
from shoestring.planning.search import largest
from shoestring.planning.speed import decode_speed

DEFAULT_CONTEXT = 4096
"""Tokens, where the model allows as many: enough for a long chat, and the cache stays small."""

LEAST_CONTEXT = 2
"""One token of prompt and one of answer; llama.cpp aborts on a context of 1."""

MOST_SEQUENCES = 256
"""llama.cpp's own limit (`LLAMA_MAX_SEQ`), held for every engine."""

_NOT_ASKED = (
    "The engine could not be asked: only about a model that is here, that runs and lies on one device. These figures are "
    "the formula's."
)
_FRUGAL_SHOWN = 4  # settings for training that are listed where several fit
_TRIED_FURTHER = 3  # candidates for which something smaller is looked for where none fits

CONTEXT_STEP = 256
"""Tokens: llama.cpp reserves whole blocks of so many, so only their ends need a look."""


def plan(
    facts: ModelFacts,
    hardware: Hardware,
    request: Request,
    *,
    exact: bool = False,
    limits: bool = True,
    calibrations: Mapping[str, Calibration] | None = None,
) -> PlanReport:
    """What running (or training) a model on a machine would take, on every engine that can, best first.

    Args:
        exact: ask the engine for the first plan's figures (a dry run: a second for llama.cpp, some for transformers)
            instead of computing them. llama.cpp is always asked about a file that the formula cannot account for.
        limits: look for the largest context and batch, too; a load has no use for them.
        calibrations: what earlier loads on this machine taught, by engine.

    Returns:
        The plan asked for first, with every choice that was left open made in the best way that fits; then the
        runners-up; where it does not fit, the nearest that do.

    Raises:
        UsageError: the request can never work, whatever the machine.
        EngineError: the dry run failed.
    """
    solver = _Solver(facts, hardware, request, exact, limits, calibrations or {})
    if request.purpose != "inference":
        return solver.training_report()
    _check_batch(request)
    return solver.report(_context(facts, request))


def plan_each(
    found: Iterable[Candidate],
    facts: ModelFacts,
    hardware: Hardware,
    request: Request,
    *,
    calibrations: Mapping[str, Calibration] | None = None,
) -> tuple[Plan, ...]:
    """A plan for each candidate, in its order, each in its best place; nothing is looked for beside them."""
    solver = _Solver(facts, hardware, request, False, False, calibrations or {})
    return tuple(solver.option(candidate).plan for candidate in found)


@dataclass(frozen=True)
class _Option:
    """A plan, and what it was made from."""

    plan: Plan
    candidate: Candidate
    placed: Placed


@dataclass
class _Solver:
    facts: ModelFacts
    hardware: Hardware
    request: Request
    exact: bool
    limits: bool
    calibrations: Mapping[str, Calibration]

    def report(self, context: int) -> PlanReport:
        found = candidates(self.facts, self.hardware, self.request, context)
        options = sorted(
            (self.option(candidate) for candidate in found), key=lambda option: key(option.plan, self.request)
        )
        if self.exact or (options[0].plan.bytes.total is None and options[0].plan.engine == LLAMA_CPP):
            options[0] = self.asked_of_the_engine(options[0])
        asked = options[0]
        plans = [option.plan for option in options]
        recommended = next((i for i, plan in enumerate(plans) if self.acceptable(plan)), None)
        if recommended is None:
            plans += self.alternatives(options)
            recommended = next((i for i, plan in enumerate(plans) if self.acceptable(plan)), None)
        elif len(plans) > 1:
            clause = why(plans[recommended], plans)
            plans[recommended] = replace(
                plans[recommended], reason=f"{plans[recommended].reason} Recommended: {clause}."
            )
        return PlanReport(
            model=self.facts.id,
            hardware=amounts.describe(self.hardware),
            request=self.request,
            recommended=recommended,
            plans=tuple(plans),
            largest_context=self.largest_context(asked) if self.limits else None,
            largest_batch=self.largest_batch(asked) if self.limits else None,
        )

    def training_report(self) -> PlanReport:
        """The fastest settings that fit, and a few more frugal ones; where none fits, what would."""
        from shoestring.planning.training.solver import cheaper_candidates, training_candidates

        options: list[_Option] = []
        fitting: list[_Option] = []
        for candidate in training_candidates(self.facts, self.hardware, self.request):
            options.append(self.option(candidate))
            fitting += [options[-1]] if options[-1].plan.fits else []
            if len(fitting) == _FRUGAL_SHOWN:
                break
        if fitting:
            chosen, plans = fitting[0], [option.plan for option in fitting]
        else:
            chosen = min(options, key=lambda option: key(option.plan, self.request))
            plans = [chosen.plan]
            for reason, candidates_ in cheaper_candidates(self.facts, self.hardware, self.request):
                tried = (self.option(candidate, reason=reason).plan for candidate in candidates_)
                plans += [plan for plan in [next((plan for plan in tried if plan.fits), None)] if plan]
        if self.exact:
            plans[0] = replace(plans[0], notes=(*plans[0].notes, _NOT_ASKED))
        return PlanReport(
            model=self.facts.id,
            hardware=amounts.describe(self.hardware),
            request=self.request,
            recommended=next((i for i, plan in enumerate(plans) if plan.fits), None),
            plans=tuple(plans),
            largest_context=self.largest_context(chosen),
            largest_batch=self.largest_batch(chosen),
        )

    def acceptable(self, plan: Plan) -> bool:
        return plan.fits and good_enough(plan, self.request)

    @cached_property
    def budgets(self) -> dict[str, int]:
        return amounts.device_budgets(self.hardware, self.request)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        return amounts.notes(self.hardware, self.budgets)

    def option(self, candidate: Candidate, *, reason: str | None = None) -> _Option:
        """By formula, with everything in the best place."""
        candidate, placed = self.placed(candidate)
        return self.built(candidate, placed, reason=reason)

    def placed(self, candidate: Candidate) -> tuple[Candidate, Placed]:
        """The candidate in its best place; where only that fits, with its file read instead of mapped."""
        placed = place(candidate.memory, candidate.facts, candidate.settings, self.hardware, self.budgets)
        twice = any(term.name == "weights_repacked" and term.bytes for term in placed.estimate.terms)
        if twice and not fits(placed.estimate, self.budgets) and (frugal := unmapped(candidate)):
            instead = place(frugal.memory, frugal.facts, frugal.settings, self.hardware, self.budgets)
            if fits(instead.estimate, self.budgets):
                return frugal, instead
        return candidate, placed

    def built(
        self, candidate: Candidate, placed: Placed, *, method: Method = "formula", reason: str | None = None
    ) -> _Option:
        origin = candidate.facts.origin
        notes = [*(origin.remarks if origin is not None else ()), *self.notes, *candidate.notes]
        learnt = lesson(self.calibrations, candidate.memory.engine, candidate.precision)
        estimate = self.corrected(candidate, placed.estimate)
        if learnt is not None and estimate is not placed.estimate:
            placed = replace(placed, estimate=estimate)
            notes.append(sentence(learnt))
        memory = candidate.memory
        batch = placed.settings.batch
        speed = decode_speed(
            placed.units, placed.assignment, self.hardware, batch=batch, engine=memory.engine
        )
        plan = build(
            candidate, placed, self.budgets, speed=speed, method=method, reason=reason, notes=tuple(notes)
        )
        return _Option(plan, candidate, placed)

    def corrected(self, candidate: Candidate, estimate: Estimate) -> Estimate:
        """By what earlier loads on this machine taught; as it is where they taught nothing."""
        calibration = lesson(self.calibrations, candidate.memory.engine, candidate.precision)
        return estimate if calibration is None or estimate.missing else corrected(estimate, calibration)

    def asked_of_the_engine(self, option: _Option) -> _Option:
        """The plan with the engine's own figures, where the engine can be asked; else as it is.

        Raises:
            EngineError: the dry run failed, and was asked for; where it was not, a note says so.
        """
        from shoestring.planning.exact import asked_of_the_engine

        try:
            estimate = asked_of_the_engine(option.candidate, option.placed, self.hardware)
        except EngineError as error:
            if self.exact:
                raise
            return _with_note(option, f"The engine has no figures either: {error.message}")
        if estimate is None:
            return _with_note(option, _NOT_ASKED) if self.exact else option
        return self.built(option.candidate, replace(option.placed, estimate=estimate), method="dry-run")

    def alternatives(self, options: list[_Option]) -> list[Plan]:
        """Plans near the ones asked for that fit, those that give up least first."""
        found = []
        for option in options[:_TRIED_FURTHER]:
            if option.plan.bytes.total is not None and self.has_room(option):
                found += [
                    self.option(changed, reason=reason).plan for reason, changed in smaller(option.candidate)
                ]
                found += self.shorter(option)
        context = options[0].plan.context
        if self.request.precision is None:
            files = smaller_files(self.facts, self.hardware, self.request, context)
            found += [self.option(changed, reason=reason).plan for reason, changed in files]
        else:
            found = [*self.other_precisions(context), *found]
        return [plan for plan in found if self.acceptable(plan)]

    def other_precisions(self, context: int) -> list[Plan]:
        """What fits at another precision than the one asked for, the best two."""
        request = replace(self.request, precision=None)
        found = [
            self.option(candidate) for candidate in candidates(self.facts, self.hardware, request, context)
        ]
        plans = sorted(
            (option.plan for option in found if option.plan.fits), key=lambda plan: key(plan, request)
        )
        return [
            replace(plan, reason=f"At {plan.precision} it fits: {plan.reason[0].lower()}{plan.reason[1:]}")
            for plan in plans[:2]
        ]

    def has_room(self, option: _Option) -> bool:
        """Whether the weights alone could lie somewhere; if not, no smaller cache and no other place helps."""
        on_disk = isinstance(option.placed.settings, TransformersSettings)
        room = sum(n_bytes for device, n_bytes in self.budgets.items() if device != DISK or on_disk)
        held = (term for term in option.placed.estimate.terms if term.group == "weights")
        return sum(term.bytes for term in held if term.name != "weights_repacked") <= room

    def shorter(self, option: _Option) -> list[Plan]:
        longest = self.largest_context(option)
        if longest is None or longest >= option.plan.context:
            return []
        settings = replace(option.candidate.settings, context=longest)
        reason = f"A context of {longest:,} tokens is the longest that fits with nothing else given up."
        return [self.option(replace(option.candidate, settings=settings), reason=reason).plan]

    def largest_context(self, option: _Option) -> int | None:
        """The longest context that fits, everything else as it is; None where none does, or nothing is known."""
        limit = self.facts.context_length
        if option.plan.bytes.total is None or not limit:
            return None
        left = self.left(option, "context")
        whole = left(limit)
        if whole is not None and whole >= 0:
            return limit
        asked = option.plan.context if _fits_by_formula(option.plan) else 0
        most = -(-limit // CONTEXT_STEP) - 1
        blocks = largest(most, lambda count: left(count * CONTEXT_STEP), known=asked // CONTEXT_STEP)
        return max(blocks * CONTEXT_STEP, asked) or None

    def largest_batch(self, option: _Option) -> int | None:
        """The most sequences that fit, everything else as it is; None where not one does, or nothing is known."""
        if option.plan.bytes.total is None:
            return None
        known = option.plan.batch if _fits_by_formula(option.plan) else 0
        if not known and option.plan.batch == 1 and option.plan.method == "formula":
            return None
        return largest(MOST_SEQUENCES, self.left(option, "batch"), known=known) or None

    def left(self, option: _Option, name: Literal["context", "batch"]) -> Callable[[int], int | None]:
        """What another context or batch leaves: in the plan's own place, or in any where it does not fit now.

        What is lacking says nothing where it goes by jumps: placed anew on several GPUs (`_Placement.left_on_gpus`),
        and with the batch, since llama.cpp rounds a micro-batch up to whole sequences.
        """
        memory, facts = option.candidate.memory, option.candidate.facts
        several = len(set(self.budgets) - {CPU, DISK}) > 1
        jumps = name == "batch" or (several and not option.plan.fits)

        def left_with(value: int) -> int | None:
            old = option.placed.settings
            settings = replace(old, context=value) if name == "context" else replace(old, batch=value)
            if option.plan.fits:
                estimate = memory.estimate(facts, settings, self.hardware, option.placed.assignment)
            else:
                estimate = self.placed(replace(option.candidate, settings=settings))[1].estimate
            found = bytes_left(self.corrected(option.candidate, estimate), self.budgets)
            return None if jumps and found is not None and found < 0 else found

        return left_with


def _fits_by_formula(plan: Plan) -> bool:
    """Whether a search by formula may start from this plan; an engine's own figures say nothing of the formula's."""
    return plan.fits and plan.method == "formula"


def _with_note(option: _Option, note: str) -> _Option:
    return replace(option, plan=replace(option.plan, notes=(*option.plan.notes, note)))


def _context(facts: ModelFacts, request: Request) -> int:
    limit = facts.context_length
    if request.context is None:
        return min(limit, DEFAULT_CONTEXT) if limit else DEFAULT_CONTEXT
    hint = f"Choose a context between {LEAST_CONTEXT} and {limit:,} tokens."
    if request.context < LEAST_CONTEXT:
        raise UsageError(
            f"A context of {request.context} tokens cannot hold a prompt and one token of answer.", hint
        )
    if limit and request.context > limit:
        raise UsageError(
            f"A context of {request.context:,} tokens is longer than {facts.id} was trained for ({limit:,}).",
            hint,
        )
    return request.context


def _check_batch(request: Request) -> None:
    if request.batch < 1:
        raise UsageError(f"A batch of {request.batch} sequences has nothing to run.", "Choose 1 or more.")
    if request.batch > MOST_SEQUENCES:
        raise UsageError(
            f"{request.batch:,} sequences side by side are too many; at most {MOST_SEQUENCES} are planned.",
            f"Choose a batch of at most {MOST_SEQUENCES}.",
        )
