"""How a token is chosen: llama.cpp's order, held against that order written out in plain Python."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shoestring.engines.base import Sampling
from shoestring.engines.transformers.sampling import Sampler, generator

VOCABULARY = 12
_LOGITS = st.lists(
    st.floats(-8, 8, width=32), min_size=VOCABULARY, max_size=VOCABULARY, unique_by=lambda x: round(x, 2)
)
PLAIN = Sampling(temperature=1, top_p=1, top_k=0, min_p=0)


def reference(logits: list[float], sampling: Sampling) -> dict[int, float]:
    """The probabilities of every token that may come: top_k, top_p, min_p, and the temperature last."""
    kept = sorted(range(len(logits)), key=lambda token: -logits[token])[: sampling.top_k or None]
    shares = _softmax([logits[token] for token in kept])
    before = [math.fsum(shares[:n]) for n in range(len(kept))]
    kept = [token for token, sum_before in zip(kept, before, strict=True) if sum_before < sampling.top_p]
    shares = _softmax([logits[token] for token in kept])
    kept = [token for token, share in zip(kept, shares, strict=True) if share >= sampling.min_p * max(shares)]
    return dict(zip(kept, _softmax([logits[token] / sampling.temperature for token in kept]), strict=True))


def _softmax(logits: list[float]) -> list[float]:
    powers = [math.exp(logit - max(logits)) for logit in logits]
    return [power / math.fsum(powers) for power in powers]


def drawn(logits: list[float], sampling: Sampling, times: int, seed: int = 0) -> Counter[int]:
    """Tokens that so many draws give."""
    rows = [generator(seed + n) for n in range(times)]
    sampler = Sampler(sampling, rows, [0] * times)
    scores = sampler(torch.zeros(times, 1, dtype=torch.long), torch.tensor([logits] * times))
    return Counter(scores.argmax(dim=-1).tolist())


def scores_of(sampler: Sampler, ids: list[list[int]], logits: list[float]) -> list[list[float]]:
    given: list[list[float]] = sampler(torch.tensor(ids), torch.tensor([logits] * len(ids))).tolist()
    return given


@given(
    _LOGITS,
    st.integers(0, VOCABULARY + 2),
    st.floats(0.05, 1),
    st.floats(0, 0.9),
    st.floats(0.3, 2),
    st.integers(0, 10**6),
)
def test_only_what_llama_cpps_order_leaves_is_drawn(
    logits: list[float], top_k: int, top_p: float, min_p: float, temperature: float, seed: int
) -> None:
    sampling = Sampling(top_k=top_k, top_p=top_p, min_p=min_p, temperature=temperature)
    near = Sampling(
        top_k=top_k, top_p=min(1, top_p + 1e-4), min_p=max(0, min_p - 1e-4), temperature=temperature
    )
    assert set(drawn(logits, sampling, 40, seed)) <= set(reference(logits, near))


@pytest.mark.parametrize(
    "sampling",
    [
        PLAIN,
        Sampling(temperature=2, top_p=1, top_k=0, min_p=0),
        Sampling(temperature=0.7, top_p=0.8, top_k=6, min_p=0.05),
    ],
)
def test_tokens_come_as_often_as_their_probabilities_say(sampling: Sampling) -> None:
    logits = [math.sin(3 * n) * 2 for n in range(VOCABULARY)]
    times = 20_000
    found = drawn(logits, sampling, times)
    for token, share in reference(logits, sampling).items():
        deviation = math.sqrt(share * (1 - share) / times)
        assert found[token] / times == pytest.approx(share, abs=4.5 * deviation)


def test_the_temperature_comes_after_the_truncation() -> None:
    """At 10 all three tokens would be within top_p = 0.9; at 1, where it is looked at, only the first is."""
    sampling = Sampling(temperature=10, top_p=0.9, top_k=0, min_p=0)
    assert set(drawn([5.0, 0.0, 0.0], sampling, 200)) == {0}


def test_the_repeat_penalty_divides_what_is_positive_and_multiplies_what_is_not() -> None:
    sampler = Sampler(Sampling(temperature=0, repeat_penalty=2), [generator(0)], [0])
    assert scores_of(sampler, [[0, 1]], [3.0, -3.0, 1.0]) == [[1.5, -6.0, 1.0]]


def test_the_repeat_penalty_forgets_what_is_longer_ago_than_64_tokens() -> None:
    sampler = Sampler(Sampling(temperature=0, repeat_penalty=2), [generator(0)], [0])
    assert scores_of(sampler, [[0] + [1] * 64], [3.0, 3.0]) == [[3.0, 1.5]]
    assert scores_of(sampler, [[0] + [1] * 63], [3.0, 3.0]) == [[1.5, 1.5]]


def test_pads_are_never_penalised() -> None:
    sampler = Sampler(Sampling(temperature=0, repeat_penalty=2), [generator(0)] * 2, [2, 0])
    assert scores_of(sampler, [[0, 0, 1], [0, 0, 1]], [3.0, 3.0]) == [[3.0, 1.5], [1.5, 1.5]]


def test_what_must_not_come_does_not() -> None:
    greedy = Sampler(Sampling(temperature=0), [generator(0)], [0], never=[0])
    assert torch.tensor(scores_of(greedy, [[1]], [9.0, 1.0])).argmax() == 1
    drawing = Sampler(PLAIN, [generator(0)], [0], never=[0])
    assert torch.tensor(scores_of(drawing, [[1]], [9.0, 1.0])).argmax() == 1


def test_a_row_draws_the_same_whatever_stands_beside_it() -> None:
    logits = [0.0] * VOCABULARY
    alone = [drawn(logits, PLAIN, 1, seed).most_common(1)[0][0] for seed in range(20)]
    rows = Sampler(PLAIN, [generator(seed) for seed in range(20)], [0] * 20)
    together = torch.tensor(scores_of(rows, [[0]] * 20, logits)).argmax(dim=-1).tolist()
    assert together == alone


def test_without_a_seed_every_generator_is_fresh() -> None:
    assert generator(None).initial_seed() != generator(None).initial_seed()


def test_log_probabilities_are_of_the_logits_that_came_not_of_what_was_made_of_them() -> None:
    sampler = Sampler(
        Sampling(temperature=3, top_k=1, repeat_penalty=5, logprobs=2), [generator(0)], [0], never=[1]
    )
    scores_of(sampler, [[2]], [math.log(2), math.log(5), math.log(3)])
    told = sampler.logprob(0, 2)
    assert told is not None
    assert told.logprob == pytest.approx(math.log(0.3))
    assert [token for token, _ in told.top] == [1, 2]
    assert [value for _, value in told.top] == pytest.approx([math.log(0.5), math.log(0.3)])


def test_logits_that_are_no_numbers_are_told_as_they_are_and_still_give_a_token() -> None:
    sampler = Sampler(Sampling(logprobs=3), [generator(0)], [0])
    scores = torch.tensor(scores_of(sampler, [[0]], [math.nan] * 3))
    told = sampler.logprob(0, int(scores.argmax()))
    assert told is not None
    assert math.isnan(told.logprob)
    assert all(math.isnan(value) for _, value in told.top)
