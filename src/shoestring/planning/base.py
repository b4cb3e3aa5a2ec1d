"""What a plan is: every term in bytes, with the settings that make it true."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Method = Literal["formula", "dry-run"]
KvPrecision = Literal["f16", "q8_0", "q4_0"]


@dataclass(frozen=True)
class Request:
    """What the user wants to do with a model.

    Attributes:
        context: tokens one sequence may hold, prompt and answer together; None: min(the model's, 4096).
        batch: sequences decoded side by side; llama.cpp calls them slots and allocates context × batch cells.
        budget_bytes: memory the plan may use, this machine's or another's; None: what is free here.
    """

    context: int | None = None
    batch: int = 1
    budget_bytes: int | None = None


@dataclass(frozen=True)
class EngineSettings:
    """Every engine setting that allocates or adjusts memory or speed: set on purpose, never inherited.

    Defaults are llama.cpp's names and our choices; `docs/decisions/` says why.
    """

    context: int  # tokens per sequence
    batch: int = 1  # sequences (llama.cpp slots); n_ctx = context × batch
    ubatch: int = 512  # tokens computed at once in prefill (n_batch = n_ubatch)
    flash_attention: bool = True
    kv_precision: KvPrecision = "f16"
    threads: int = 1  # that decode; bound by memory, so one core is left to others
    prefill_threads: int = 1  # that read prompts; bound by arithmetic, so every core counts
    mmap: bool = True
    repack: bool = True  # llama.cpp rearranges some quantised weights for the CPU, in a copy
    prompt_cache_bytes: int = 0  # llama.cpp's cache of other prompts (its default: 8 GiB)
    context_checkpoints: int = 0  # copies of the sliding-window state (its default: 32)


@dataclass(frozen=True)
class PlanBytes:
    """The terms of a plan, in bytes, for the context full.

    Attributes:
        weights: tensor data, repacked copies included.
        kv_cache: all key-value cells.
        compute: activations, masks and logits: the engine's compute and output buffers.
        runtime: the worker itself: interpreter, libraries, vocabulary tables, server, allocator.
        total: the peak with the context full (worker's VmHWM).
        load_peak: the peak while loading.
    """

    weights: int
    kv_cache: int
    compute: int
    runtime: int
    total: int
    load_peak: int


@dataclass(frozen=True)
class TokensPerSecond:
    """Decode speed: an estimate and the physical limit; None until the machine's bandwidth is measured."""

    estimate: float | None = None
    limit: float | None = None


@dataclass(frozen=True)
class Plan:
    """One way to run a model.

    Attributes:
        engine: registry name.
        precision: of the weights: the file's prevailing GGML type for GGUF.
        placement: bytes by device (`{"cpu": …}`); every byte is charged to the device that holds it.
        budget_bytes: what may be used.
        headroom_bytes: budget − max(total, load_peak); negative when it does not fit.
        method: how the figures were found.
        settings: what the engine is told.
        reason: one sentence: why this plan.
        notes: what the user should know of the figures (missing terms, clamped context…).
    """

    engine: str
    precision: str
    kv_precision: KvPrecision
    context: int
    batch: int
    placement: dict[str, int]
    bytes: PlanBytes
    budget_bytes: int
    fits: bool
    headroom_bytes: int
    tokens_per_s: TokensPerSecond
    method: Method
    settings: EngineSettings
    reason: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlanReport:
    """The answer to "what fits?": `recommended` is an index into `plans`, or None when nothing fits.

    `plans[0]` is always the plan that was asked for; others are what would fit instead, best first.

    Attributes:
        largest_context: the longest context that fits with nothing else given up; None where none does, or
            where the formula has no figure for the model.
        terms: what `plans[0].bytes.total` is the sum of, in bytes by name.
    """

    model: str
    hardware: str
    request: Request
    recommended: int | None
    plans: tuple[Plan, ...]
    largest_context: int | None = None
    terms: dict[str, int] = field(default_factory=dict)
