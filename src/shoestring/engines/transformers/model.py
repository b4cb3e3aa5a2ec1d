"""A loaded checkpoint that generates: what `engines/base.py` promises, over transformers."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import transformers

from shoestring.engines.base import (
    Emit,
    Finished,
    GenerationTimings,
    LoadReport,
    Sampling,
    Segment,
    Usage,
)
from shoestring.engines.side_by_side import refuse_more_than, seeded
from shoestring.engines.transformers.failures import as_our_error
from shoestring.engines.transformers.generation import Generation
from shoestring.engines.transformers.quiet import quietly
from shoestring.engines.transformers.row import Ends, Row
from shoestring.engines.transformers.sampling import generator
from shoestring.engines.transformers.text import Text
from shoestring.engines.transformers.turns import Turns
from shoestring.errors import EngineError, PromptTooLongError, ShoestringError
from shoestring.planning.base import TransformersSettings


class TransformersModel:
    """Generates for one caller at a time, in the order they came.

    The model is changed: its `generation_config` is emptied, because the library takes from it whatever a call
    leaves open. What it says of sampling is in `ModelFacts.sampling`, for whoever chooses.

    Args:
        model: a `PreTrainedModel` in evaluation mode.
        tokenizer: its fast tokenizer.
        settings: what it was loaded with.
        report: what the load brought.

    Raises:
        EngineError: it cannot have the KV cache that the settings name.
    """

    def __init__(
        self, model: Any, tokenizer: Any, settings: TransformersSettings, report: LoadReport
    ) -> None:
        self.report = report
        self._settings = settings
        self._text = Text(tokenizer)
        self._ends = Ends(_end_tokens(model, tokenizer) | self._text.ends(), settings.context)
        self._vocabulary = int(model.get_input_embeddings().num_embeddings)
        model.generation_config = transformers.GenerationConfig()
        self._turns = Turns()
        self._generation: Generation | None = Generation(
            model, settings, [token for token in self._ends.tokens if token < self._vocabulary]
        )

    def tokenize(self, segments: Sequence[Segment]) -> list[int]:
        return self._text.encode(segments)

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        emit: Emit,
        cancelled: Callable[[], bool],
    ) -> None:
        self._check(prompts)
        with self._turns.turn(cancelled) as is_ours:
            if not is_ours:
                for index, prompt in enumerate(prompts):
                    emit(index, Finished("cancelled", Usage(len(prompt), 0), GenerationTimings(0.0, 0.0)))
                return
            failure = self._run(prompts, sampling, emit, cancelled)
            if failure is not None:
                self._free()
                raise failure

    def close(self) -> None:
        with self._turns.turn(lambda: False):
            self._generation = None
            self._free()

    def _check(self, prompts: Sequence[Sequence[int]]) -> None:
        refuse_more_than(self._settings.batch, prompts)
        for prompt in prompts:
            if len(prompt) >= self._settings.context:
                raise PromptTooLongError(len(prompt), self._settings.context)
            if not prompt or not all(0 <= token < self._vocabulary for token in prompt):
                raise EngineError("The prompt is empty or holds ids outside the vocabulary.")

    def _run(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        emit: Emit,
        cancelled: Callable[[], bool],
    ) -> ShoestringError | None:
        """Returns the error instead of raising it: with its frames their tensors would stay alive."""
        if self._generation is None:
            return EngineError("The model was closed.")
        rows = [self._row(n, prompt, sampling, emit) for n, prompt in enumerate(prompts)]
        generators = [generator(seeded(sampling, n).seed) for n in range(len(prompts))]
        try:
            with quietly():
                self._generation.run(rows, generators, sampling, cancelled)
        except Exception as error:  # noqa: BLE001  (raised by the caller, as one of ours)
            return as_our_error(error, "generating")
        return None

    def _row(self, index: int, prompt: Sequence[int], sampling: Sampling, emit: Emit) -> Row:
        return Row(prompt, sampling, self._ends, self._text.decode, lambda event: emit(index, event))

    def _free(self) -> None:
        if self._generation is not None:
            self._generation.forget()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _end_tokens(model: Any, tokenizer: Any) -> set[int]:
    """Every id that a config or the tokenizer calls end of sequence: one of them is often incomplete."""
    named = (model.generation_config, model.config, model.config.get_text_config(decoder=True), tokenizer)
    return {token for one in named for token in _ids(getattr(one, "eos_token_id", None))}


def _ids(value: Any) -> Iterator[int]:
    for token in value if isinstance(value, list | tuple) else (value,):
        if isinstance(token, int) and not isinstance(token, bool):
            yield token
