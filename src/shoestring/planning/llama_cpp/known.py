"""What a plan's search asks again and again of one model, found once: nothing here depends on where its blocks lie."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property

from shoestring.models.facts import ModelFacts, TensorInfo
from shoestring.planning.base import Group, LlamaCppSettings, Unit
from shoestring.planning.llama_cpp.blueprint import Blueprint
from shoestring.planning.llama_cpp.compute import Buffers, buffers, unaccounted
from shoestring.planning.llama_cpp.kv_cache import layer_cache_bytes
from shoestring.planning.llama_cpp.offload import INPUT, OUTPUT, units
from shoestring.planning.llama_cpp.runtime import runtime_terms
from shoestring.planning.llama_cpp.weights import EMBEDDING, Held, held
from shoestring.planning.placement import EXPERTS


class Drawing:
    """What files of one model that differ in their tensors' types alone have in common."""

    def __init__(self, facts: ModelFacts) -> None:
        self.blueprint = Blueprint(facts)
        self._buffers: dict[LlamaCppSettings, Buffers] = {}

    @cached_property
    def units(self) -> dict[str, tuple[int, ...]]:
        """The tensors of every unit, by their places in the list, in the order in which a token passes through."""
        return units(self.blueprint.facts)

    @cached_property
    def elements(self) -> dict[str, int]:
        """Weights of every unit that are multiplied with: matrices, and no norms."""
        tensors = self.blueprint.facts.tensors
        return {
            name: sum(tensors[i].n_elements for i in places if len(tensors[i].shape) > 1)
            for name, places in self.units.items()
        }

    def buffers(self, settings: LlamaCppSettings) -> Buffers:
        """The compute buffers, the same wherever blocks lie."""
        key = _anywhere(settings)
        if key not in self._buffers:
            self._buffers[key] = buffers(self.blueprint, key)
        return self._buffers[key]


@dataclass(frozen=True)
class Known:
    """One model's tensors by unit, its caches and its worker by settings."""

    facts: ModelFacts
    drawing: Drawing

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of all units."""
        return tuple(self.drawing.units)

    @cached_property
    def tensors(self) -> tuple[tuple[TensorInfo, ...], ...]:
        """Of every unit."""
        every = self.facts.tensors
        return tuple(tuple(every[i] for i in places) for places in self.drawing.units.values())

    @cached_property
    def weights(self) -> tuple[int, ...]:
        """Bytes of every unit's weights."""
        return tuple(sum(tensor.n_bytes for tensor in own) for own in self.tensors)

    @cached_property
    def largest_matrix(self) -> dict[str, int]:
        """Bytes of the largest matrix of every unit that has one."""
        sizes = ([tensor.n_bytes for tensor in own if len(tensor.shape) > 1] for own in self.tensors)
        return {name: max(own) for name, own in zip(self.names, sizes, strict=True) if own}

    def held(
        self, settings: LlamaCppSettings, cpu_features: Collection[str], *, head_here: bool
    ) -> tuple[Held, ...]:
        """What every unit would take of main memory; `head_here`: whether the head lies there, too."""
        tied = self.facts.tied and head_here
        key = (settings.repack, tuple(cpu_features), tied)
        if key not in self._held:
            self._held[key] = tuple(
                held(
                    # a head that is the embedding is one and the same there, and a copy on a GPU
                    (tensor for tensor in own if name != OUTPUT or tensor.name != EMBEDDING)
                    if self.facts.tied
                    else own,
                    settings,
                    cpu_features,
                    tied=tied,
                )
                for name, own in zip(self.names, self.tensors, strict=True)
            )
        return self._held[key]

    @cached_property
    def _held(self) -> dict[tuple[bool, tuple[str, ...], bool], tuple[Held, ...]]:
        return {}

    @cached_property
    def unaccounted(self) -> dict[Group, str]:
        """The groups without a figure, each with its reason."""
        return dict(unaccounted(self.facts))

    def units(self, settings: LlamaCppSettings) -> tuple[Unit, ...]:
        """The units with their bytes, and what a token passes through."""
        attended, elements = self._attended(settings), self.drawing.elements
        return tuple(
            Unit(
                name,
                weights,
                cache,
                read=round(weights * self._used[name]),
                read_all=weights if name.endswith(EXPERTS) else None,
                multiplied=round(elements[name] * self._used[name]),
                attended=attended.get(name, 0),
            )
            for name, weights, cache in zip(self.names, self.weights, self.cache(settings), strict=True)
        )

    @cached_property
    def _used(self) -> dict[str, float]:
        """The share of every unit that one token uses: of the input a row, of a mixture the chosen experts.

        A head that is the embedding is used whole, and is a unit of its own.
        """
        shares = dict.fromkeys(self.names, 1.0) | {INPUT: 0.0}
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

    def cache(self, settings: LlamaCppSettings) -> tuple[int, ...]:
        """Bytes of cache that lie with every unit; zeros where they cannot be counted."""
        if "kv_cache" in self.unaccounted:
            return (0,) * len(self.names)
        key = _anywhere(settings)
        if key not in self._caches:
            by_block = {f"blk.{i}": n for i, n in enumerate(layer_cache_bytes(self.facts, settings))}
            self._caches[key] = tuple(by_block.get(name, 0) for name in self.names)
        return self._caches[key]

    @cached_property
    def _caches(self) -> dict[LlamaCppSettings, tuple[int, ...]]:
        return {}

    def runtime(self, settings: LlamaCppSettings, baseline_bytes: int) -> dict[str, int]:
        """The runtime's terms, which differ with whether there is a GPU, and not with what lies there."""
        key = replace(_anywhere(settings), gpu_layers=min(settings.gpu_layers, 1))
        if key not in self._runtimes:
            self._runtimes[key] = runtime_terms(self.facts, key, baseline_bytes)
        return self._runtimes[key]

    @cached_property
    def _runtimes(self) -> dict[LlamaCppSettings, dict[str, int]]:
        return {}


def _anywhere(settings: LlamaCppSettings) -> LlamaCppSettings:
    """The settings without those that say where blocks lie."""
    return replace(settings, gpu_layers=0, tensor_split=(), cpu_expert_layers=0)
