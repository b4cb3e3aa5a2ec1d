"""The engine contract, on one page.

An `Engine` loads a planned model and gives a `LoadedModel`. Engines receive token ids, never
prompts: whoever holds text turns it into `Segment`s first, so that no message can forge a role.
Engines run inside the worker process; they may block, and several `generate` calls may run at
once on different threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from shoestring.planning.base import LlamaCppSettings

FinishReason = Literal["stop", "length", "context", "cancelled"]


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


class Prefill(msgspec.Struct, frozen=True, tag=True):
    """Progress through the prompt, in tokens."""

    processed: int
    total: int


class Token(msgspec.Struct, frozen=True, tag=True):
    """New text: one token, or several where a character or a possible stop string had to be waited for."""

    text: str


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


class LoadedModel(Protocol):
    """A model in memory, ready to generate. Thread-safe."""

    def tokenize(self, segments: Sequence[Segment]) -> list[int]:
        """Token ids of the segments, concatenated. No BOS is added: whoever makes the segments puts it in."""

    def generate(
        self,
        prompt: Sequence[int],
        sampling: Sampling,
        emit: Callable[[Event], None],
        cancelled: Callable[[], bool],
    ) -> None:
        """Generate from `prompt` (token ids), passing events to `emit`, the last one `Finished`.

        `cancelled` is polled at least once a token and once a prefill step; when true, generation
        ends with reason `cancelled`.

        Raises:
            EngineError: the engine refused or failed the request.
            PromptTooLongError: the prompt leaves no room for one new token.
        """

    def close(self) -> None:
        """Free what can be freed. Idempotent."""


class Engine(Protocol):
    """Loads models. One instance a process; construction is cheap and imports nothing heavy."""

    name: str

    def version(self) -> str:
        """Version of the library behind the engine."""

    def preload(self) -> None:
        """Import what loading will need, so that it overlaps with planning in the parent."""

    def load(self, files: Sequence[Path], settings: LlamaCppSettings, scratch: Path) -> LoadedModel:
        """Load a validated model. `scratch` is a private (0700) folder that lives as long as the worker.

        Raises:
            EngineError: the engine could not load it.
        """
