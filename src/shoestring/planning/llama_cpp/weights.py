"""Weights in memory: the file's tensors as mapped, and the copies that llama.cpp rearranges for the CPU."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from shoestring.models.facts import TensorInfo
from shoestring.planning.base import LlamaCppSettings

_REPACKED_AVX2 = {"Q4_0": 8, "Q4_K": 8, "IQ4_NL": 8, "MXFP4": 8}
_REPACKED_DOTPROD = {
    "Q4_0": 4,
    "Q4_K": 8,
    "Q5_K": 8,
    "Q6_K": 8,
    "Q8_0": 4,
    "IQ4_NL": 4,
    "MXFP4": 4,
    "Q1_0": 4,
}
"""Types that llama.cpp rearranges and the multiple their row count must be (`ggml/src/ggml-cpu/repack.cpp`)."""

EMBEDDING = "token_embd.weight"
_TABLES = ("position_embd.weight", "per_layer_token_embd.weight", "token_types.weight")
"""Looked up, never multiplied with: not rearranged."""


@dataclass(frozen=True)
class Held:
    """What some of a file's tensors take of main memory.

    Attributes:
        in_place: bytes of those that are used as they lie in the file.
        rearranged: bytes of those that are copied into another arrangement while loading. An embedding that also
            serves as the head is copied for that; as a table to look up it stays as it is.
        spans: of what is used in place, the first and the last byte in each part of a split file.
    """

    in_place: int
    rearranged: int
    spans: tuple[tuple[int, int, int], ...]


def held(
    tensors: Iterable[TensorInfo], settings: LlamaCppSettings, cpu_features: Collection[str], *, tied: bool
) -> Held:
    """Count tensors that lie in main memory; `tied`: whether the embedding is the head there, too."""
    multiples = _multiples(settings, cpu_features)
    in_place = rearranged = 0
    spans: dict[int, tuple[int, int]] = {}
    for tensor in tensors:
        copied = tensor.dtype in multiples and _is_rearranged(tensor, multiples[tensor.dtype], tied)
        if copied:
            rearranged += tensor.n_bytes
        if not copied or tensor.name == EMBEDDING:
            in_place += tensor.n_bytes
            start, end = spans.get(tensor.part, (tensor.offset_bytes, 0))
            last = tensor.offset_bytes + tensor.n_bytes
            spans[tensor.part] = min(start, tensor.offset_bytes), max(end, last)
    return Held(in_place, rearranged, tuple((part, start, end) for part, (start, end) in spans.items()))


def mapped_bytes(parts: Iterable[Held], settings: LlamaCppSettings) -> int:
    """Bytes of the file that stay in memory: from the first tensor used in place to the end of the last.

    What lies between them stays mapped too, rearranged or not; the header and the rest are unmapped after
    loading (`llama_model_loader::load_all_data`). Without mapping, only the tensors used in place are read.
    """
    if not settings.mmap:
        return sum(part.in_place for part in parts)
    whole: dict[int, tuple[int, int]] = {}
    for part in parts:
        for file, start, end in part.spans:
            first, last = whole.get(file, (start, end))
            whole[file] = min(first, start), max(last, end)
    return sum(end - start for start, end in whole.values())


def _multiples(settings: LlamaCppSettings, cpu_features: Collection[str]) -> dict[str, int]:
    if not settings.repack:
        return {}
    return (
        _REPACKED_AVX2 if "avx2" in cpu_features else _REPACKED_DOTPROD if "dotprod" in cpu_features else {}
    )


def _is_rearranged(tensor: TensorInfo, multiple: int, tied: bool) -> bool:
    return (
        len(tensor.shape) == (3 if "_exps." in tensor.name else 2)
        and tensor.shape[1] % multiple == 0
        and tensor.name not in _TABLES
        and (tensor.name != EMBEDDING or tied)
    )
