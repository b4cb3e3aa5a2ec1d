"""What a plan is: every term in bytes, on the device that holds it, with the settings that make it true.

An engine's memory model (`MemoryModel`) says what a model takes with given settings in a given place; placement
decides the place, the solver the settings. All of it is arithmetic on facts: no engine and no torch is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from shoestring.hardware.base import Hardware
from shoestring.models.facts import ModelFacts

Method = Literal["formula", "dry-run"]
Purpose = Literal["inference", "full", "lora", "qlora"]
KvPrecision = Literal["f32", "bf16", "f16", "q8_0", "q4_0"]
ComputeDtype = Literal["fp32", "bf16", "fp16"]
Precision = Literal["fp32", "bf16", "fp16", "int8", "nf4", "nf4-dq", "fp4", "fp4-dq", "stored"]
"""Of weights on transformers; `-dq` is bitsandbytes' double quantisation, `stored` keeps a quantised checkpoint."""
AttentionKind = Literal["sdpa", "eager", "flash_attention_2"]
CacheKind = Literal["dynamic", "static", "quantized", "offloaded"]
Optimizer = Literal[
    "adamw", "adamw_8bit", "paged_adamw", "paged_adamw_8bit", "sgd", "sgd_momentum", "adafactor"
]
Group = Literal[
    "weights",
    "adapters",
    "kv_cache",
    "compute",
    "gradients",
    "optimizer",
    "activations",
    "runtime",
]
GROUPS: tuple[Group, ...] = (
    "weights",
    "adapters",
    "kv_cache",
    "compute",
    "gradients",
    "optimizer",
    "activations",
    "runtime",
)

CPU, DISK = "cpu", "disk"
"""Names of devices that every machine has; GPUs are `gpu0`, `gpu1`…"""


@dataclass(frozen=True)
class Request:
    """What the user wants to do with a model. None leaves a choice to the planner.

    Attributes:
        context: tokens one sequence may hold, prompt and answer together (training: the length of an example);
            None: min(the model's, 4096), training min(the model's, 1024).
        batch: sequences side by side; llama.cpp calls them slots and allocates context × batch cells.
            Training: the wanted effective batch, which micro-batches and accumulation make up.
        budget_bytes: main memory the plan may use, this machine's or another's; None: what is free here.
        vram_bytes: the same of each GPU together; None: what is free on each.
        precision: of the weights: a `Precision`, or a GGUF type (`Q4_K_M`).
        kv_precision: of the cache.
        engine: registry name.
        purpose: inference, or a way of training.
        quality_floor: nothing below this precision is recommended.
    """

    context: int | None = None
    batch: int = 1
    budget_bytes: int | None = None
    vram_bytes: int | None = None
    precision: str | None = None
    kv_precision: KvPrecision | None = None
    engine: str | None = None
    purpose: Purpose = "inference"
    quality_floor: str | None = None


