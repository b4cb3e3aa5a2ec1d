"""What fine-tuning takes with transformers and peft.

The loop that the figures describe: weights loaded in `precision` (of QLoRA: 4-bit linear layers by bitsandbytes, all
else in the compute dtype), adapters in fp32 on all linear layers, no automatic mixed precision, no dropout beside the
model's own, no padding; a model output's loss is taken and the output dropped; gradients are set to None after each
step. Nothing casts weights: a model in bf16 that is trained in full has bf16 gradients and bf16 AdamW state, as with
transformers' own Trainer; 16 bytes a parameter (weights 4, gradients 4, state 8) are those of fp32.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from shoestring.hardware.base import Hardware
from shoestring.models.facts import ModelFacts
from shoestring.planning.base import (
    CPU,
    Assignment,
    ComputeDtype,
    Estimate,
    Group,
    Precision,
    Term,
    TrainingSettings,
    TransformersSettings,
    Unit,
)
from shoestring.planning.gpu import CUDA_CONTEXT_BYTES, NEVER_MEASURED
from shoestring.planning.training import loss
from shoestring.planning.training.activations import WIDTHS, Block, norm_bytes
from shoestring.planning.training.adapters import ADAPTER_BYTES, Adapter, adapters, adapters_unknown
from shoestring.planning.training.families import FAMILIES
from shoestring.planning.training.optimizer import (
    Trained,
    gradient_bytes,
    paged_bytes,
    state_bytes,
    step_bytes,
)
from shoestring.planning.training.phases import Step, beside_gradients
from shoestring.planning.training.runtime import loading_worker_bytes, worker_bytes
from shoestring.planning.transformers.load import loading_peaks
from shoestring.planning.transformers.modules import Module, modules
from shoestring.planning.transformers.units import part_bytes, parts
from shoestring.planning.transformers.weights import footprint_bytes


@dataclass(frozen=True)
class TrainingMemory:
    """The memory model of full fine-tuning, LoRA and QLoRA."""

    engine: str = "transformers"
    _known: dict[int, tuple[ModelFacts, tuple[Module, ...]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def modules(self, facts: ModelFacts) -> tuple[Module, ...]:
        """A model's modules, found once; facts cannot be hashed, so the very object counts."""
        known = self._known.get(id(facts))
        if known is None or known[0] is not facts:
            known = self._known[id(facts)] = (facts, modules(facts))
        return known[1]

    def units(self, facts: ModelFacts, settings: TrainingSettings, hardware: Hardware) -> tuple[Unit, ...]:
        """Embedding, blocks and head by their names in the model. All of them lie on one device in training."""
        return _Trainer(self, facts, settings).units()

    def estimate(
        self, facts: ModelFacts, settings: TrainingSettings, hardware: Hardware, assignment: Assignment
    ) -> Estimate:
        """Every term of a training step at its peak, on the one device that trains.

        Adapters, gradients and state are exact; activations are those at the step's peak, beyond all gradients.
        """
        return _Trainer(self, facts, settings, assignment[0] if assignment else CPU).estimate()


