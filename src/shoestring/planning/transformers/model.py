"""What transformers needs for a safetensors model, wherever its parts lie."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from shoestring.hardware.base import Hardware
from shoestring.models.facts import ModelFacts
from shoestring.planning.base import CPU, DISK, Assignment, Estimate, Group, Term, TransformersSettings, Unit
from shoestring.planning.gpu import CUDA_CONTEXT_BYTES, NEVER_MEASURED
from shoestring.planning.transformers import runtime
from shoestring.planning.transformers.attention import padding_mask_bytes
from shoestring.planning.transformers.compute import Compute, compute
from shoestring.planning.transformers.kv_cache import cache_bytes, layer_bytes
from shoestring.planning.transformers.load import loading_peaks
from shoestring.planning.transformers.modules import Module, modules
from shoestring.planning.transformers.shape import Kinds, kinds
from shoestring.planning.transformers.units import Part, part_bytes, parts, unit_of
from shoestring.planning.transformers.weights import (
    buffer_bytes,
    can_pack,
    footprint_bytes,
    is_quantized,
    why_not_quantized,
)
from shoestring.units import format_bytes

_GGUF = "How transformers holds a GGUF file is not modelled; the llama.cpp engine has figures for it."
_NO_TOKENIZER = (
    "Without tokenizer.json there is no figure for the vocabulary's tables (some tens of megabytes)."
)
_NOT_SPLIT = "bitsandbytes does not load a model that lies partly in main memory or on the disk, so there is no figure for it."
_PADDED = "The figures are for sequences of equal length; with padding comes a mask of every pair of tokens, up to {} more."
_EXPERTS_STAY = "Experts are fused into one parameter in memory, which bitsandbytes leaves as it is: {} of the weights stay in {}."
_QUANTIZED = frozenset({"int8", "nf4", "nf4-dq", "fp4", "fp4-dq"})
_PACKS_4BIT = "avx512_bf16"
"""The processor feature at which bitsandbytes rearranges 4-bit weights for the CPU."""


@dataclass(frozen=True)
class _Known:
    """What does not depend on context and batch, of a model at a precision: found once, asked for again and again."""

    facts: ModelFacts
    settings: TransformersSettings
    loading: dict[Assignment, dict[str, int]] = field(default_factory=dict)

    @cached_property
    def modules(self) -> tuple[Module, ...]:
        return modules(self.facts)

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        return parts(self.modules)

    @cached_property
    def quantized(self) -> tuple[Module, ...]:
        return tuple(m for m in self.modules if is_quantized(m, self.facts, self.settings.precision))

    @cached_property
    def kinds(self) -> Kinds:
        return kinds(self.facts, self.settings, self.modules)

    @cached_property
    def objects(self) -> int:
        return runtime.object_bytes(self.facts, self.modules, len(self.quantized))

    @cached_property
    def footprint(self) -> int:
        return footprint_bytes(self.facts, self.settings.precision, self.settings.compute_dtype)

    @cached_property
    def can_pack(self) -> bool:
        """Whether every 4-bit matrix of the text model can be rearranged for the CPU; else none is."""
        return all(can_pack(m.out_features, m.in_features) for m in self.quantized if m.tower is None)

    @cached_property
    def buffers(self) -> int:
        return buffer_bytes(self.facts)

    @cached_property
    def packed_weights(self) -> tuple[int, ...]:
        return tuple(part_bytes(part, self.facts, self.settings, packed=True) for part in self.parts)

    @cached_property
    def weights(self) -> tuple[int, ...]:
        return tuple(part_bytes(part, self.facts, self.settings, packed=False) for part in self.parts)

    def loading_peaks(self, assignment: Assignment) -> dict[str, int]:
        if assignment not in self.loading:
            placed = zip(self.parts, assignment, strict=True)
            places = {module.name: device for part, device in placed for module in part.modules}
            self.loading[assignment] = loading_peaks(self.facts, self.settings, places)
        return self.loading[assignment]


@dataclass(frozen=True)
class TransformersMemory:
    """The memory model of transformers."""

    engine: str = "transformers"
    _known: dict[tuple[int, str, str], _Known] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def known(self, facts: ModelFacts, settings: TransformersSettings) -> _Known:
        """What has been found of a model already; facts cannot be hashed, so the very object counts."""
        key = (id(facts), settings.precision, settings.compute_dtype)
        found = self._known.get(key)
        if found is None or found.facts is not facts:
            found = self._known[key] = _Known(facts, settings)
        return found

    def units(
        self, facts: ModelFacts, settings: TransformersSettings, hardware: Hardware
    ) -> tuple[Unit, ...]:
        """Towers, the embedding, every block, a block's experts apart from it, and the final norm with the head."""
        known = self.known(facts, settings)
        packed = not hardware.gpus and _packs(hardware, known)
        weights = known.packed_weights if packed else known.weights
        return tuple(unit_of(p, n, facts, settings) for p, n in zip(known.parts, weights, strict=True))

    def estimate(
        self, facts: ModelFacts, settings: TransformersSettings, hardware: Hardware, assignment: Assignment
    ) -> Estimate:
        """Every term with the units so placed.

        accelerate computes everything on the first GPU where parts lie in main memory or on the disk: their weights
        pass through it, one part at a time, and their cache stays there. Without a GPU the CPU computes.
        """
        return _Estimator(facts, settings, hardware, assignment, self.known(facts, settings)).estimate()


