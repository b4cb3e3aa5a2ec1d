"""Weights in memory: the file's tensors as mapped, and the copies that llama.cpp rearranges for the CPU."""

from __future__ import annotations

from collections.abc import Collection

from shoestring.models.facts import ModelFacts


def mapped_bytes(facts: ModelFacts) -> int:
    """Bytes of the mapped tensor region: from the first tensor to the end of the last, padding included, by file."""
    start: dict[int, int] = {}
    end: dict[int, int] = {}
    for tensor in facts.tensors:
        start[tensor.part] = min(start.get(tensor.part, tensor.offset_bytes), tensor.offset_bytes)
        end[tensor.part] = max(end.get(tensor.part, 0), tensor.offset_bytes + tensor.n_bytes)
    return sum(end[part] - start[part] for part in end)


def repacked_bytes(facts: ModelFacts, cpu_features: Collection[str]) -> int:
    """Bytes of the tensors that llama.cpp copies into another arrangement while loading."""
    return sum(t.n_bytes for t in facts.tensors if t.dtype == "Q4_K" and t.name != "token_embd.weight")
