"""What a plan's search asks again and again of one model, found once: nothing here depends on where its blocks lie."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from shoestring.models.facts import ModelFacts, TensorInfo
from shoestring.planning.base import Group, LlamaCppSettings, Unit
from shoestring.planning.llama_cpp.compute import compute_buffer_bytes, unaccounted
from shoestring.planning.llama_cpp.kv_cache import layer_cache_bytes
from shoestring.planning.llama_cpp.offload import INPUT, host_buffer_bytes, units
from shoestring.planning.placement import EXPERTS


@dataclass(frozen=True)
class Known:
    """One model's tensors by unit, its caches and its compute buffers by settings."""

    facts: ModelFacts

    @cached_property
    def tensors(self) -> dict[str, tuple[TensorInfo, ...]]:
        """The tensors of every unit, in the order in which a token passes through them."""
        return units(self.facts)

    @cached_property
    def weights(self) -> tuple[int, ...]:
        """Bytes of every unit's weights."""
        return tuple(sum(tensor.n_bytes for tensor in held) for held in self.tensors.values())

    @cached_property
    def unaccounted(self) -> dict[Group, str]:
        """The groups without a figure, each with its reason."""
        return dict(unaccounted(self.facts))

    def units(self, settings: LlamaCppSettings) -> tuple[Unit, ...]:
        """The units with their bytes."""
        return tuple(
            Unit(name, weights, cache, self._read(name, weights), weights if name.endswith(EXPERTS) else None)
            for name, weights, cache in zip(self.tensors, self.weights, self.cache(settings), strict=True)
        )

    def cache(self, settings: LlamaCppSettings) -> list[int]:
        """Bytes of cache that lie with every unit; zeros where they cannot be counted."""
        if "kv_cache" in self.unaccounted:
            return [0] * len(self.tensors)
        by_block = {f"blk.{i}": n for i, n in enumerate(layer_cache_bytes(self.facts, settings))}
        return [by_block.get(name, 0) for name in self.tensors]

    def compute(self, settings: LlamaCppSettings) -> int:
        """Bytes of the compute buffer, the same wherever blocks lie."""
        return self._once(compute_buffer_bytes, settings)

    def host_buffer(self, settings: LlamaCppSettings) -> int:
        """Bytes of the CPU's compute buffer where every block lies on GPUs."""
        return self._once(host_buffer_bytes, settings)

    def _once(self, count: Callable[[ModelFacts, LlamaCppSettings], int], settings: LlamaCppSettings) -> int:
        key = (count.__name__, replace(settings, gpu_layers=0, tensor_split=(), cpu_expert_layers=0))
        if key not in self._counted:
            self._counted[key] = count(self.facts, settings)
        return self._counted[key]

    @cached_property
    def _counted(self) -> dict[tuple[str, LlamaCppSettings], int]:
        return {}

    def _read(self, name: str, weights: int) -> int:
        """Bytes of a unit's weights that decoding one token reads.

        Of the input one row of a table; a head that is the embedding is read whole, and is a unit of its own.
        """
        if name == INPUT:
            return 0
        if not name.endswith(EXPERTS):
            return weights
        experts = self.facts.layers[int(name.split(".")[1])].experts
        return weights * experts.used // experts.count if experts else weights
