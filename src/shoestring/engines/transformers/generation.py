"""Rows of tokens through `model.generate`, all together, one step at a time.

What generation does is the library's; what is decided at each step (which token, what to show, who is done) is decided
in a logits processor and a stopping criterion, because a row has to end before the library adds another token to it: a
streamer learns of tokens only afterwards.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any, Literal

import torch
import transformers
from torch import nn
from transformers.generation import StoppingCriteria

from shoestring.engines.base import Sampling
from shoestring.engines.transformers.cache import Prefix, has_state, new_cache
from shoestring.engines.transformers.pace import Pace, pace_for
from shoestring.engines.transformers.row import Row
from shoestring.engines.transformers.sampling import Sampler
from shoestring.planning.base import TransformersSettings

_PAD = 0  # any id: it is masked
_CACHE_NAMES = ("cache", "past_key_values", "cache_params")  # 5.24 renamed the others to the first


class _CancelledError(Exception):
    """Raised inside the model's forward pass to leave it."""


class Generation:
    """Runs rows on one model. Not thread-safe: one call at a time."""

    def __init__(self, model: Any, settings: TransformersSettings, ends: Sequence[int]) -> None:
        self._model = model
        self._settings = settings
        self._ends = ends
        self._prefix = Prefix(model, settings)
        self._pace = pace_for(settings)
        self._layers = _layers(model)
        parameters = inspect.signature(model.forward).parameters
        self._cache_name = next((name for name in _CACHE_NAMES if name in parameters), None)
        self._shares = _shares(new_cache(model, settings), "attention_mask" in parameters)

    def run(
        self,
        rows: Sequence[Row],
        generators: Sequence[torch.Generator],
        sampling: Sampling,
        cancelled: Callable[[], bool],
    ) -> None:
        """Generate until every row is done; all end with `cancelled` when that becomes true.

        Padded rows fill the context sooner than each would alone: those left when it is full start a second pass,
        without the padding, from the tokens they have.
        """
        if self._pace is not None:
            self._pace.begin()
        try:
            for group in self._groups(list(zip(rows, generators, strict=True))):
                while pending := [pair for pair in group if not pair[0].done]:
                    self._pass(
                        [row for row, _ in pending], [source for _, source in pending], sampling, cancelled
                    )
        except _CancelledError:
            for row in rows:
                row.end("cancelled")

    def forget(self) -> None:
        """Free the cache that is kept for the next prompt."""
        self._prefix.drop()

    def _groups(self, pairs: list[tuple[Row, Any]]) -> list[list[tuple[Row, Any]]]:
        """What may run side by side."""
        if self._shares == "anything":
            return [pairs]
        if self._shares == "nothing":
            return [[pair] for pair in pairs]
        by_length = sorted(pairs, key=lambda pair: len(pair[0].tokens))
        return [list(group) for _, group in groupby(by_length, key=lambda pair: len(pair[0].tokens))]

    def _pass(
        self,
        rows: list[Row],
        generators: Sequence[torch.Generator],
        sampling: Sampling,
        cancelled: Callable[[], bool],
    ) -> None:
        width = max(len(row.tokens) for row in rows)
        pads = [width - len(row.tokens) for row in rows]
        cache = self._cache_for(rows)
        sampler = Sampler(sampling, generators, pads, self._ends if sampling.ignore_eos else ())
        for row in rows:
            row.begin()
        with _polled(self._layers, cancelled, self._pace) as prefill:
            steps = _Steps(rows, sampler, cancelled, prefill, self._pace)
            self._model.generate(
                inputs=_padded(rows, width, self._device()),
                generation_config=transformers.GenerationConfig(
                    max_new_tokens=min(self._settings.context - width, max(row.left for row in rows)),
                    do_sample=False,  # the sampler draws
                    disable_compile=True,  # a static cache would have the model compiled, for a minute or more
                ),
                logits_processor=[sampler],
                stopping_criteria=[steps],
                **self._arguments(cache, pads, width),
            )
        if len(rows) == 1:
            self._prefix.keep(cache, rows[0].tokens)

    def _cache_for(self, rows: Sequence[Row]) -> Any:
        if len(rows) == 1 and rows[0].is_new:
            cache, rows[0].cached = self._prefix.take(rows[0].tokens)
            if cache is not None:
                return cache
        self._prefix.drop()
        return new_cache(self._model, self._settings)

    def _arguments(self, cache: Any, pads: Sequence[int], width: int) -> dict[str, Any]:
        """The cache by the name this model has for it, and a mask where there is padding."""
        arguments: dict[str, Any] = {}
        if cache is not None and self._cache_name is not None:
            arguments[self._cache_name] = cache
        if any(pads):
            columns = torch.arange(width)
            arguments["attention_mask"] = (columns >= torch.tensor(pads)[:, None]).long().to(self._device())
        return arguments

    def _device(self) -> torch.device:
        """Where the embedding lies; the CPU where accelerate moves inputs itself (offloaded weights are `meta`)."""
        device: torch.device = self._model.get_input_embeddings().weight.device
        return torch.device("cpu") if device.type == "meta" else device


