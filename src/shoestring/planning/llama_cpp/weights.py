"""Weights in memory: the file's tensors as mapped, and the copies that llama.cpp rearranges for the CPU."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from shoestring.models.facts import ModelFacts, TensorInfo
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


def mapped_bytes(facts: ModelFacts, settings: LlamaCppSettings, cpu_features: Collection[str]) -> int:
    """Bytes of the file that stay in memory: from the first tensor used in place to the end of the last.

    What lies between them stays mapped too, rearranged or not; the header and the rest are unmapped after
    loading (`llama_model_loader::load_all_data`). Without mapping, only the tensors used in place are read.
    """
    copied = {tensor.name for tensor in _repacked(facts, settings, cpu_features)} - {EMBEDDING}
    used = [tensor for tensor in facts.tensors if tensor.name not in copied]
    if not settings.mmap:
        return sum(tensor.n_bytes for tensor in used)
    return sum(_span(t for t in used if t.part == part) for part in {t.part for t in used})


def repacked_bytes(facts: ModelFacts, settings: LlamaCppSettings, cpu_features: Collection[str]) -> int:
    """Bytes of the tensors that llama.cpp copies into another arrangement while loading.

    An embedding that also serves as the head is copied for that; as a table to look up it stays as it is.
    """
    return sum(tensor.n_bytes for tensor in _repacked(facts, settings, cpu_features))


def _repacked(
    facts: ModelFacts, settings: LlamaCppSettings, cpu_features: Collection[str]
) -> list[TensorInfo]:
    if not settings.repack:
        return []
    rows = (
        _REPACKED_AVX2 if "avx2" in cpu_features else _REPACKED_DOTPROD if "dotprod" in cpu_features else {}
    )
    return [
        tensor
        for tensor in facts.tensors
        if tensor.dtype in rows
        and len(tensor.shape) == (3 if "_exps." in tensor.name else 2)
        and tensor.shape[1] % rows[tensor.dtype] == 0
        and tensor.name not in _TABLES
        and (tensor.name != EMBEDDING or facts.tied)
    ]


def _span(tensors: Iterable[TensorInfo]) -> int:
    extents = [(t.offset_bytes, t.offset_bytes + t.n_bytes) for t in tensors]
    return max(end for _, end in extents) - min(start for start, _ in extents)
