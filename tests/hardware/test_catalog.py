"""Machines by name: the figures that people check, the spellings they type, and what is said of a wrong one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoestring.errors import UsageError
from shoestring.hardware.base import Cpu, Disk, Hardware, Memory
from shoestring.hardware.catalog import custom, description, gpu_bandwidth, named, names
from shoestring.units import GiB, MiB

BARE = Hardware(Cpu("c", 2, 4, ()), Memory(16 * GiB, 12 * GiB, None), (), Disk("/", 10**11))


def test_a_t4_is_colabs() -> None:
    machine = named("t4")

    (card,) = machine.gpus
    assert (card.compute_capability, card.bf16, card.bandwidth_bytes_per_s) == ((7, 5), False, 320e9)
    assert card.total_bytes == 15 * GiB
    assert card.free_bytes / GiB == pytest.approx(14.74, abs=0.005)
    assert machine.memory.total_bytes / GiB == pytest.approx(12.67)
    assert machine.cpu.cores_logical == 2
    assert machine.name == "t4"


@pytest.mark.parametrize("spelling", ["T4", "tesla t4", "NVIDIA Tesla T4", "Tesla-T4", "colab"])
def test_case_spaces_hyphens_and_makers_words_do_not_matter(spelling: str) -> None:
    assert named(spelling) == named("t4")


@pytest.mark.parametrize(
    "spelling", ["RTX 4090", "rtx4090", "GeForce RTX 4090", "4090", "NVIDIA GeForce RTX 4090"]
)
def test_a_card_is_found_as_people_write_it(spelling: str) -> None:
    assert named(spelling).name == "rtx-4090"


def test_an_unknown_machine_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="'RTX 4900'") as raised:
        named("RTX 4900")

    assert "rtx-4090" in (raised.value.hint or "")


@pytest.mark.parametrize("nothing", ["", "   ", "???", "rtx"])
def test_a_name_that_is_near_to_none_lists_them(nothing: str) -> None:
    with pytest.raises(UsageError) as raised:
        named(nothing)

    assert "laptop-8gb" in (raised.value.hint or "")


@pytest.mark.parametrize("name", names())
def test_every_machine_holds_together(name: str) -> None:
    machine = named(name)

    assert machine.name == name
    assert 0 < machine.memory.available_bytes < machine.memory.total_bytes
    assert (machine.cpu.cores_physical or 1) <= machine.cpu.cores_logical
    assert machine.decode_bandwidth_bytes_per_s is None  # a theoretical figure is not a measured one
    for card in machine.gpus:
        assert 0.9 < card.free_bytes / card.total_bytes < 1
        assert card.bf16 == (card.compute_capability is not None and card.compute_capability >= (8, 0))
        assert gpu_bandwidth(card.name, card.total_bytes) == card.bandwidth_bytes_per_s


@pytest.mark.parametrize("name", names())
def test_every_description_tells_the_host(name: str) -> None:
    text = description(name)

    assert "logical cores" in text
    assert "kept by the system" in text
    for card in named(name).gpus:
        assert card.name in text


def test_an_assumed_host_is_called_assumed() -> None:
    assert "assumed" in description("rtx-3090")
    assert "assumed" not in description("t4")


def test_kaggle_has_two_cards() -> None:
    assert len(named("kaggle").gpus) == 2
    assert description("kaggle").startswith("2 × Tesla T4")


def test_cards_of_one_name_and_another_size_are_not_the_same() -> None:
    assert gpu_bandwidth("NVIDIA GeForce RTX 3060", 12 * GiB) == 360e9
    assert gpu_bandwidth("NVIDIA GeForce RTX 3060", 8 * GiB) is None
    assert gpu_bandwidth("NVIDIA GeForce RTX 4060 Laptop GPU", 8188 * MiB) is None


def test_other_amounts_leave_the_rest_of_the_machine() -> None:
    base = named("t4")

    machine = custom(12_000_000_000, 10_000_000_000, base)

    assert machine.memory == Memory(12_000_000_000, 12_000_000_000, None)
    assert machine.gpus == (replace(base.gpus[0], total_bytes=10_000_000_000, free_bytes=10_000_000_000),)
    assert (machine.cpu, machine.disk) == (base.cpu, base.disk)


def test_no_video_memory_means_no_gpu() -> None:
    assert custom(None, 0, named("t4")).gpus == ()


def test_video_memory_without_a_known_gpu_stays_unknown() -> None:
    (card,) = custom(None, 15 * GiB, BARE).gpus

    assert card.total_bytes == 15 * GiB
    assert (card.compute_capability, card.bf16, card.bandwidth_bytes_per_s) == (None, None, None)


def test_amounts_left_out_change_nothing() -> None:
    assert custom(None, None, named("l4")) == named("l4")


@given(st.integers(1, 10**13))
def test_video_memory_is_shared_out_to_the_byte(vram_bytes: int) -> None:
    cards = custom(None, vram_bytes, named("kaggle-2xt4")).gpus

    assert sum(card.total_bytes for card in cards) == vram_bytes
    assert max(card.total_bytes for card in cards) - min(card.total_bytes for card in cards) <= 1


@pytest.mark.parametrize(("ram", "vram"), [(0, None), (-1, None), (None, -1)])
def test_impossible_amounts_are_refused(ram: int | None, vram: int | None) -> None:
    with pytest.raises(UsageError):
        custom(ram, vram, BARE)
