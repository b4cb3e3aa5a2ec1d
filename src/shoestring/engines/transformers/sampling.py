"""How the next token is chosen: the library's own processors, in llama.cpp's order.

llama.cpp: bias, repeat penalty, top_k, top_p, min_p, temperature, draw (`common/sampling.cpp`). transformers would
apply its temperature first, and one random generator to the whole batch; so the choice is made here, in a processor
that leaves `generate` nothing but an argmax, and `generate` is told to decode greedily.

The draw is the Gumbel-max trick: of candidates with logits s, the largest s − log(e), each e drawn from Exp(1), is
distributed as softmax(s) (Gumbel 1954; Maddison et al. 2014, arXiv:1411.0030). Each row has its own generator, on the
CPU, so what it draws depends neither on its neighbours nor on the device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from transformers.generation import logits_process as library

from shoestring.engines.base import Sampling, TokenLogprob

PENALTY_WINDOW = 64
"""Last tokens of a row that the repeat penalty looks at."""


def generator(seed: int | None) -> torch.Generator:
    """A row's source of chance, on the CPU; fresh without a seed."""
    source = torch.Generator()
    if seed is None:
        source.seed()
    else:
        source.manual_seed(seed)
    return source


class Sampler(library.LogitsProcessor):  # type: ignore[misc]  # transformers is untyped here
    """Turns a step's logits into scores whose largest is the token to take.

    Args:
        sampling: how.
        generators: of the rows.
        pads: tokens before each row's first.
        never: ids that are not to come.
    """

    def __init__(
        self,
        sampling: Sampling,
        generators: Sequence[torch.Generator],
        pads: Sequence[int],
        never: Sequence[int] = (),
    ) -> None:
        self._sampling = sampling
        self._generators = generators
        self._pads = torch.tensor(pads)[:, None]
        self._never = list(never)
        self._truncations = _truncations(sampling)
        self._logprobs: torch.Tensor | None = None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Args: input_ids (rows, tokens so far); scores (rows, vocabulary), in fp32 and ours to change."""
        if self._sampling.logprobs is not None:
            self._logprobs = torch.log_softmax(scores, dim=-1)
        if self._never:
            scores[:, self._never] = -math.inf
        if self._sampling.repeat_penalty != 1:
            penalty = library.RepetitionPenaltyLogitsProcessor(float(self._sampling.repeat_penalty))
            scores = penalty(self._last_tokens(input_ids), scores)
        return scores if self._sampling.temperature == 0 else self._draw(input_ids, scores)

    def logprob(self, row: int, token: int) -> TokenLogprob | None:
        """Of the token that a row took in the last step, by the model alone; None where none are asked for."""
        n = self._sampling.logprobs
        if n is None or self._logprobs is None:
            return None
        of_row = self._logprobs[row]
        values, ids = torch.topk(of_row, min(n, len(of_row)))
        top = tuple(zip(ids.tolist(), values.tolist(), strict=True))
        return TokenLogprob(token, float(of_row[token]), top)

    def _last_tokens(self, input_ids: torch.Tensor) -> torch.Tensor:
        """The last tokens of each row, its newest in place of pads: what stands twice is penalised once."""
        window = input_ids[:, -PENALTY_WINDOW:]
        first = input_ids.shape[1] - window.shape[1]
        columns = torch.arange(first, input_ids.shape[1])
        is_pad = (columns[None, :] < self._pads).to(window.device)
        return torch.where(is_pad, window[:, -1:], window)

    def _draw(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        vocabulary = scores.shape[1]
        candidates, ids = torch.topk(scores, min(self._sampling.top_k or vocabulary, vocabulary))
        for process in self._truncations:
            candidates = process(input_ids, candidates)
        waits = [torch.empty(ids.shape[1]).exponential_(generator=one) for one in self._generators]
        noise = torch.stack(waits).log_().to(candidates.device)
        chosen = ids.gather(1, (candidates - noise).argmax(dim=-1, keepdim=True))
        return scores.fill_(-math.inf).scatter_(1, chosen, 0.0)


def _truncations(sampling: Sampling) -> list[Any]:
    """What follows top_k, on its candidates alone: over the whole vocabulary a sort would cost milliseconds."""
    found: list[Any] = []
    if sampling.top_p < 1:
        found.append(library.TopPLogitsWarper(sampling.top_p))
    if sampling.min_p > 0:
        found.append(library.MinPLogitsWarper(sampling.min_p))
    if sampling.temperature not in (0, 1):
        found.append(library.TemperatureLogitsWarper(float(sampling.temperature)))
    return found
