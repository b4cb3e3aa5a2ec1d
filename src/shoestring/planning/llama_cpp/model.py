"""What llama.cpp needs for a GGUF model, wherever its blocks lie."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from shoestring.hardware.base import Hardware
from shoestring.models.facts import ModelFacts, TensorInfo
from shoestring.planning.base import CPU, Assignment, Estimate, Group, LlamaCppSettings, Term, Unit
from shoestring.planning.dry_run import DryRun
from shoestring.planning.llama_cpp.compute import compute_buffer_bytes, output_buffer_bytes, unaccounted
from shoestring.planning.llama_cpp.kv_cache import layer_cache_bytes
from shoestring.planning.llama_cpp.offload import INPUT, OUTPUT, copied_weight_bytes, host_buffer_bytes
from shoestring.planning.llama_cpp.offload import units as tensors_by_unit
from shoestring.planning.llama_cpp.runtime import BASELINE_BYTES, header_bytes, runtime_terms
from shoestring.planning.llama_cpp.weights import EMBEDDING, mapped_bytes, repacked_bytes

CUDA_CONTEXT_BYTES = 512 * 1024**2
"""What CUDA takes of a GPU before any tensor: 0.25 to 1.4 GiB by card and driver; never measured by us."""

NEVER_RUN = "The figures for GPUs follow llama.cpp's source; they were never measured on one."


@dataclass(frozen=True)
class LlamaCppMemory:
    """The memory model of llama.cpp.

    Attributes:
        baseline_bytes: what a worker holds whatever the model; another figure where it was measured.
    """

    baseline_bytes: int = BASELINE_BYTES
    engine: str = "llama_cpp"

    def units(self, facts: ModelFacts, settings: LlamaCppSettings, hardware: Hardware) -> tuple[Unit, ...]:
        """The input (embedding), every block, a mixture's experts apart from their block, and the output (head)."""
        tensors = tensors_by_unit(facts)
        cache = _cache_by_block(facts, settings)
        return tuple(
            Unit(
                name,
                weights=sum(tensor.n_bytes for tensor in held),
                kv_cache=cache.get(name, 0),
                read=_read_bytes(facts, name, held),
            )
            for name, held in tensors.items()
        )

    def estimate(
        self, facts: ModelFacts, settings: LlamaCppSettings, hardware: Hardware, assignment: Assignment
    ) -> Estimate:
        """Every term with the units so placed: weights and cache with their blocks, compute on every device used."""
        return _Estimator(self, facts, settings, hardware, assignment).estimate()

    def with_engine_s_figures(
        self, facts: ModelFacts, settings: LlamaCppSettings, hardware: Hardware, figures: DryRun
    ) -> Estimate:
        """The same with cache and buffers as the engine gave them, everything in main memory."""
        assignment = (CPU,) * len(self.units(facts, settings, hardware))
        return _Estimator(self, facts, settings, hardware, assignment).estimate(figures)


def _cache_by_block(facts: ModelFacts, settings: LlamaCppSettings) -> dict[str, int]:
    if "kv_cache" in unaccounted(facts):
        return {}
    return {f"blk.{i}": n_bytes for i, n_bytes in enumerate(layer_cache_bytes(facts, settings))}


def _read_bytes(facts: ModelFacts, unit: str, held: Sequence[TensorInfo]) -> int:
    """Bytes of a unit's weights that decoding one token reads."""
    total = sum(tensor.n_bytes for tensor in held)
    if unit == INPUT:  # one row of the table; a tied head reads it all, which is charged to the output
        return 0
    if unit.endswith(".experts"):
        experts = facts.layers[int(unit.split(".")[1])].experts
        return total * experts.used // experts.count if experts else total
    return total