@dataclass(frozen=True)
class _Trainer:
    memory: TrainingMemory
    facts: ModelFacts
    settings: TrainingSettings
    device: str = CPU

    @cached_property
    def held(self) -> tuple[Module, ...]:
        return self.memory.modules(self.facts)

    @cached_property
    def adapters(self) -> tuple[Adapter, ...]:
        return adapters(self.facts, self.held, 0 if self.full else self.settings.lora_rank)

    @cached_property
    def trained(self) -> tuple[Trained, ...]:
        if not self.full:
            return tuple(
                Trained(shape, ADAPTER_BYTES) for adapter in self.adapters for shape in adapter.shapes
            )
        width = WIDTHS[self.dtype]
        return tuple(Trained(shape, width) for module in self.held for shape in _shapes(module))

    @property
    def full(self) -> bool:
        return self.settings.method == "full"

    @property
    def on_cpu(self) -> bool:
        return self.device == CPU

    @property
    def precision(self) -> Precision:
        return self.settings.precision

    @property
    def dtype(self) -> ComputeDtype:
        """Of weights that are not quantised."""
        quantised = self.settings.method == "qlora"
        known: dict[str, ComputeDtype] = {"fp32": "fp32", "bf16": "bf16", "fp16": "fp16"}
        return (
            self.settings.compute_dtype
            if quantised
            else known.get(self.precision, self.settings.compute_dtype)
        )

    @property
    def tokens(self) -> int:
        return self.settings.batch * self.settings.context

    @property
    def loaded(self) -> TransformersSettings:
        """How the base model is loaded."""
        return TransformersSettings(self.settings.context, precision=self.precision, compute_dtype=self.dtype)

    def units(self) -> tuple[Unit, ...]:
        found = parts(self.held)
        return tuple(Unit(p.name, part_bytes(p, self.facts, self.loaded, packed=False)) for p in found)

    def estimate(self) -> Estimate:
        missing = self.missing()
        terms = tuple(self.terms(missing))
        notes = () if self.on_cpu else (NEVER_MEASURED,)
        return Estimate(
            terms=terms,
            load_peak=self.load_peak(),
            missing=missing,
            footprint=footprint_bytes(self.facts, self.precision, self.dtype),
            notes=notes,
        )

    def missing(self) -> dict[Group, str]:
        """What has no figure, and why."""
        found: dict[Group, str] = {}
        why = self.unknown()
        if why:
            found["activations"] = why
        refused = None if self.full else adapters_unknown(self.facts)
        if refused:
            found["adapters"] = found["gradients"] = found["optimizer"] = refused
        return found

    def unknown(self) -> str | None:
        s = self.settings
        family = FAMILIES.get(self.facts.architecture)
        if family is None:
            return f"What {self.facts.architecture} keeps of its activations in training is not known to this version."
        if any(
            layer.attention is None or layer.state or layer.attention.latent for layer in self.facts.layers
        ):
            return "What layers without plain attention keep of their activations in training is not known."
        if family.soft_capped and s.attention != "eager":
            return f"{self.facts.architecture} caps its attention scores, which only eager attention does."
        if s.method != "qlora" and s.compute_dtype != s.precision:
            return "Training in a precision other than the weights' (automatic mixed precision) is not accounted for."
        return None

    def terms(self, missing: dict[Group, str]) -> Iterator[Term]:
        weights = sum(unit.weights for unit in self.units())
        yield Term("weights", "weights", self.device, weights)
        yield Term(
            "adapters", "adapters", self.device, sum(a.parameters for a in self.adapters) * ADAPTER_BYTES
        )
        yield Term("gradients", "gradients", self.device, gradient_bytes(self.trained))
        yield from self.optimizer()
        if "activations" not in missing:
            for name, n_bytes in beside_gradients(self.step()).items():
                yield Term(name, "activations", self.device, n_bytes)
        worker = worker_bytes(self.facts, self.held, self.settings, len(self.adapters))
        yield Term("worker", "runtime", CPU, worker)
        if not self.on_cpu:
            yield Term("cuda_context", "runtime", self.device, CUDA_CONTEXT_BYTES)

    def optimizer(self) -> Iterator[Term]:
        state = state_bytes(self.trained, self.settings.optimizer)
        paged = 0 if self.on_cpu else paged_bytes(self.trained, self.settings.optimizer)
        yield Term("optimizer", "optimizer", self.device, state - paged)
        if paged:
            yield Term("optimizer_paged", "optimizer", CPU, paged)

    def step(self) -> Step:
        """What the parts of a step hold."""
        blocks = self.blocks()
        width = WIDTHS[self.settings.compute_dtype]
        head = next((m for m in self.held if m.kind == "head"), None)
        table = next((m for m in self.held if m.kind == "embedding"), None)
        table_grad = table.parameters * width if self.full and table else 0
        copies = (2 if head is None else 0) + (self.settings.accumulation > 1)
        return Step(
            kept=tuple(block.kept_bytes() for block in blocks),
            inputs=tuple(block.input_bytes() for block in blocks),
            work=tuple(block.work_bytes() for block in blocks),
            outside=self.outside(),
            loss_kept=loss.kept_bytes(self.facts, self.tokens, width),
            loss_backward=loss.backward_bytes(self.facts, self.tokens),
            gradients=gradient_bytes(self.trained),
            head_gradients=table_grad,
            late_gradients=table_grad if head else 0,
            embedding_work=copies * table_grad,
            step=step_bytes(self.trained, self.settings.optimizer, on_cpu=self.on_cpu),
            checkpointing=self.settings.gradient_checkpointing,
            accumulated=self.settings.accumulation > 1,
        )

    def blocks(self) -> tuple[Block, ...]:
        held: dict[int, list[Module]] = defaultdict(list)
        for module in self.held:
            if module.block is not None:
                held[module.block].append(module)
        adapted = frozenset(adapter.module.name for adapter in self.adapters)
        experts: dict[int | None, int] = defaultdict(int)
        for adapter in self.adapters:
            if adapter.module.kind == "experts":
                experts[adapter.module.block] += adapter.parameters
        return tuple(
            Block(self.facts, self.settings, i, tuple(held[i]), adapted, experts[i], self.on_cpu)
            for i in range(len(self.facts.layers))
        )

    def outside(self) -> int:
        """Bytes kept by the embedding (token ids, a dropout's mask), the final norm and the trained head's input."""
        family, hidden = FAMILIES[self.facts.architecture], self.facts.hidden_size
        width = WIDTHS[self.settings.compute_dtype]
        kept = norm_bytes(family, hidden, 1, width, trained=self.full)
        if self.full:
            kept += width * hidden + 8
        if family.dropout:
            kept += hidden * (width if self.on_cpu else 1)
        masks = self.tokens * self.settings.context * width if self.settings.attention == "eager" else 0
        attention = self.facts.layers[0].attention
        rotation = 2 * self.settings.context * width * attention.head_dim_k if attention else 0
        return self.tokens * kept + masks + rotation

    def load_peak(self) -> dict[str, int]:
        """The base model's loading; training needs more, so that it is no limit."""
        places = {module.name: self.device for module in self.held}
        peaks = dict(loading_peaks(self.facts, self.loaded, places))
        peaks[CPU] = peaks.get(CPU, 0) + loading_worker_bytes(self.settings)
        if not self.on_cpu:
            peaks[self.device] += CUDA_CONTEXT_BYTES
        return peaks


def blocks_of(facts: ModelFacts, settings: TrainingSettings, device: str = CPU) -> tuple[Block, ...]:
    """The blocks as they train: what each keeps of its activations.

    Raises:
        KeyError: the architecture is not among `FAMILIES`.
    """
    return _Trainer(TrainingMemory(), facts, settings, device).blocks()


def outside_bytes(facts: ModelFacts, settings: TrainingSettings, device: str = CPU) -> int:
    """Bytes kept outside of blocks and loss: by the embedding and the final norm."""
    return _Trainer(TrainingMemory(), facts, settings, device).outside()


def _shapes(module: Module) -> Iterator[tuple[int, ...]]:
    """Shapes of a module's trained tensors."""
    if module.kind == "experts":
        stack = module.parameters // (module.out_features * module.in_features)
        yield (stack, module.out_features, module.in_features)
    elif module.out_features:
        yield (module.out_features, module.in_features)
    elif module.parameters:
        yield (module.parameters,)
    if module.bias:
        yield (module.bias,)
