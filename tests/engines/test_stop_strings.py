"""Text that ends before a stop string, and the log-probabilities that wait with it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shoestring.engines.base import Token, TokenLogprob
from shoestring.engines.stop_strings import StoppableText

_PIECES = st.lists(st.text("ab-", max_size=3), max_size=12)
_STOPS = st.lists(st.text("ab-", min_size=1, max_size=4), max_size=3)


def passed_on(pieces: list[str], stop: list[str]) -> list[Token]:
    released: list[Token] = []
    text = StoppableText(stop, released.append)
    for n, piece in enumerate(pieces):
        if text.push(piece, TokenLogprob(n, -1.0)):
            break
    text.finish()
    return released


@given(_PIECES, _STOPS)
def test_what_is_passed_on_ends_before_the_first_stop_string_to_be_complete(
    pieces: list[str], stop: list[str]
) -> None:
    whole = "".join(pieces)
    ends = [at for string in stop if (at := whole.find(string)) >= 0]
    shown = "".join(token.text for token in passed_on(pieces, stop))
    if not ends:
        assert shown == whole
    else:
        assert whole.startswith(shown)
        assert all(string not in shown for string in stop)


@given(_PIECES)
def test_without_stop_strings_every_piece_is_passed_on_at_once(pieces: list[str]) -> None:
    assert [token.text for token in passed_on(pieces, []) if token.text] == [p for p in pieces if p]


@given(_PIECES, _STOPS)
def test_no_log_probability_is_lost_or_told_twice(pieces: list[str], stop: list[str]) -> None:
    told = [one.token for token in passed_on(pieces, stop) for one in token.logprobs]
    assert told == list(range(len(told)))
    if not any(string in "".join(pieces) for string in stop):
        assert len(told) == len(pieces)


@given(_PIECES, _STOPS)
def test_only_log_probabilities_come_without_text(pieces: list[str], stop: list[str]) -> None:
    assert all(token.text or token.logprobs for token in passed_on(pieces, stop))
