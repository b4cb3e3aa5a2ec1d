"""What llama.cpp needs for a GGUF model, wherever its blocks lie."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from shoestring.hardware.base import Hardware
from shoestring.models.facts import ModelFacts
from shoestring.planning.base import CPU, Assignment, Estimate, Group, LlamaCppSettings, Term, Unit
from shoestring.planning.gpu import CUDA_CONTEXT_BYTES, NEVER_MEASURED
from shoestring.planning.llama_cpp.compute import output_buffer_bytes
from shoestring.planning.llama_cpp.known import Drawing, Known
from shoestring.planning.llama_cpp.offload import copied_weight_bytes
from shoestring.planning.llama_cpp.runtime import BASELINE_BYTES, header_bytes
from shoestring.planning.llama_cpp.weights import mapped_bytes
from shoestring.planning.placement import EXPERTS

if TYPE_CHECKING:
    from shoestring.planning.dry_run import DryRun


@dataclass(frozen=True)
class LlamaCppMemory:
    """The memory model of llama.cpp.

    Attributes:
        baseline_bytes: what a worker holds whatever the model; another figure where it was measured.
    """

    baseline_bytes: int = BASELINE_BYTES
    engine: str = "llama_cpp"
    _known: dict[int, Known] = field(default_factory=dict, init=False, repr=False, compare=False)

    def known(self, facts: ModelFacts) -> Known:
        """What has been found of a model already; facts cannot be hashed, so the very object counts."""
        found = self._known.get(id(facts))
        if found is None or found.facts is not facts:
            drawings = (known.drawing for known in self._known.values())
            drawing = next((drawn for drawn in drawings if drawn.blueprint.also_of(facts)), None)
            found = self._known[id(facts)] = Known(facts, drawing or Drawing(facts))
        return found

    def units(self, facts: ModelFacts, settings: LlamaCppSettings, hardware: Hardware) -> tuple[Unit, ...]:
        """The input (embedding), every block, a mixture's experts apart from their block, and the output (head)."""
        return self.known(facts).units(settings)

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


@dataclass(frozen=True)
class _Estimator:
    memory: LlamaCppMemory
    facts: ModelFacts
    settings: LlamaCppSettings
    hardware: Hardware
    assignment: Assignment

    @cached_property
    def known(self) -> Known:
        return self.memory.known(self.facts)

    def estimate(self, figures: DryRun | None = None) -> Estimate:
        unknown = self.known.unaccounted
        missing = {} if figures else dict(unknown)
        asked = (
            [f"{why} The engine was asked instead." for why in dict.fromkeys(unknown.values())]
            if figures
            else []
        )
        split = [NEVER_MEASURED] if any(device != CPU for device in self.assignment) else []
        if self.facts.tokenizer is None:
            missing["runtime"] = (
                "Without tokenizer.json there is no figure for the vocabulary's tables (some tens of megabytes)."
            )
        terms = (*self.fixed_terms(), *(_buffers(figures) if figures else self.buffers(missing)))
        return Estimate(
            terms=terms,
            load_peak=self.load_peak(terms),
            missing=missing,
            notes=(*asked, *split),
            droppable={CPU: self.droppable()},
        )

    def droppable(self) -> int:
        """Bytes of the file that pass through main memory on their way to GPUs, mapped until loading ends."""
        if not self.settings.mmap:
            return 0
        return sum(n_bytes for device, n_bytes in self.weights_by_device.items() if device != CPU)

    def fixed_terms(self) -> Iterator[Term]:
        """The terms that no dry run tells."""
        yield from self.weights()
        baseline = self.memory.baseline_bytes
        for name, n_bytes in self.known.runtime(self.settings, baseline).items():
            yield Term(name, "runtime", CPU, n_bytes)
        for device in self.devices:
            if device != CPU:
                yield Term("cuda_context", "runtime", device, CUDA_CONTEXT_BYTES)

    def buffers(self, missing: Mapping[Group, str]) -> Iterator[Term]:
        """Cache and compute by formula."""
        if "kv_cache" not in missing:
            cache = self.by_device(self.known.cache(self.settings))
            for device, n_bytes in cache.items():
                yield Term("kv_cache", "kv_cache", device, n_bytes)
        if "compute" not in missing:
            buffers = self.known.drawing.buffers(self.settings)
            copied = copied_weight_bytes(self.known.largest_matrix, self.places, self.settings)
            for device in self.devices:
                if device != CPU:
                    yield Term("compute_buffer", "compute", device, buffers.compute + copied)
            here = buffers.compute if self.blocks_here else buffers.host
            yield Term("compute_buffer", "compute", CPU, here)
            yield Term("output_buffer", "compute", CPU, output_buffer_bytes(self.facts, self.settings))

    def weights(self) -> Iterator[Term]:
        head_here = self.assignment[-1] == CPU
        every = self.known.held(self.settings, self.hardware.cpu.features, head_here=head_here)
        kept = self.kept_by_name()
        here = [
            held
            for name, device, held in zip(self.known.names, self.assignment, every, strict=True)
            if device == CPU and name not in kept
        ]
        mapped = mapped_bytes(here, self.settings) + sum(kept.values())
        yield Term("weights_mapped", "weights", CPU, mapped)
        yield Term("weights_repacked", "weights", CPU, sum(held.rearranged for held in here))
        for device in self.devices:
            if device != CPU:
                yield Term("weights", "weights", device, self.weights_by_device[device])

    def kept_by_name(self) -> dict[str, int]:
        """Bytes of the experts on the CPU whose block is on a GPU; llama.cpp does not rearrange those."""
        found = {}
        for name, n_bytes in zip(self.known.names, self.known.weights, strict=True):
            block = name.removesuffix(EXPERTS)
            if block != name and self.places[name] == CPU and self.places[block] != CPU:
                found[name] = n_bytes
        return found

    @cached_property
    def places(self) -> dict[str, str]:
        """The device of every unit by name."""
        return dict(zip(self.known.names, self.assignment, strict=True))

    @cached_property
    def weights_by_device(self) -> dict[str, int]:
        return self.by_device(self.known.weights)

    @property
    def blocks_here(self) -> bool:
        """Whether the CPU computes more than the input."""
        return CPU in self.assignment[1:]

    @cached_property
    def devices(self) -> tuple[str, ...]:
        """The devices that compute: the CPU always, since the embedding is looked up there."""
        return tuple(dict.fromkeys((CPU, *self.assignment)))

    def by_device(self, amounts: Sequence[int]) -> dict[str, int]:
        """Bytes of every device that is used, from the units'."""
        found: dict[str, int] = dict.fromkeys(self.devices, 0)
        for amount, device in zip(amounts, self.assignment, strict=True):
            found[device] += amount
        return found

    def load_peak(self, terms: Sequence[Term]) -> dict[str, int]:
        """The peaks while loading, by device.

        The whole file is mapped (or, without mapping, the tensors used in place are read) and the header's arrays lie beside the vocabulary made of them; then cache and
        output are cleared, while compute, work space and samplers fill with use.
        """
        held: dict[str, int] = defaultdict(int)
        for term in terms:
            held[term.device] += term.bytes
        here = {term.name: term.bytes for term in terms if term.device == CPU}
        of_file = self.facts.file_bytes if self.settings.mmap else here["weights_mapped"]
        reading = of_file + here["weights_repacked"] + here["worker"] + here.get("vocabulary", 0)
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