@dataclass(frozen=True)
class _Estimator:
    memory: LlamaCppMemory
    facts: ModelFacts
    settings: LlamaCppSettings
    hardware: Hardware
    assignment: Assignment

    def estimate(self, figures: DryRun | None = None) -> Estimate:
        unknown = unaccounted(self.facts)
        missing = {} if figures else dict(unknown)
        asked = (
            [f"{why} The engine was asked instead." for why in dict.fromkeys(unknown.values())]
            if figures
            else []
        )
        split = [NEVER_RUN] if any(device != CPU for device in self.assignment) else []
        if self.facts.tokenizer is None:
            missing["runtime"] = "The model's vocabulary is not here, and so its tables have no figure."
        terms = (*self.fixed_terms(), *(_buffers(figures) if figures else self.buffers(missing)))
        return Estimate(
            terms=terms,
            load_peak=self.load_peak(terms),
            missing=missing,
            notes=(*asked, *split),
        )

    def fixed_terms(self) -> Iterator[Term]:
        """The terms that no dry run tells."""
        yield from self.weights()
        baseline = self.memory.baseline_bytes
        for name, n_bytes in runtime_terms(self.facts, self.settings, baseline).items():
            yield Term(name, "runtime", CPU, n_bytes)
        for device in self.devices:
            if device != CPU:
                yield Term("cuda_context", "runtime", device, CUDA_CONTEXT_BYTES)

    def buffers(self, missing: Mapping[Group, str]) -> Iterator[Term]:
        """Cache and compute by formula."""
        if "kv_cache" not in missing:
            cache = self.by_device(list(_cache_by_unit(self.facts, self.settings)))
            for device, n_bytes in cache.items():
                yield Term("kv_cache", "kv_cache", device, n_bytes)
        if "compute" not in missing:
            compute = compute_buffer_bytes(self.facts, self.settings)
            places = dict(zip(tensors_by_unit(self.facts), self.assignment, strict=True))
            copied = copied_weight_bytes(self.facts, places, self.settings)
            for device in self.devices:
                if device != CPU:
                    yield Term("compute_buffer", "compute", device, compute + copied)
            here = compute if self.blocks_here else host_buffer_bytes(self.facts, self.settings)
            yield Term("compute_buffer", "compute", CPU, here)
            yield Term("output_buffer", "compute", CPU, output_buffer_bytes(self.facts, self.settings))

    def weights(self) -> Iterator[Term]:
        features = self.hardware.cpu.features
        head_here = self.assignment[-1] == CPU
        here = replace(self.facts, tensors=tuple(self.tensors_on(CPU)), tied=self.facts.tied and head_here)
        yield Term("weights_mapped", "weights", CPU, mapped_bytes(here, self.settings, features))
        yield Term("weights_repacked", "weights", CPU, repacked_bytes(here, self.settings, features))
        for device in self.devices:
            if device != CPU:
                held = sum(tensor.n_bytes for tensor in self.tensors_on(device))
                yield Term("weights", "weights", device, held)

    def tensors_on(self, device: str) -> Iterator[TensorInfo]:
        """A device's tensors; a head that is the embedding is one and the same on the CPU, and a copy on a GPU."""
        tensors = tensors_by_unit(self.facts)
        for (name, held), place in zip(tensors.items(), self.assignment, strict=True):
            if place == device:
                tied = name == OUTPUT and self.facts.tied and device == CPU
                yield from (tensor for tensor in held if not (tied and tensor.name == EMBEDDING))

    @property
    def blocks_here(self) -> bool:
        """Whether the CPU computes more than the input."""
        return CPU in self.assignment[1:]

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices that compute: the CPU always, since the embedding is looked up there."""
        return tuple(dict.fromkeys((CPU, *self.assignment)))

    def by_device(self, amounts: Sequence[int]) -> dict[str, int]:
        found: dict[str, int] = defaultdict(int)
        for amount, device in zip(amounts, self.assignment, strict=True):
            found[device] += amount
        return {device: found[device] for device in self.devices if found[device] or device == CPU}

    def load_peak(self, terms: Sequence[Term]) -> dict[str, int]:
        """The peaks while loading, by device.

        The whole file is mapped and the header's arrays lie beside the vocabulary made of them; then cache and
        output are cleared, while compute, work space and samplers fill with use.
        """
        held: dict[str, int] = defaultdict(int)
        for term in terms:
            held[term.device] += term.bytes
        here = {term.name: term.bytes for term in terms if term.device == CPU}
        reading = (
            self.facts.file_bytes + here["weights_repacked"] + here["worker"] + here.get("vocabulary", 0)
        )
        if self.facts.tokenizer is not None:
            reading += header_bytes(self.facts.tokenizer)
        loaded = (
            held[CPU] - here.get("compute_buffer", 0) - here["untouched"] - here["work"] - here["sampling"]
        )
        return dict(held) | {CPU: max(reading, loaded)}


def _buffers(figures: DryRun) -> tuple[Term, ...]:
    return (
        Term("kv_cache", "kv_cache", CPU, figures.kv_cache_bytes),
        Term("compute_buffer", "compute", CPU, figures.compute_buffer_bytes),
        Term("output_buffer", "compute", CPU, figures.output_buffer_bytes),
    )


def _cache_by_unit(facts: ModelFacts, settings: LlamaCppSettings) -> Iterator[int]:
    cache = _cache_by_block(facts, settings)
    return (cache.get(name, 0) for name in tensors_by_unit(facts))