class _Steps(StoppingCriteria):  # type: ignore[misc]  # transformers is untyped here
    """Gives every new token to its row, and tells the library which rows are done."""

    def __init__(
        self,
        rows: Sequence[Row],
        sampler: Sampler,
        cancelled: Callable[[], bool],
        prefill: Callable[[], None],
        pace: Pace | None,
    ) -> None:
        self._pace = pace
        self._rows = rows
        self._sampler = sampler
        self._cancelled = cancelled
        self._prefill_is_over = prefill
        self._first = True

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        if self._first:
            self._first = False
            self._prefill_is_over()
            for row in self._rows:
                row.prefilled()
        if self._pace is not None:
            self._pace.tick()
        is_cancelled = self._cancelled()
        for n, token in enumerate(input_ids[:, -1].tolist()):
            if is_cancelled:  # between two passes through the model, so its cache can be kept
                self._rows[n].end("cancelled")
            elif not self._rows[n].done:
                self._rows[n].take(token, self._sampler.logprob(n, token))
        return torch.tensor([row.done for row in self._rows], device=input_ids.device)


def _shares(cache: Any, takes_mask: bool) -> Literal["anything", "one length", "nothing"]:
    """What prompts may share a pass.

    A recurrent state goes through padding as through text; some models mask it, none is trusted to. Those that keep
    a state of their own instead of a cache run alone: RWKV's of 5.24 mixes the rows of a batch.
    """
    if cache is None:
        return "nothing"
    return "anything" if takes_mask and not has_state(cache) else "one length"


def _padded(rows: Sequence[Row], width: int, device: torch.device) -> torch.Tensor:
    """Ids (rows, width), padded on the left: generation goes on at the right."""
    padded = [[_PAD] * (width - len(row.tokens)) + row.tokens for row in rows]
    return torch.tensor(padded, dtype=torch.long, device=device)


def _layers(model: Any) -> list[nn.Module]:
    """The decoder's layers: members of the lists that are as long as the config says."""
    n = getattr(model.config.get_text_config(decoder=True), "num_hidden_layers", None)
    lists = (module for module in model.modules() if isinstance(module, nn.ModuleList))
    return [layer for found in lists if len(found) == n for layer in found]


@contextmanager
def _polled(
    layers: Sequence[nn.Module], cancelled: Callable[[], bool], pace: Pace | None
) -> Iterator[Callable[[], None]]:
    """Poll before every layer, so that a long prompt can be left, until what this gives is called."""

    def poll(*_: Any) -> None:
        if cancelled():
            raise _CancelledError
        if pace is not None:
            pace.tick()

    hooks = [layer.register_forward_pre_hook(poll) for layer in layers]

    def stop() -> None:
        for hook in hooks:
            hook.remove()

    try:
        yield stop
    finally:
        stop()