def _packs(hardware: Hardware, known: _Known) -> bool:
    return _PACKS_4BIT in hardware.cpu.features and known.can_pack


@dataclass(frozen=True)
class _Estimator:
    facts: ModelFacts
    settings: TransformersSettings
    hardware: Hardware
    assignment: Assignment
    known: _Known

    def estimate(self) -> Estimate:
        missing = self.missing()
        terms = (*self.weights(), *self.cache(missing), *self.working(missing), *self.runtime())
        return Estimate(
            terms=terms,
            load_peak=self.load_peak(),
            missing=missing,
            footprint=None if "weights" in missing else self.known.footprint,
            notes=tuple(self.notes()),
        )

    @cached_property
    def gpus(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(d for d in self.assignment if d not in (CPU, DISK)))

    @property
    def computing(self) -> tuple[str, ...]:
        """The devices that compute: every GPU used, else the CPU."""
        return self.gpus or (CPU,)

    @property
    def packed(self) -> bool:
        """Whether 4-bit weights get rearranged at first use."""
        return not self.gpus and _packs(self.hardware, self.known)

    @cached_property
    def working_memory(self) -> Compute:
        return compute(
            self.facts,
            self.settings,
            self.known.kinds,
            on_cpu=not self.gpus,
            packs_4bit=_packs(self.hardware, self.known),
        )

    def missing(self) -> dict[Group, str]:
        if self.facts.format != "safetensors":
            return dict.fromkeys(("weights", "kv_cache", "compute"), _GGUF)
        found: dict[Group, str] = {}
        if self.settings.precision in _QUANTIZED and self.gpus and {CPU, DISK} & set(self.assignment):
            found["weights"] = _NOT_SPLIT
        refused = why_not_quantized(self.facts.architecture, self.settings.precision)
        if refused:
            found["weights"] = refused
        unknown = " ".join(self.facts.not_understood)
        if cache_bytes(self.facts, self.settings) is None or not self.facts.layers:
            found["kv_cache"] = unknown or "How this model's layers keep their context is not known."
        if self.working_memory.missing or "kv_cache" in found:
            found["compute"] = self.working_memory.missing or found["kv_cache"]
        if self.facts.tokenizer is None:
            found["runtime"] = _NO_TOKENIZER
        return found

    def weights(self) -> Iterator[Term]:
        held: dict[str, int] = defaultdict(int)
        largest_elsewhere = 0
        weights = self.known.packed_weights if self.packed else self.known.weights
        for n_bytes, device in zip(weights, self.assignment, strict=True):
            if device != DISK:
                held[device] += n_bytes
            if device == DISK or (device == CPU and self.gpus):
                largest_elsewhere = max(largest_elsewhere, n_bytes)
        held[self.computing[0]] += self.known.buffers
        for device, n_bytes in held.items():
            yield Term("weights", "weights", device, n_bytes)
        if largest_elsewhere:
            yield Term("part_in_passing", "weights", self.computing[0], largest_elsewhere)
        if DISK in self.assignment and self.gpus:
            yield Term("part_in_passing", "weights", CPU, largest_elsewhere)

    def cache(self, missing: Mapping[Group, str]) -> Iterator[Term]:
        if "kv_cache" in missing:
            return
        held: dict[str, int] = defaultdict(int)
        for i, layer in enumerate(self.facts.layers):
            held[self._keeps_cache(i)] += layer_bytes(layer, self.settings) or 0
        if self.settings.cache == "offloaded" and self.gpus:
            total = sum(held.values())
            largest = max((layer_bytes(layer, self.settings) or 0 for layer in self.facts.layers), default=0)
            held = defaultdict(int, {CPU: total, self.gpus[0]: 2 * largest})
        for device, n_bytes in held.items():
            yield Term("kv_cache", "kv_cache", device, n_bytes)

    def _keeps_cache(self, block: int) -> str:
        """Where a block's cache lies: where it is computed."""
        for part, device in zip(self.known.parts, self.assignment, strict=True):
            if part.block == block and device in self.gpus:
                return device
        return self.computing[0]

    def working(self, missing: Mapping[Group, str]) -> Iterator[Term]:
        if "compute" in missing:
            return
        for device in self.computing:
            yield Term("activations", "compute", device, self.working_memory.peak)

    def runtime(self) -> Iterator[Term]:
        yield Term("worker", "runtime", CPU, runtime.worker_bytes(self.settings))
        yield Term("tokenizer", "runtime", CPU, runtime.tokenizer_bytes(self.facts.tokenizer))
        yield Term("modules", "runtime", CPU, self.known.objects)
        if not self.gpus:
            yield Term(
                "kernels",
                "runtime",
                CPU,
                runtime.outlier_kernel_bytes(self.settings, len(self.known.quantized)),
            )
        if self.packed and self.known.quantized and self.settings.precision != "int8":
            holes = runtime.repacking_holes(self.facts, self.settings, self.known.modules)
            yield Term("repacking_holes", "runtime", CPU, holes)
        for gpu in self.gpus:
            yield Term("cuda_context", "runtime", gpu, CUDA_CONTEXT_BYTES)

    def load_peak(self) -> dict[str, int]:
        """The worker before it computes, the weights, and one tensor in passing: read in RAM, converted in place."""
        peak: dict[str, int] = defaultdict(int)
        peak[CPU] += runtime.loading_worker_bytes(self.settings)
        peak[CPU] += runtime.tokenizer_bytes(self.facts.tokenizer) + self.known.objects
        for device, n_bytes in self.known.loading_peaks(self.assignment).items():
            peak[device] += n_bytes
        for gpu in self.gpus:
            peak[gpu] += CUDA_CONTEXT_BYTES
        return dict(peak)

    def notes(self) -> Iterator[str]:
        if self.gpus:
            yield NEVER_MEASURED
        padded = padding_mask_bytes(self.facts, self.settings)
        if padded:
            yield _PADDED.format(format_bytes(padded))
        experts = [m for m in self.known.modules if m.kind == "experts"]
        if experts and self.settings.precision in _QUANTIZED:
            share = sum(m.parameters for m in experts) / sum(m.parameters for m in self.known.modules)
            yield _EXPERTS_STAY.format(f"{share:.0%}", self.settings.compute_dtype)
