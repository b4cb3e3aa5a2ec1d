"""Where the parts of a model go: GPUs first, then main memory, then (where an engine can) the disk.

What each engine does when a model is split is the engine's own rule, not ours: llama.cpp puts the *last* layers on
GPUs, the head first, and keeps the embedding on the CPU (`llama_model::load_tensors`); accelerate fills devices in the model's order
(`infer_auto_device_map`). A mixture's experts can stay on the CPU while everything else runs on a GPU.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from shoestring.hardware.base import Hardware
from shoestring.models.facts import ModelFacts
from shoestring.planning.base import (
    CPU,
    DISK,
    Assignment,
    EngineSettings,
    Estimate,
    LlamaCppSettings,
    MemoryModel,
    TrainingSettings,
    TransformersSettings,
    Unit,
    VllmSettings,
)
from shoestring.planning.search import largest

EXPERTS = ".experts"
"""How the name of a unit ends that holds a block's experts and nothing else."""


@dataclass(frozen=True)
class Rule:
    """How an engine fills devices.

    Attributes:
        last_first: the head and then the last blocks go to GPUs first, and the input stays on the CPU.
        split: whether a model may lie on several devices.
        spill: whether what GPUs cannot hold may lie in main memory; disk: and what that cannot, on the disk.
    """

    last_first: bool = False
    split: bool = True
    spill: bool = False
    disk: bool = False


def rule_of(settings: EngineSettings) -> Rule:
    """The rule of the engine that takes these settings."""
    if isinstance(settings, LlamaCppSettings):
        return Rule(last_first=True, spill=True)
    if isinstance(settings, TrainingSettings | VllmSettings):
        return Rule(split=False)
    return Rule(spill=settings.offload, disk=settings.offload)


@dataclass(frozen=True)
class Placed:
    """A model with every unit in its place, and what that takes."""

    settings: EngineSettings
    units: tuple[Unit, ...]
    assignment: Assignment
    estimate: Estimate


def place(
    memory: MemoryModel,
    facts: ModelFacts,
    settings: EngineSettings,
    hardware: Hardware,
    budgets: Mapping[str, int],
) -> Placed:
    """Put the units on the devices in `budgets` (bytes by name, GPUs in order, then `cpu`, then `disk`).

    As much as fits goes to the GPUs; where nothing fits anywhere, what is left is charged to main memory, so that
    the plan shows how much is missing. Estimates decide, not sums: the load peak counts, too.
    """
    return _Placement(memory, facts, settings, hardware, budgets).best()


