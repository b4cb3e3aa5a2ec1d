"""Decode speed: the physical limit by hand, what makes it rise and fall, and where there is no figure."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shoestring.hardware.base import Cpu, Disk, Hardware, Memory
from shoestring.hardware.catalog import named
from shoestring.planning.base import CPU, DISK, TokensPerSecond, Unit
from shoestring.planning.speed import decode_speed
from shoestring.units import GiB

MACHINE = Hardware(
    Cpu("c", 8, 8, ("avx2",)),
    Memory(32 * GiB, 24 * GiB, None),
    named("rtx-3090").gpus,
    Disk("/", 10**11),
    bandwidth_bytes_per_s=50e9,
    decode_bandwidth_bytes_per_s=45e9,
)
BLOCKS = tuple(
    Unit(f"blk.{i}", weights=10**9, kv_cache=10**7, read=10**9, multiplied=10**9) for i in range(4)
)
EVERYTHING_ON_CPU, EVERYTHING_ON_GPU = (CPU,) * 4, ("gpu0",) * 4

sizes = st.integers(1, 10**11)
batches = st.integers(1, 64)


def speed(
    units: tuple[Unit, ...] = BLOCKS,
    places: tuple[str, ...] = EVERYTHING_ON_CPU,
    machine: Hardware = MACHINE,
    batch: int = 1,
    engine: str = "llama_cpp",
) -> TokensPerSecond:
    return decode_speed(units, places, machine, batch=batch, engine=engine)


def test_the_limit_is_bandwidth_by_bytes() -> None:
    assert speed().limit == pytest.approx(50e9 / 4e9)
    assert speed(places=EVERYTHING_ON_GPU).limit == pytest.approx(936e9 / 4e9)


def test_a_split_model_reads_one_device_after_another() -> None:
    split = speed(places=(CPU, "gpu0", "gpu0", "gpu0"))

    assert split.limit == pytest.approx(1 / (1e9 / 50e9 + 3e9 / 936e9))


def test_weights_are_read_once_for_a_whole_batch() -> None:
    assert speed(batch=4).limit == pytest.approx(4 * 50e9 / 4e9)


def test_the_limit_holds_with_an_empty_cache_and_the_estimate_counts_it_half_full() -> None:
    long = tuple(replace(unit, kv_cache=10**9) for unit in BLOCKS)

    assert speed(long).limit == speed().limit
    without, filled = speed(places=EVERYTHING_ON_GPU).estimate, speed(long, EVERYTHING_ON_GPU).estimate
    assert without is not None
    assert filled is not None
    assert filled / without == pytest.approx(4.02 / 6)


def test_a_3090_decodes_an_8b_model_as_published() -> None:
    """156.6 tokens/s of Llama 3 8B Q4_0: github.com/ggml-org/llama.cpp/pull/15802; 584 of 8 sequences."""
    model = (Unit("all", weights=4_660_000_000, read=4_360_000_000),)

    assert speed(model, ("gpu0",)).estimate == pytest.approx(156.6, rel=0.02)
    assert speed(model, ("gpu0",), batch=8).estimate == pytest.approx(584, rel=0.05)


def test_a_mixture_reads_more_experts_for_more_sequences() -> None:
    """8 experts of 1 GB, 2 a token: in the mean 8 · (1 − (3/4)^4) = 5.47 of them for four sequences."""
    experts = (Unit("blk.0.experts", weights=8 * 10**9, read=2 * 10**9, read_all=8 * 10**9),)
    dense = (Unit("blk.0", weights=5_468_750_000, read=5_468_750_000),)

    assert speed(experts, ("gpu0",), batch=4).estimate == pytest.approx(
        speed(dense, ("gpu0",), batch=4).estimate
    )
    assert speed(experts, ("gpu0",), batch=4).limit == pytest.approx(4 * 936e9 / 2e9)


def test_copies_of_weights_are_not_read_twice() -> None:
    copied = tuple(replace(unit, weights=2 * unit.weights) for unit in BLOCKS)

    assert speed(copied, batch=8) == speed(batch=8)


@pytest.mark.parametrize("engine", ["transformers", "vllm"])
def test_an_engine_that_was_not_measured_has_a_limit_alone(engine: str) -> None:
    found = speed(engine=engine)

    assert (found.estimate, found.limit) == (None, speed().limit)


def test_a_card_that_nobody_published_has_a_limit_alone() -> None:
    found = speed(places=EVERYTHING_ON_GPU, machine=named("l4"))

    assert found.estimate is None
    assert found.limit == pytest.approx(300e9 / 4e9)


def test_past_eight_sequences_there_is_no_estimate_on_a_gpu() -> None:
    assert speed(places=EVERYTHING_ON_GPU, batch=8).estimate is not None
    assert speed(places=EVERYTHING_ON_GPU, batch=9).estimate is None


@pytest.mark.parametrize(
    "machine",
    [
        replace(MACHINE, decode_bandwidth_bytes_per_s=None),
        replace(MACHINE, cpu=Cpu("ARM", 8, 8, ("neon",))),
        replace(MACHINE, cpu=Cpu("c", 8, 8, ())),
    ],
)
def test_a_cpu_that_was_not_measured_has_a_limit_alone(machine: Hardware) -> None:
    found = speed(machine=machine)

    assert found.estimate is None
    assert found.limit is not None


@pytest.mark.parametrize(
    ("places", "machine"),
    [
        (EVERYTHING_ON_CPU, replace(MACHINE, bandwidth_bytes_per_s=None, decode_bandwidth_bytes_per_s=None)),
        (EVERYTHING_ON_GPU, replace(MACHINE, gpus=(replace(MACHINE.gpus[0], bandwidth_bytes_per_s=None),))),
        (EVERYTHING_ON_GPU, replace(MACHINE, gpus=())),
        ((CPU, CPU, CPU, DISK), MACHINE),
    ],
)
def test_an_unknown_bandwidth_of_a_device_in_use_gives_no_figure(
    places: tuple[str, ...], machine: Hardware
) -> None:
    assert speed(places=places, machine=machine) == TokensPerSecond(None, None)


def test_what_is_not_read_needs_no_bandwidth() -> None:
    embedding = Unit("input", weights=10**9)
    machine = replace(MACHINE, bandwidth_bytes_per_s=None)

    assert speed((embedding, *BLOCKS), (CPU, *EVERYTHING_ON_GPU), machine).limit is not None


def test_units_on_a_disk_are_read_at_its_speed() -> None:
    machine = replace(MACHINE, disk=Disk("/", 0, read_bytes_per_s=2e9))

    found = speed(places=(CPU, CPU, CPU, DISK), machine=machine)

    assert found.limit == pytest.approx(1 / (3e9 / 50e9 + 1e9 / 2e9))
    assert found.estimate is None


def test_two_threads_of_a_core_share_its_arithmetic() -> None:
    physical = replace(MACHINE, cpu=Cpu("c", 4, 8, ("avx2",)))

    assert (speed(machine=physical).estimate or 0) < (speed().estimate or 0)
    assert speed(machine=physical).limit == speed().limit


def test_a_model_without_weights_has_no_speed() -> None:
    assert speed((), ()) == TokensPerSecond(None, None)


@given(sizes, st.integers(0, 10**11), batches, st.floats(1e9, 1e12), st.floats(0.1, 1), st.booleans())
def test_no_estimate_exceeds_the_limit(
    read: int, cache: int, batch: int, bandwidth: float, share: float, on_gpu: bool
) -> None:
    unit = Unit("all", weights=read, kv_cache=cache, read=read, multiplied=read)
    machine = replace(
        MACHINE, bandwidth_bytes_per_s=bandwidth, decode_bandwidth_bytes_per_s=bandwidth * share
    )

    found = speed((unit,), ("gpu0" if on_gpu else CPU,), machine, batch)

    assert found.limit is not None
    assert found.estimate is None or 0 < found.estimate <= found.limit


@given(sizes, sizes)
def test_more_bytes_are_never_faster(one: int, other: int) -> None:
    few, many = (speed((Unit("all", n, n, n, multiplied=n),), (CPU,)) for n in sorted((one, other)))

    assert few.limit is not None
    assert few.estimate is not None
    assert few.limit >= (many.limit or 0)
    assert few.estimate >= (many.estimate or 0)


@given(st.floats(1e9, 1e12), st.floats(1e9, 1e12))
def test_more_bandwidth_is_never_slower(one: float, other: float) -> None:
    slow, fast = (
        speed(machine=replace(MACHINE, bandwidth_bytes_per_s=x, decode_bandwidth_bytes_per_s=x))
        for x in sorted((one, other))
    )

    assert (slow.limit or 0) <= (fast.limit or 0)
    assert (slow.estimate or 0) <= (fast.estimate or 0)


@given(st.integers(0, 3))
def test_more_on_the_faster_device_is_never_slower(on_gpu: int) -> None:
    fewer = speed(places=("gpu0",) * on_gpu + (CPU,) * (4 - on_gpu))
    more = speed(places=("gpu0",) * (on_gpu + 1) + (CPU,) * (3 - on_gpu))

    assert (fewer.limit or 0) < (more.limit or 0)
    assert (fewer.estimate or 0) < (more.estimate or 0)


@given(st.integers(1, 7), st.integers(1, 10), st.integers(1, 10))
def test_more_sequences_are_never_slower_together_nor_faster_each(batch: int, used: int, more: int) -> None:
    unit = Unit("experts", (used + more) * 10**8, read=used * 10**8, read_all=(used + more) * 10**8)

    few, many = (speed((unit,), ("gpu0",), batch=n).limit for n in (batch, batch + 1))

    assert few is not None
    assert many is not None
    assert few <= many * (1 + 1e-9)
    assert many / (batch + 1) <= few / batch * (1 + 1e-9)


def test_several_sequences_on_a_cpu_have_a_limit_alone() -> None:
    found = speed(batch=2)

    assert found.estimate is None
    assert found.limit is not None


def test_weights_that_are_not_counted_give_no_estimate_on_a_cpu() -> None:
    assert speed(tuple(replace(unit, multiplied=None) for unit in BLOCKS)).estimate is None


def test_a_long_context_costs_arithmetic_beside_its_bytes() -> None:
    long = tuple(replace(unit, attended=10**9) for unit in BLOCKS)

    assert (speed(long).estimate or 0) < (speed().estimate or 0)
    assert speed(long).limit == speed().limit


@pytest.mark.parametrize(("n_bytes", "measured"), [(695_400_000, 28.9), (1_313_300_000, 20.2)])
def test_an_idle_core_decodes_a_1b_model_as_measured(n_bytes: int, measured: float) -> None:
    """Q4_0 and Q8_0 of a 1B shape at 41 GB/s with one thread: dev/LOG.md, 2026-11-25."""
    machine = replace(MACHINE, cpu=Cpu("c", 2, 2, ("avx2",)), decode_bandwidth_bytes_per_s=41e9)
    blocks = tuple(
        Unit(f"blk.{i}", n_bytes // 18, read=n_bytes // 18, multiplied=1_236_000_000 // 18) for i in range(18)
    )

    assert speed(blocks, (CPU,) * 18, machine).estimate == pytest.approx(measured, rel=0.06)


@given(st.integers(1, 8), sizes, sizes)
def test_a_batch_reads_no_more_than_all_experts(batch: int, one: int, other: int) -> None:
    used, whole = sorted((one, other))
    assume(used < whole)
    mixture = Unit("experts", whole, read=used, read_all=whole)
    dense = Unit("dense", whole, read=whole)

    assert (speed((mixture,), ("gpu0",), batch=batch).estimate or 0) >= (
        speed((dense,), ("gpu0",), batch=batch).estimate or 0
    ) * (1 - 1e-9)
