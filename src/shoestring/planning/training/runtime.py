"""What a training worker holds besides tensors, and what it is started with."""

from __future__ import annotations

from collections.abc import Mapping

from shoestring.models.facts import ModelFacts
from shoestring.planning.base import TrainingSettings
from shoestring.planning.transformers.modules import Module
from shoestring.planning.transformers.runtime import IMPORTS_BYTES, object_bytes

ENVIRONMENT: Mapping[str, str] = {
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_ARENA_MAX": "1",
    "HF_DEACTIVATE_ASYNC_LOAD": "1",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
"""What a training worker is started with, so that its memory is what its tensors take.

glibc keeps freed blocks below its threshold in the heap, and raises that threshold to 32 MiB as blocks come free.
Training frees thousands of tensors of 0.1 to 10 MB a step: with a threshold of 1 MiB the heap's holes grew the peak
by 9 % in three steps. With 64 KiB every activation has pages of its own and gives them back at once, and the peak is
the same in every step.
"""

BITSANDBYTES_BYTES = 48_000_000
"""bitsandbytes with what its compiled functions import: a training worker has torch's compiler on."""
PEFT_BYTES = 52_000_000
"""peft and what a training run imports at first use, kernels' code and scratch of one backward pass and step.
Measured by `benchmarks/qlora_peak.py`, like the constants of inference that it adds to."""
_ADAPTER_OBJECTS_BYTES = 40_000
"""The Python objects of one adapter: two linear layers in containers by adapter name."""


def worker_bytes(
    facts: ModelFacts, held: tuple[Module, ...], settings: TrainingSettings, adapters: int
) -> int:
    """Bytes of the worker beside weights and everything that training adds to them."""
    quantized = sum(m.kind == "linear" for m in held) if settings.method == "qlora" else 0
    libraries = (
        IMPORTS_BYTES + PEFT_BYTES + BITSANDBYTES_BYTES
    )  # peft imports bitsandbytes where it is installed
    return libraries + object_bytes(facts, held, quantized) + adapters * _ADAPTER_OBJECTS_BYTES


def loading_worker_bytes(settings: TrainingSettings) -> int:
    """Bytes of the worker beside the base model's weights while they are loaded."""
    return IMPORTS_BYTES + (BITSANDBYTES_BYTES if settings.method == "qlora" else 0)
