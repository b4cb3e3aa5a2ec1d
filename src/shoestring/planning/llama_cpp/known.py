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
from shoestring.planning.llama_cpp.runtime import runtime_terms
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
        """The units with their bytes, and what a token passes through."""
        attended = self._attended(settings)
        return tuple(
            Unit(
                name,
                weights,
                cache,
                read=round(weights * self._used[name]),
                read_all=weights if name.endswith(EXPERTS) else None,
                multiplied=round(self._elements[name] * self._used[name]),
                attended=attended.get(name, 0),
            )
            for name, weights, cache in zip(self.tensors, self.weights, self.cache(settings), strict=True)
        )

    @cached_property
    def _elements(self) -> dict[str, int]:
        """Weights of every unit that are multiplied with: matrices, and no norms."""
        return {
            name: sum(tensor.n_elements for tensor in held if len(tensor.shape) > 1)
            for name, held in self.tensors.items()
        }

    @cached_property
    def _used(self) -> dict[str, float]:
        """The share of every unit that one token uses: of the input a row, of a mixture the chosen experts.

        A head that is the embedding is used whole, and is a unit of its own.
        """
        shares = dict.fromkeys(self.tensors, 1.0) | {INPUT: 0.0}
        for i, layer in enumerate(self.facts.layers):
            if layer.experts is not None and f"blk.{i}{EXPERTS}" in shares:
                shares[f"blk.{i}{EXPERTS}"] = layer.experts.used / layer.experts.count
        return shares

    def _attended(self, settings: LlamaCppSettings) -> dict[str, int]:
        """Values of keys and values that every query head passes over, block by block, with the context full."""
        found = {}
        for i, layer in enumerate(self.facts.layers):
            a = layer.attention
            if a is not None:
                cells = settings.context if a.window is None else min(a.window, settings.context)
                width = (
                    a.head_dim_k + a.head_dim_v if a.latent is None else 2 * a.latent.rank + a.latent.rope_dim
                )
                found[f"blk.{i}"] = settings.batch * cells * a.heads * width
        return found

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

    def runtime(self, settings: LlamaCppSettings, baseline_bytes: int) -> dict[str, int]:
        """The runtime's terms, which differ with whether there is a GPU, and not with what lies there."""
        key = replace(_anywhere(settings), gpu_layers=min(settings.gpu_layers, 1))
        if key not in self._runtimes:
            self._runtimes[key] = runtime_terms(self.facts, key, baseline_bytes)
        return self._runtimes[key]

    @cached_property
    def _runtimes(self) -> dict[LlamaCppSettings, dict[str, int]]:
        return {}

    def _once(self, count: Callable[[ModelFacts, LlamaCppSettings], int], settings: LlamaCppSettings) -> int:
        key = (count.__name__, _anywhere(settings))
        if key not in self._counted:
            self._counted[key] = count(self.facts, settings)
        return self._counted[key]

    @cached_property
    def _counted(self) -> dict[tuple[str, LlamaCppSettings], int]:
        return {}


def _anywhere(settings: LlamaCppSettings) -> LlamaCppSettings:
    """The settings without those that say where blocks lie."""
    return replace(settings, gpu_layers=0, tensor_split=(), cpu_expert_layers=0)