@dataclass(frozen=True)
class LlamaCppSettings:
    """Every llama.cpp setting that allocates or adjusts memory or speed: set on purpose, never inherited.

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
    gpu_layers: int = 0  # layers on GPUs, counted from the end: the head, then the last blocks (n_gpu_layers)
    tensor_split: tuple[int, ...] = ()  # of those, how many on each GPU
    cpu_expert_layers: int = 0  # of the first blocks, how many keep their experts on the CPU (n_cpu_moe)


@dataclass(frozen=True)
class TransformersSettings:
    """What transformers is told.

    Attributes:
        context, batch: tokens per sequence, sequences.
        precision: of the weights in memory.
        compute_dtype: what is multiplied in; of unquantised weights their precision.
        attention: the implementation.
        cache: the kind of KV cache. `kv_precision` of a quantized one is q8_0's or q4_0's bits.
        device_map: the plan's units (of the whole model: "") → device; empty: everything in main memory.
        offload: whether what GPUs cannot hold may stay in main memory, and what that cannot, on the disk; such
            weights are copied for every token.
        threads: of the CPU.
        trust_remote_code: whether the user consents to running Python code that lies beside the weights.
    """

    context: int
    batch: int = 1
    precision: Precision = "bf16"
    compute_dtype: ComputeDtype = "bf16"
    attention: AttentionKind = "sdpa"
    cache: CacheKind = "dynamic"
    kv_precision: KvPrecision = "bf16"
    device_map: tuple[tuple[str, str], ...] = ()
    threads: int = 1
    offload: bool = False
    trust_remote_code: bool = False


@dataclass(frozen=True)
class TrainingSettings:
    """How a model is trained with transformers (and peft).

    Attributes:
        context: tokens of one example; batch: examples at once (the micro-batch); accumulation: micro-batches
            whose gradients are summed before one step, so that batch × accumulation is the effective batch.
        method: full fine-tuning, LoRA on unquantised weights, or LoRA on 4-bit weights.
        precision: of the base weights in memory; compute_dtype: what is multiplied in.
        lora_rank: r of the adapters; 0 with full fine-tuning. All linear layers but the head get one.
        optimizer: `adamw` keeps two fp32 values a parameter, `adamw_8bit` two bytes, `paged_…` may move them to RAM.
        gradient_checkpointing: keep each block's input only and compute the rest again.
    """

    context: int
    batch: int = 1
    accumulation: int = 1
    method: Literal["full", "lora", "qlora"] = "qlora"
    precision: Precision = "nf4-dq"
    compute_dtype: ComputeDtype = "bf16"
    attention: AttentionKind = "sdpa"
    lora_rank: int = 16
    optimizer: Optimizer = "adamw"
    gradient_checkpointing: bool = True
    threads: int = 1


@dataclass(frozen=True)
class VllmSettings:
    """What vLLM is told. From its documentation; never run by us.

    Attributes:
        block_tokens: tokens in a page of the cache.
        gpu_memory_utilization: share of a GPU's memory that vLLM takes, all of it at start.
    """

    context: int
    batch: int = 1
    precision: Precision = "bf16"
    compute_dtype: ComputeDtype = "bf16"
    kv_precision: KvPrecision = "bf16"
    block_tokens: int = 16
    gpu_memory_utilization: float = 0.9


EngineSettings = LlamaCppSettings | TransformersSettings | TrainingSettings | VllmSettings


@dataclass(frozen=True)
class Unit:
    """A part of a model that lies on one device as a whole: the embedding, a block, a block's experts, the head.

    Attributes:
        name: in the engine's own words (`blk.3`, `blk.3.experts`, `model.layers.3`).
        weights: bytes it holds in memory.
        kv_cache: bytes of cache that lie with it.
        read: bytes of its weights that are read to decode one token (of an embedding one row, of a mixture the
            experts used).
        read_all: bytes that would be read for very many sequences at once: of a mixture every expert, of an
            embedding the table. None: as `read`.
        multiplied: weights that one token is multiplied with; None where an engine's model does not count them.
        attended: values of the full cache that all query heads of all sequences pass over for one token each.
    """

    name: str
    weights: int
    kv_cache: int = 0
    read: int = 0
    read_all: int | None = None
    multiplied: int | None = None
    attended: int = 0


Assignment = tuple[str, ...]
"""The device of every unit, in the units' order."""


@dataclass(frozen=True)
class Term:
    """One figure of a plan: what holds how many bytes, where."""

    name: str
    group: Group
    device: str
    bytes: int


@dataclass(frozen=True)
class Estimate:
    """What an engine would hold.

    Attributes:
        terms: every figure; their sum on a device is its peak with the context full.
        load_peak: the peak while loading, by device.
        missing: groups that have no figure, each with the reason in one sentence.
        footprint: what transformers' `get_memory_footprint()` would print; None for other engines.
        notes: what the user should know of the figures.
        droppable: of `load_peak`, pages of files that the kernel drops when it needs room; they are resident at the
            peak, but do not decide whether a plan fits.
    """

    terms: tuple[Term, ...]
    load_peak: Mapping[str, int]
    missing: Mapping[Group, str] = field(default_factory=dict)
    footprint: int | None = None
    notes: tuple[str, ...] = ()
    droppable: Mapping[str, int] = field(default_factory=dict)


