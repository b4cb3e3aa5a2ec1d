"""A load or a generation that fails for memory: the worker dies alone, the ledger learns, a smaller plan takes over."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from memory_cgroup import may_limit_memory, memory_cgroup, run_in_cgroup

from shoestring.engines.base import Event, Sampling, Token
from shoestring.engines.fake import FakeEngine, FakeModel, Script, fake_model
from shoestring.errors import MemoryGuardError, OutOfMemoryError, PromptTooLongError, WorkerDiedError
from shoestring.planning.base import CPU, DevicePlan, LlamaCppSettings, Plan
from shoestring.runtime.ledger import Ledger
from shoestring.runtime.session import Session, open_session
from shoestring.runtime.stepping import MOST_STEPS, Step
from shoestring.units import MiB

Open = Callable[..., Session]
BIG = Script(reply="abc", load_bytes=200 * MiB)
"""A model that takes 200 MiB when it is loaded."""


def holding(plan: Plan, n_bytes: int, *, context: int = 4096) -> Plan:
    """The plan with another figure, right or wrong."""
    held = replace(plan.bytes, total=n_bytes, load_peak=n_bytes)
    settings = replace(plan.settings, context=context)  # type: ignore[type-var]
    placement = {CPU: DevicePlan(held, n_bytes, 1)}
    return replace(plan, bytes=held, placement=placement, context=context, settings=settings)


@pytest.fixture
def open_too_small(tmp_path: Path, home: Path) -> Iterator[Open]:
    """Opens sessions whose first plan says 60 MiB for a model that takes far more; `rest` are the smaller ones."""
    opened: list[Session] = []

    def make(script: Script = BIG, rest: tuple[int, ...] = (400 * MiB,), **options: object) -> Session:
        facts, plan = fake_model(tmp_path / f"script{len(opened)}", script)
        plans = [holding(plan, n_bytes, context=512 // 2**n) for n, n_bytes in enumerate(rest)]

        def smaller(failed: Plan) -> list[Plan]:
            return plans[plans.index(failed) + 1 :] if failed in plans else plans

        session = open_session(facts, holding(plan, 60 * MiB), smaller=smaller, **options)  # type: ignore[arg-type]
        opened.append(session)
        return session

    yield make
    for session in opened:
        session.close()


def text_of(events: Iterator[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Token))


def test_a_load_that_outgrows_its_plan_offers_the_next(open_too_small: Open) -> None:
    session = open_too_small()
    with pytest.raises(MemoryGuardError) as caught:
        session.load()
    assert caught.value.plan is session.plan
    assert caught.value.alternative is not None
    assert "a context of 512 tokens" in str(caught.value.hint)


def test_auto_takes_it_and_says_what_is_given_up(open_too_small: Open) -> None:
    told: list[Step] = []
    session = open_too_small(auto=True, told=told.append)
    first = session.plan
    assert text_of(session.generate([1], Sampling())) == "abc"
    assert tuple(told) == session.steps
    assert (told[0].failed, told[0].taken) == (first, session.plan)
    assert str(told[0]).endswith("Trying a context of 512 tokens instead.")


def test_auto_ends_where_nothing_smaller_is_left(open_too_small: Open) -> None:
    session = open_too_small(rest=(60 * MiB,), auto=True)
    with pytest.raises(MemoryGuardError) as caught:
        session.load()
    assert caught.value.alternative is None
    assert len(session.steps) == 1


def test_auto_takes_a_few_steps_at_most(open_too_small: Open) -> None:
    session = open_too_small(rest=(60 * MiB,) * 4 + (400 * MiB,), auto=True)
    with pytest.raises(MemoryGuardError):
        session.load()
    assert len(session.steps) == MOST_STEPS


def test_the_ledger_learns_of_a_load_that_never_finished(open_too_small: Open) -> None:
    with pytest.raises(MemoryGuardError):
        open_too_small().load()
    (record,) = Ledger().records()
    assert (record.outcome, record.load_s) == ("stopped by the guard", 0.0)
    assert record.measured_peak_bytes > record.predicted_bytes == 60 * MiB
    (observation,) = Ledger().observations()
    assert observation.exceeded


GROWING = Script(reply="x" * 400, bytes_per_token=4 * MiB, token_s=0.005)


def test_an_answer_that_had_begun_fails_but_the_next_has_the_smaller_plan(open_too_small: Open) -> None:
    session = open_too_small(GROWING, rest=(4000 * MiB,), auto=True)
    with pytest.raises(MemoryGuardError):
        text_of(session.generate([1], Sampling()))
    assert session.plan.context == 512
    assert text_of(session.generate([1], Sampling(max_tokens=3))) == "xxx"


def test_a_prompt_that_the_smaller_context_cannot_hold_is_refused(open_too_small: Open) -> None:
    session = open_too_small(auto=True)
    with pytest.raises(PromptTooLongError):
        text_of(session.generate([1] * 600, Sampling()))


def test_somebody_s_sigkill_is_no_reason_to_step_down(open_too_small: Open) -> None:
    session = open_too_small(Script(reply="abcdef", die_after_tokens=0), guard=False, auto=True)
    with pytest.raises(WorkerDiedError) as caught:
        text_of(session.generate([1], Sampling()))
    assert caught.value.plan is None
    assert session.steps == ()


PROGRAM = """
import json, sys, shoestring
from shoestring.runtime.ledger import Ledger
folder, auto = sys.argv[1], len(sys.argv) > 2
try:
    model = shoestring.load(folder, context=512, precision="bf16", ram="4GB", auto=auto, guard=False)
    answer = model.chat("What is the capital of France?", temperature=0, max_tokens=8).text
    said = {"answer": answer, "precision": model.plan.precision, "steps": list(map(str, model.steps))}
    model.close()