@dataclass(frozen=True)
class _Placement:
    memory: MemoryModel
    facts: ModelFacts
    settings: EngineSettings
    hardware: Hardware
    budgets: Mapping[str, int]

    def best(self) -> Placed:
        if not self.gpus:
            return self.with_disk(self.placed((CPU,) * len(self.units)))
        if not self.rule.split:
            return self.on_one()
        whole = self.on_gpus(len(self.groups))
        if fits(whole.estimate, self.budgets) or not self.rule.spill:
            return whole
        return self.experts_on_cpu() or self.with_disk(self.largest_share())

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        return self.memory.units(self.facts, self.settings, self.hardware)

    @cached_property
    def gpus(self) -> tuple[str, ...]:
        return tuple(device for device in self.budgets if device not in (CPU, DISK))

    @cached_property
    def rule(self) -> Rule:
        return rule_of(self.settings)

    @cached_property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Units that move together (a block with its experts), in the order in which the engine takes them to GPUs."""
        found: dict[str, list[int]] = {}
        for i, unit in enumerate(self.units):
            found.setdefault(unit.name.removesuffix(EXPERTS), []).append(i)
        blocks = [tuple(indices) for indices in found.values()]
        return tuple(blocks[:0:-1]) if self.rule.last_first else tuple(blocks)  # there the input never goes

    def on_one(self) -> Placed:
        """All on the first GPU that can hold it; where none can, on the first, to show what is missing."""
        options = (self.placed((gpu,) * len(self.units)) for gpu in self.gpus)
        holding = (option for option in options if fits(option.estimate, self.budgets))
        return next(holding, None) or self.placed((self.gpus[0],) * len(self.units))

    def largest_share(self) -> Placed:
        """The most groups on GPUs that they can hold; the rest in main memory."""
        count = largest(len(self.groups), lambda count: self.left_on_gpus(self.on_gpus(count)))
        return self.on_gpus(count)

    def experts_on_cpu(self) -> Placed | None:
        """Everything on GPUs but the experts of the first blocks, as few of those as must be; None where it cannot be."""
        experts = [i for i, unit in enumerate(self.units) if unit.name.endswith(EXPERTS)]
        if not experts:
            return None

        def placed(n_on_gpus: int) -> Placed:
            return self.on_gpus(len(self.groups), kept=frozenset(experts[: len(experts) - n_on_gpus]))

        found = placed(largest(len(experts), lambda count: self.left_on_gpus(placed(count))))
        return found if fits(found.estimate, self.budgets) else None

    def with_disk(self, found: Placed) -> Placed:
        """The same with what main memory cannot hold left on the disk, from the last unit on."""
        if not self.rule.disk or DISK not in self.budgets or fits(found.estimate, self.budgets):
            return found
        movable = [i for i, device in enumerate(found.assignment) if device == CPU]

        def placed(n_kept: int) -> Placed:
            places = list(found.assignment)
            for i in movable[n_kept:]:
                places[i] = DISK
            return self.placed(tuple(places))

        best = placed(largest(len(movable), lambda count: self.left(placed(count), CPU)))
        return best if fits(best.estimate, self.budgets) else found

    def on_gpus(self, count: int, kept: frozenset[int] = frozenset()) -> Placed:
        """The first `count` groups on GPUs, but for the units `kept` on the CPU with all others.

        Where several GPUs cannot hold their shares of what they may hold, shares of what is left beside the units (one
        of them may have all the working memory) are tried, too.
        """
        found = self.spread(count, kept, self.budgets)
        if len(self.gpus) < 2 or self.gpus_hold(found):
            return found
        again = self.spread(count, kept, self.left_for_units(found))
        return again if self.gpus_hold(again) else found

    def spread(self, count: int, kept: frozenset[int], room: Mapping[str, int]) -> Placed:
        chosen = sorted(self.groups[:count])
        places = [CPU] * len(self.units)
        for group, device in zip(chosen, self.shares(chosen, kept, room), strict=True):
            for i in group:
                places[i] = CPU if i in kept else device
        return self.placed(tuple(places))

    def left_for_units(self, found: Placed) -> dict[str, int]:
        """Of each GPU's budget what is not taken by other things than units."""
        besides = peak_by_device(found.estimate)
        for unit, device in zip(self.units, found.assignment, strict=True):
            if device in besides:
                besides[device] -= unit.weights + unit.kv_cache
        return {gpu: max(0, self.budgets[gpu] - max(0, besides.get(gpu, 0))) for gpu in self.gpus}

    def shares(
        self, groups: Sequence[tuple[int, ...]], kept: frozenset[int], room: Mapping[str, int]
    ) -> list[str]:
        """A GPU for each group: contiguous stretches in proportion to the GPUs' room."""
        held = [[self.units[i] for i in group if i not in kept] for group in groups]
        sizes = [sum(unit.weights + unit.kv_cache for unit in units) for units in held]
        whole = sum(room[gpu] for gpu in self.gpus) or 1
        shares = [sum(sizes) * room[gpu] / whole for gpu in self.gpus]
        places: list[str] = []
        device, filled = 0, 0
        for size in sizes:
            while device < len(self.gpus) - 1 and filled + size / 2 > shares[device]:
                device, filled = device + 1, 0
            filled += size
            places.append(self.gpus[device])
        return places

    @cached_property
    def tried(self) -> dict[Assignment, Placed]:
        """What was estimated already: searches come by the same places more than once."""
        return {}

    def placed(self, assignment: Assignment) -> Placed:
        found = self.tried.get(assignment)
        if found is None:
            settings = _with_places(self.settings, self.units, assignment, len(self.hardware.gpus))
            estimate = self.memory.estimate(self.facts, settings, self.hardware, assignment)
            found = self.tried[assignment] = Placed(settings, self.units, assignment, estimate)
        return found

    def gpus_hold(self, placed: Placed) -> bool:
        return all(self.left(placed, gpu) >= 0 for gpu in self.gpus)

    def left_on_gpus(self, placed: Placed) -> int | None:
        """Bytes left on the GPU, negative by what it lacks.

        Of several, None where one lacks something: their shares jump from one to the next, so that how much it is does
        not tell how much less to give them.
        """
        if len(self.gpus) > 1:
            return 0 if self.gpus_hold(placed) else None
        return self.left(placed, self.gpus[0])

    def left(self, placed: Placed, device: str) -> int:
        return self.budgets[device] - peak_by_device(placed.estimate).get(device, 0)


