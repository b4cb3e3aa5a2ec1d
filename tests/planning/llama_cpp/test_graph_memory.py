"""Where tensors of a graph find their place."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shoestring.planning.llama_cpp.graph_memory import ALIGNMENT, Tensor, buffer_bytes


def tensor(n: int, *sources: Tensor, in_place: bool = False) -> Tensor:
    return Tensor((n,), n, sources, in_place=in_place)


def test_a_tensor_gives_its_place_back_after_its_last_reader() -> None:
    a = tensor(96)
    b = tensor(96, a)
    c = tensor(96, b)
    assert buffer_bytes([a], [b, c]) == 2 * 96


def test_an_operation_in_place_takes_no_room() -> None:
    a = tensor(96)
    assert buffer_bytes([a], [tensor(96, a, in_place=True)]) == 96


def test_nothing_is_overwritten_that_somebody_else_still_reads() -> None:
    a = tensor(96)
    b = tensor(96, a, in_place=True)
    c = tensor(96, b, a)
    assert buffer_bytes([a], [b, c]) == 3 * 96


def test_a_view_keeps_its_source() -> None:
    a = tensor(96)
    view = Tensor((96,), 0, (a,), view_of=a)
    b = tensor(96)
    c = tensor(96, view, b)
    assert buffer_bytes([a], [view, b, c]) == 3 * 96


def test_an_output_stays() -> None:
    a = Tensor((96,), 96, output=True)
    b = tensor(96, a)
    c = tensor(96, b)
    d = tensor(96, c)
    assert buffer_bytes([a], [b, c, d]) == 3 * 96


def test_the_smallest_hole_is_filled_first() -> None:
    large, small, keep, last = tensor(320), tensor(96), tensor(32), tensor(32)
    reader = tensor(32, large)
    reader2 = tensor(32, small)
    after = tensor(96)
    end = tensor(32, keep, last, reader, reader2, after)
    # inputs 320 + 32 + 96 + 32, and 32 for `reader`, placed before `large` is given back
    assert buffer_bytes([large, keep, small, last], [reader, reader2, after, end]) == 480 + 32


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=40))
def test_a_chain_needs_its_widest_link_at_least_and_the_sum_at_most(sizes: list[int]) -> None:
    padded = [-(-size // ALIGNMENT) * ALIGNMENT for size in sizes]
    nodes: list[Tensor] = []
    for size in sizes:
        nodes.append(tensor(size, *nodes[-1:]))
    links = [a + b for a, b in zip([0, *padded], padded, strict=False)]
    assert max(links) <= buffer_bytes([], nodes) <= sum(padded)
