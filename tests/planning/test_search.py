"""The search for the largest number that holds: the same answer whatever is left tells, sooner where it tells the truth."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shoestring.planning.search import largest

COUNTS = st.integers(1, 10_000_000)


class Asked:
    """Counts hold up to `limit`; what is left is made up by `left`, and every question kept."""

    def __init__(self, limit: int, left: dict[int, int | None] | None = None) -> None:
        self.limit = limit
        self.left = left or {}
        self.counts: list[int] = []

    def __call__(self, count: int) -> int | None:
        self.counts.append(count)
        made_up = self.left.get(count % 7, 1)
        if count <= self.limit:
            return abs(made_up or 0)
        return None if made_up is None else -1 - abs(made_up)


def test_both_ends_are_asked_about_first() -> None:
    asked = Asked(limit=9)
    assert largest(8, asked) == 8
    assert asked.counts == [1, 8]


def test_where_not_even_one_holds_nothing_does() -> None:
    asked = Asked(limit=0)
    assert largest(8, asked) == 0
    assert asked.counts == [1]


def test_a_count_that_is_known_to_hold_is_never_lost() -> None:
    assert largest(3, Asked(limit=0), known=5) == 5
    assert largest(8, Asked(limit=0), known=5) == 5


@given(COUNTS, COUNTS, st.dictionaries(st.integers(0, 6), st.none() | st.integers()), st.integers(0, 100))
def test_whatever_is_said_to_be_left_the_answer_is_the_same(
    most: int, limit: int, left: dict[int, int | None], known: int
) -> None:
    asked = Asked(limit, left)
    assert largest(most, asked, known=min(known, limit, most)) == min(most, limit)
    assert len(asked.counts) <= 3 * most.bit_length() + 2


@given(COUNTS, st.integers(1, 10**6), st.integers(0, 10**12))
def test_along_a_straight_line_a_few_questions_find_it(most: int, step: int, room: int) -> None:
    counts = []

    def left(count: int) -> int:
        counts.append(count)
        return room - step * count

    assert largest(most, left) == max(0, min(most, room // step))
    assert len(counts) <= 5


def test_of_half_a_million_blocks_of_a_real_cache_s_shape_it_asks_few() -> None:
    counts = []

    def left(count: int) -> int:  # a cache that grows with the context, and a buffer that does so in part
        counts.append(count)
        return 12_000_000_000 - 32 * 4096 * count - max(300_000_000, 2048 * count)

    found = largest(524_288, left)
    assert left(found) >= 0 > left(found + 1)
    assert len(counts) <= 10