except shoestring.errors.WorkerDiedError as error:
    said = {"error": error.message, "hint": error.hint, "offered": error.alternative.precision}
print(json.dumps(said | {"outcomes": [record.outcome for record in Ledger().records()]}))
"""


@pytest.mark.model
@pytest.mark.skipif(not may_limit_memory(), reason="making a memory cgroup needs root on Linux")
@pytest.mark.parametrize("auto", [(), ("auto",)])
def test_a_real_model_that_the_kernel_kills_gives_way_to_a_smaller_one(
    smollm2_checkpoint: Path, home: Path, auto: tuple[str, ...]
) -> None:
    """smollm2 in bf16 takes 650 MB, some 130 of them pages of libraries; with 4 bits 100 MB less."""
    with memory_cgroup(520 * 10**6) as cgroup:
        done = run_in_cgroup([sys.executable, "-c", PROGRAM, str(smollm2_checkpoint), *auto], cgroup)
    said = json.loads(done.stdout)
    if auto:
        assert "Paris" in said["answer"]
        assert said["precision"] != "bf16"
        assert said["steps"][0].startswith("The kernel killed the worker because memory ran out. Trying ")
        assert said["outcomes"] == ["out of memory", "closed"]
    else:
        assert said["error"] == "The kernel killed the worker because memory ran out."
        assert said["hint"].startswith(f"What would fit: {said['offered']} weights")
        assert said["outcomes"] == ["out of memory"]


@pytest.mark.model
def test_a_real_model_that_outgrows_its_plan_answers_at_a_lower_precision(
    smollm2_checkpoint: Path, home: Path
) -> None:
    program = (
        "import shoestring\n"
        "from shoestring.runtime import guard, session\n"
        "def strict(planned, total):\n"  # a guard that takes 85 % of what bf16 needs for too much
        "    return guard.Limits(round(planned * 0.7) if planned > 600_000_000 else planned, 0)\n"
        "session.limits_for = strict\n"
        "with shoestring.load(__import__('sys').argv[1], context=512, auto=True) as model:\n"
        "    print(model.plan.precision, model.chat('What is the capital of France?', temperature=0, max_tokens=8))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, smollm2_checkpoint], capture_output=True, text=True, check=True
    )
    precision, answer = done.stdout.split(" ", 1)
    assert precision != "bf16"
    assert "Paris" in answer


@pytest.fixture
def short_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake engine, in this process, with room for contexts of 512 tokens and no longer."""
    load, generate = FakeEngine.load, FakeModel.generate

    def check(context: int) -> None:
        if context > 512:
            raise OutOfMemoryError("There was not enough memory.", "Load it with a smaller context.")

    def guarded_load(self: FakeEngine, files: object, settings: LlamaCppSettings, scratch: Path) -> FakeModel:
        check(0 if settings.threads == LATE else settings.context)
        return load(self, files, settings, scratch)  # type: ignore[arg-type, return-value]

    def guarded_generate(self: FakeModel, *arguments: object) -> None:
        check(self._context)
        generate(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(FakeEngine, "load", guarded_load)
    monkeypatch.setattr(FakeModel, "generate", guarded_generate)


LATE = 99
"""Threads that stand for a model that is loaded well, and runs out of memory when it generates."""


@pytest.mark.usefixtures("short_of_memory")
@pytest.mark.parametrize("threads", [1, LATE])
def test_an_engine_without_room_is_given_a_smaller_plan(tmp_path: Path, home: Path, threads: int) -> None:
    facts, plan = fake_model(tmp_path / "script", Script(reply="abc"))
    first = replace(plan, settings=replace(plan.settings, threads=threads))  # type: ignore[call-arg]
    shorter = holding(plan, 400 * MiB, context=512)
    options = {"smaller": lambda failed: [shorter], "in_process": True}
    with open_session(facts, first, **options) as session:  # type: ignore[arg-type]
        with pytest.raises(OutOfMemoryError) as caught:
            text_of(session.generate([1], Sampling()))
        assert (caught.value.plan, caught.value.alternative) == (first, shorter)
    with open_session(facts, first, auto=True, **options) as session:  # type: ignore[arg-type]
        assert text_of(session.generate([1], Sampling())) == "abc"
        assert [step.taken for step in session.steps] == [shorter]
