"""What holds of every plan, whatever the model, the machine and the wish."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from planning_facts import GB, make_facts, make_machine

from shoestring.hardware.base import Gpu, Hardware
from shoestring.models.facts import ModelFacts
from shoestring.planning import solver
from shoestring.planning.base import Plan, PlanReport, Request
from shoestring.planning.calibration import Calibration

MODELS = (
    make_facts(layers=6, context=4096),
    make_facts(layers=24, hidden=1024, heads=16, kv_heads=16, feed_forward=4096, vocabulary=32_000),
    make_facts(layers=8, windows=(512, None), vocabulary=50_000, context=3000),
)


def gpu(total_bytes: int) -> Gpu:
    return Gpu("made GPU", total_bytes, total_bytes, None, None, (8, 0), True, 5e11)


@st.composite
def machines(draw: st.DrawFn) -> Hardware:
    """None, one or two GPUs, alike or not, and from too little main memory to plenty."""
    sizes = draw(st.lists(st.integers(GB // 20, 4 * GB), max_size=2))
    ram = draw(st.integers(GB // 20, 8 * GB))
    return replace(make_machine(ram, ram), gpus=tuple(gpu(size) for size in sizes))


requests = st.builds(
    Request,
    context=st.none() | st.integers(2, 3000),
    batch=st.sampled_from((1, 2, 7, 256)),
    kv_precision=st.sampled_from((None, "q8_0")),
)
every_plan = given(facts=st.sampled_from(MODELS), machine=machines(), request=requests)
few = settings(max_examples=15, deadline=None)


def plans_of(facts: ModelFacts, machine: Hardware, request: Request) -> PlanReport:
    return solver.plan(facts, machine, request)


@every_plan
@few
def test_a_plan_is_the_sum_of_its_terms_and_of_its_devices(
    facts: ModelFacts, machine: Hardware, request: Request
) -> None:
    for plan in plans_of(facts, machine, request).plans:
        assert sum(plan.terms.values()) == plan.bytes.total
        shares = [device.bytes for device in plan.placement.values()]
        assert sum(share.total or 0 for share in shares) == plan.bytes.total
        assert sum(share.weights or 0 for share in shares) == plan.bytes.weights
        assert sum(share.kv_cache or 0 for share in shares) == plan.bytes.kv_cache
        assert sum(device.budget_bytes for device in plan.placement.values()) == plan.budget_bytes


def crowded(plan: Plan) -> bool:
    return any((device.bytes.total or 0) > device.budget_bytes for device in plan.placement.values())


@every_plan
@few
def test_what_fits_has_room_on_every_device(facts: ModelFacts, machine: Hardware, request: Request) -> None:
    for plan in plans_of(facts, machine, request).plans:
        assert plan.headroom_bytes is not None
        assert plan.fits == (plan.headroom_bytes >= 0)
        assert not (plan.fits and crowded(plan))


@every_plan
@few
def test_what_fits_is_recommended(facts: ModelFacts, machine: Hardware, request: Request) -> None:
    found = plans_of(facts, machine, request)
    assert (found.recommended is not None) == any(plan.fits for plan in found.plans)
    if found.recommended is not None:
        assert found.plans[found.recommended].fits


@every_plan
@few
def test_the_largest_context_and_batch_fit_when_they_are_asked_for(
    facts: ModelFacts, machine: Hardware, request: Request
) -> None:
    found = plans_of(facts, machine, request)
    if found.largest_context is not None:
        asked = replace(request, context=found.largest_context)
        assert plans_of(facts, machine, asked).plans[0].fits
    if found.largest_batch is not None:
        assert plans_of(facts, machine, replace(request, batch=found.largest_batch)).plans[0].fits


@every_plan
@few
def test_no_limit_is_below_what_fits_or_above_what_does_not(
    facts: ModelFacts, machine: Hardware, request: Request
) -> None:
    found = plans_of(facts, machine, request)
    asked = found.plans[0]
    assert ((found.largest_context or 0) >= asked.context) == asked.fits
    assert ((found.largest_batch or 0) >= asked.batch) == asked.fits


@given(ram=st.integers(GB // 20, 4 * GB), more=st.integers(1, 4 * GB), vram=st.sampled_from((0, GB // 4, GB)))
@few
def test_more_main_memory_never_makes_a_plan_unfit(ram: int, more: int, vram: int) -> None:
    machine = replace(make_machine(64 * GB, 64 * GB), gpus=(gpu(vram),) if vram else ())
    little, much = (
        plans_of(MODELS[1], machine, Request(budget_bytes=budget)).plans[0] for budget in (ram, ram + more)
    )
    assert much.fits or not little.fits


@given(context=st.integers(2, 4000), more=st.integers(1, 4000), batch=st.integers(1, 8))
@few
def test_a_longer_context_never_needs_less(context: int, more: int, batch: int) -> None:
    short, long = (
        plans_of(MODELS[1], make_machine(), Request(context=tokens, batch=batch)).plans[0].bytes.total
        for tokens in (context, context + more)
    )
    assert short is not None
    assert long is not None
    assert long >= short


def test_an_odd_context_that_fits_is_not_above_the_longest_that_fits() -> None:
    """Only multiples of 256 are searched; what was asked for and fits is known to be possible, too."""
    facts = replace(MODELS[0], context_length=256)
    found = plans_of(facts, make_machine(GB, GB), Request(context=200, batch=256))
    assert found.plans[0].fits
    assert (found.largest_context or 0) >= 200


def test_the_longest_context_follows_what_earlier_loads_taught() -> None:
    """A plan that was made larger by experience does not promise a context that experience refuses."""
    taught = {"llama_cpp": Calibration(9, 1.2, 1.2, 1.2, 1.2, 100 * GB)}
    machine = make_machine(8 * GB, 8 * GB)
    asked = Request(context=256, budget_bytes=GB)
    plain = solver.plan(MODELS[1], machine, asked)
    found = solver.plan(MODELS[1], machine, asked, calibrations=taught)
    assert found.plans[0].fits
    assert (found.largest_context or 0) < (plain.largest_context or 0)
    again = replace(asked, context=found.largest_context)
    assert solver.plan(MODELS[1], machine, again, calibrations=taught).plans[0].fits
