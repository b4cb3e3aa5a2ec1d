"""What a training worker holds besides tensors, and what it is started with.

On the CPU the process is the truth: the interpreter with torch, transformers and peft, the kernels' code and scratch,
and pages of the checkpoint's file, which transformers maps and torch's tensors keep mapped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shoestring.models.facts import ModelFacts
from shoestring.planning.base import TrainingSettings
from shoestring.planning.transformers.modules import Module

ENVIRONMENT: Mapping[str, str] = {
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_ARENA_MAX": "1",
    "HF_DEACTIVATE_ASYNC_LOAD": "1",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
"""What a training worker is started with, so that its memory is what its tensors take.

glibc keeps freed blocks below its threshold in the heap, and raises that threshold to 32 MiB as blocks come free:
training frees thousands of tensors of 0.1 to 10 MB a step, and the heap's holes grew the peak by 10 % in three steps
(by 9 % with a threshold of 1 MiB). With 64 KiB every activation is mapped by itself and given back at once, and the
peak is the same in every step.
"""

BASELINE_BYTES = 482_000_000
"""A worker that has trained one step of a model of a few kilobytes: interpreter, torch, transformers, peft, what they
import at first use, the kernels' code. Measured by `benchmarks/qlora_peak.py`; of the pinned versions."""

_STORED = {"F32": "fp32", "BF16": "bf16", "F16": "fp16"}


def mapped_beside_bytes(facts: ModelFacts, held: Sequence[Module], settings: TrainingSettings) -> int:
    """Bytes of the checkpoint's file that stay resident on the CPU although they are no weights in memory.

    Tensors that are loaded as they are stored lie in the mapped file itself. While one of them lives, so does the
    mapping with every page that was read of it: what was quantised or cast has left its pages there. The kernel
    drops them when memory is short. Where nothing is used as stored, the mapping goes after loading.
    """
    kept = settings.compute_dtype if settings.method == "qlora" else settings.precision
    as_stored = {part for part, n in _bytes_by_part(facts, held, settings, kept).items() if n}
    total = sum(t.n_bytes for t in facts.tensors if t.part in as_stored)
    return total - sum(_bytes_by_part(facts, held, settings, kept).values())


def _bytes_by_part(
    facts: ModelFacts, held: Sequence[Module], settings: TrainingSettings, kept: str
) -> dict[int, int]:
    """Bytes of each file that are used in place."""
    quantised = {m.name for m in held if m.kind == "linear"} if settings.method == "qlora" else set()
    fused = {m.name for m in held if m.kind == "experts" and m.count > 1}
    found: dict[int, int] = {}
    for tensor in facts.tensors:
        owner = tensor.name.removesuffix(".weight").removesuffix(".bias")
        made_anew = owner in quantised or any(tensor.name.startswith(f.rsplit(".", 1)[0]) for f in fused)
        in_place = _STORED.get(tensor.dtype) == kept and not made_anew
        found[tensor.part] = found.get(tensor.part, 0) + (tensor.n_bytes if in_place else 0)
    return found


def largest_file_bytes(facts: ModelFacts) -> int:
    """Bytes of tensors in the largest file of a checkpoint: what is mapped at once while loading."""
    parts: dict[int, int] = {}
    for tensor in facts.tensors:
        parts[tensor.part] = parts.get(tensor.part, 0) + tensor.n_bytes
    return max(parts.values(), default=0)