class MemoryModel(Protocol):
    """What one engine needs for a model: pure arithmetic on facts, in milliseconds.

    `settings` are the engine's own; a model is only given those (hence `Any`: the solver keeps the pairs together).
    """

    @property
    def engine(self) -> str:
        """The engine's registry name."""

    def units(self, facts: ModelFacts, settings: Any, hardware: Hardware) -> tuple[Unit, ...]:
        """The parts that can be placed, in the order in which a token passes through them.

        Where the cache cannot be counted its bytes are 0 here and `kv_cache` is missing in the estimate.
        """

    def estimate(
        self, facts: ModelFacts, settings: Any, hardware: Hardware, assignment: Assignment
    ) -> Estimate:
        """Every term with the units so placed. What has no figure is in `missing`, never guessed."""


@dataclass(frozen=True)
class PlanBytes:
    """The terms of a plan, in bytes, for the context full. None: no figure; the plan's notes say why.

    Attributes:
        weights: tensor data, repacked copies included.
        kv_cache: all key-value cells, and recurrent state.
        compute: activations, masks and logits of inference: the engine's compute and output buffers.
        runtime: the worker itself: interpreter, libraries, vocabulary tables, server, allocator, CUDA context.
        total: the peak with the context full (on the CPU: the worker's VmHWM).
        load_peak: the peak while loading.
        gradients, optimizer, activations, adapters: of training; 0 in inference.
    """

    weights: int | None
    kv_cache: int | None
    compute: int | None
    runtime: int
    total: int | None
    load_peak: int | None
    gradients: int = 0
    optimizer: int = 0
    activations: int | None = 0
    adapters: int = 0


@dataclass(frozen=True)
class DevicePlan:
    """One device's share of a plan.

    Attributes:
        bytes: what it holds.
        budget_bytes: what may be used of it.
        units: how many parts of the model lie there.
    """

    bytes: PlanBytes
    budget_bytes: int
    units: int


@dataclass(frozen=True)
class TokensPerSecond:
    """Decode speed of the whole batch: an estimate and the physical limit; None while a bandwidth is not known."""

    estimate: float | None = None
    limit: float | None = None


@dataclass(frozen=True)
class Plan:
    """One way to run (or train) a model.

    Attributes:
        engine: registry name.
        precision: of the weights: the file's prevailing GGML type for GGUF.
        placement: each device that is used, with its share; every byte is charged to the device that holds it.
        bytes: the sums over all devices.
        budget_bytes: what may be used of the devices in `placement`, together.
        fits: whether every device's share fits its budget; False where a term has no figure.
        headroom_bytes: what is left at the peak on the device where least is left; negative when it does not
            fit, None where a term has no figure.
        method: how the figures were found.
        settings: what the engine is told.
        reason: one sentence: why this plan.
        notes: what the user should know of the figures (missing terms, clamped context…).
        terms: what `bytes.total` is the sum of, in bytes by name.
        footprint_bytes: what transformers' `get_memory_footprint()` would print, scales of 4-bit weights left out;
            None for other engines.
        converted: whether the weights are a file that has yet to be made (a GGUF of a checkpoint).
    """

    engine: str
    precision: str
    kv_precision: KvPrecision | None
    context: int
    batch: int
    placement: dict[str, DevicePlan]
    bytes: PlanBytes
    budget_bytes: int
    fits: bool
    headroom_bytes: int | None
    tokens_per_s: TokensPerSecond
    method: Method
    settings: EngineSettings
    reason: str
    notes: tuple[str, ...] = ()
    terms: dict[str, int] = field(default_factory=dict)
    footprint_bytes: int | None = None
    converted: bool = False


@dataclass(frozen=True)
class PlanReport:
    """The answer to "what fits?": `recommended` is an index into `plans`, or None when nothing fits.

    `plans[0]` is what was asked for, with every choice that was left open made in the best way that fits; others
    are runners-up or what would fit instead, best first.

    Attributes:
        largest_context: the longest context that fits with nothing else of `plans[0]` given up; None where none
            does, or where there is no figure for the model.
        largest_batch: the most sequences that fit, likewise.
    """

    model: str
    hardware: str
    request: Request
    recommended: int | None
    plans: tuple[Plan, ...]
    largest_context: int | None = None
    largest_batch: int | None = None

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from shoestring.planning.report_html import report_html

        return report_html(self)