def fits(estimate: Estimate, budgets: Mapping[str, int]) -> bool:
    """Whether every device's peak is within its budget, and known."""
    left = bytes_left(estimate, budgets)
    return left is not None and left >= 0


def bytes_left(estimate: Estimate, budgets: Mapping[str, int]) -> int | None:
    """What is left of its budget on the device where least is, negative by what is missing; None where a term has no
    figure."""
    if estimate.missing:
        return None
    peaks = peak_by_device(estimate)
    return min((budgets.get(device, 0) - n_bytes for device, n_bytes in peaks.items()), default=0)


def peak_by_device(estimate: Estimate) -> dict[str, int]:
    """The larger of the two peaks, full and while loading, of each device: what must be free there."""
    held: dict[str, int] = defaultdict(int)
    for term in estimate.terms:
        held[term.device] += term.bytes
    for device, n_bytes in estimate.load_peak.items():
        held[device] = max(held[device], n_bytes - estimate.droppable.get(device, 0))
    return {device: n_bytes for device, n_bytes in held.items() if n_bytes}


def _with_places(
    settings: EngineSettings, units: Sequence[Unit], assignment: Assignment, gpus: int
) -> EngineSettings:
    """The settings that make the engine place its units so, on a machine with so many GPUs."""
    if isinstance(settings, LlamaCppSettings):
        return _llama_cpp_places(settings, units, assignment, gpus)
    if isinstance(settings, TransformersSettings) and set(assignment) != {CPU}:
        pairs = tuple((unit.name, device) for unit, device in zip(units, assignment, strict=True))
        whole = (("", assignment[0]),)
        return replace(settings, device_map=whole if len(set(assignment)) == 1 else pairs)
    return settings


def _llama_cpp_places(
    settings: LlamaCppSettings, units: Sequence[Unit], assignment: Assignment, gpus: int
) -> LlamaCppSettings:
    counts = {f"gpu{i}": 0 for i in range(gpus)}
    block = kept = 0
    for unit, device in zip(units, assignment, strict=True):
        if unit.name.endswith(EXPERTS):
            kept = block if device == CPU else kept  # the first `kept` blocks keep their experts
            continue
        block += 1
        if device != CPU:
            counts[device] = counts.get(device, 0) + 1
    gpu_layers = sum(counts.values())
    return replace(
        settings,
        gpu_layers=gpu_layers,
        # One GPU of several must be named, too: without a split llama.cpp takes them all.
        tensor_split=tuple(counts.values()) if gpu_layers and len(counts) > 1 else (),
        cpu_expert_layers=max(0, kept - 1) if gpu_layers else 0,  # the input was counted as a block
    )
