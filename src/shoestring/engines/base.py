"""The engine contract, on one page.

An `Engine` loads a planned model and gives a `LoadedModel`. Engines receive token ids, never
prompts: whoever holds text turns it into `Segment`s first, so that no message can forge a role.
Engines run inside the worker process; they may block, and several `generate` calls may run at
once on different threads. What an engine's process has to be started with stands in `registry.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

FinishReason = Literal["stop", "length", "context", "cancelled", "repetition"]


@dataclass(frozen=True)
class Segment:
    """A piece of text to tokenise. Special tokens' names become tokens only if `special`."""

    text: str
    special: bool = False


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen: the one definition every feature uses, in the names the field uses.

    Attributes:
        max_tokens: most new tokens; None: until the context is full.
        temperature: 0 is greedy.
        top_p, top_k, min_p: truncation; 1.0, 0 and 0.0 switch each off.
        repeat_penalty: 1.0 is off; applied to the last 64 tokens.
        seed: None draws a fresh one.
        stop: generation ends before any of these strings.
        ignore_eos: go on past the end-of-sequence token (for measurements).
        stop_loops: end a generation that repeats itself without end (`repetition.LoopWatch`), as `repetition`.
        logprobs: tell the log-probability of every new token and of so many of the likeliest beside it; None: none.
            They are the model's own, before temperature, truncation and penalty.
    """

    max_tokens: int | None = None
    temperature: float = 0.8
    top_p: float = 0.95
    top_k: int = 40
    min_p: float = 0.05
    repeat_penalty: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    stop_loops: bool = True
    logprobs: int | None = None


class Prefill(msgspec.Struct, frozen=True, tag=True):
    """Progress through the prompt, in tokens."""

    processed: int
    total: int


class TokenLogprob(msgspec.Struct, frozen=True):
    """How likely a token was, in natural logarithms.

    Attributes:
        token: its id.
        logprob: of the token that was chosen; NaN where the model's logits were not numbers.
        top: the likeliest tokens, likeliest first, as (id, logprob).
    """

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


class Token(msgspec.Struct, frozen=True, tag=True):
    """New text: one token, or several where a character or a possible stop string had to be waited for.

    Attributes:
        text: may be empty only where `logprobs` are told of tokens that have no text (an end token, a stop string).
        logprobs: of the tokens behind the text, where the sampling asked for them. Over a whole generation there is
            one for each new token (from llama.cpp one for each character, where several tokens make one).
    """

    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class Usage:
    """Tokens of one generation; `cached_tokens` of the prompt were in the KV cache already."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0


@dataclass(frozen=True)
class GenerationTimings:
    """Seconds as the engine measured them. `prefill_s` covers prompt − cached tokens."""

    prefill_s: float
    decode_s: float


class Finished(msgspec.Struct, frozen=True, tag=True):
    """The last event of every generation that did not fail."""

    reason: FinishReason
    usage: Usage
    timings: GenerationTimings


Event = Prefill | Token | Finished
"""What a generation yields. Structs rather than dataclasses because they cross the pipe as they are."""


@dataclass(frozen=True)
class DeviceMemory:
    """What one device holds after a load, in bytes, as its allocator tells.

    Attributes:
        name: `cpu`, `gpu0`…
        allocated_bytes: in live tensors; on the CPU what is resident.
        reserved_bytes: held by the allocator, live or not; None on the CPU.
        free_bytes: what is left for growth (headroom); `total_bytes`: what the device has.
    """

    name: str
    allocated_bytes: int
    reserved_bytes: int | None
    free_bytes: int
    total_bytes: int


@dataclass(frozen=True)
class LoadReport:
    """What a load brought, beside its duration.

    Attributes:
        tokenizer_s / weights_s: seconds for each; None where the engine does both in one.
        parameters: of the model, as many as its matrices have before packing.
        bytes_by_dtype: of the tensors in memory, by the dtype they are stored in; two packed 4-bit weights
            stand in one `uint8`.
        weights_bytes: all tensors, the scales of quantised ones included.
        footprint_bytes: what transformers' `get_memory_footprint()` prints, which leaves 4-bit scales out; None for
            other engines.
        devices: every device in use.
        notes: what needs the user's action, one sentence each.
    """

    tokenizer_s: float | None = None
    weights_s: float | None = None
    parameters: int | None = None
    bytes_by_dtype: dict[str, int] = field(default_factory=dict)
    weights_bytes: int | None = None
    footprint_bytes: int | None = None
    devices: tuple[DeviceMemory, ...] = ()
    notes: tuple[str, ...] = ()


Emit = Callable[[int, Event], None]
"""Takes an event and the index of the prompt that it belongs to."""


class LoadedModel(Protocol):
    """A model in memory, ready to generate. Thread-safe."""

    report: LoadReport

    def tokenize(self, segments: Sequence[Segment]) -> list[int]:
        """Token ids of the segments, concatenated. No BOS is added: whoever makes the segments puts it in."""

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        emit: Emit,
        cancelled: Callable[[], bool],
    ) -> None:
        """Generate from each prompt (token ids), passing events to `emit`, each prompt's last one `Finished`.

        What a prompt gives does not depend on the prompts beside it, but for the order in which numbers are
        added up. With a seed, prompt i is sampled with seed + i. More prompts than the loaded batch are refused.

        `cancelled` is polled at least once a token and once a prefill step; when true, every generation
        ends with reason `cancelled`.

        Raises:
            EngineError: the engine refused or failed the request; of a batch nothing more is emitted.
            OutOfMemoryError: a device had no memory left for it; the model is still loaded.
            PromptTooLongError: a prompt leaves no room for one new token.
        """

    def close(self) -> None:
        """Free what can be freed. Idempotent."""


class Engine(Protocol):
    """Loads models. One instance a process; construction is cheap and imports nothing heavy."""

    name: str

    @property
    def settings_type(self) -> type[Any]:
        """The dataclass that its `load` takes."""

    def version(self) -> str:
        """Version of the library behind the engine."""

    def preload(self) -> None:
        """Import what loading will need, so that it overlaps with planning in the parent."""

    def load(self, files: Sequence[Path], settings: Any, scratch: Path) -> LoadedModel:
        """Load a validated model.

        Args:
            files: absolute paths of its weights; a checkpoint's config and tokenizer lie beside the first.
            settings: a `settings_type` (hence `Any`: an engine is only given its own).
            scratch: a private (0700) folder that lives as long as the worker.

        Raises:
            EngineError: the engine could not load it.
            OutOfMemoryError: a device had no memory left for it.
        """
