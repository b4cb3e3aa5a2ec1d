"""Where the parts of a model go, and what a device can do: decisions on data, made before a weight is read.

None of this was run on a GPU by us; a split between main memory and the disk was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from shoestring.errors import EngineError
from shoestring.planning.base import CPU, DISK, AttentionKind, TransformersSettings
from shoestring.planning.transformers.modules import block, is_embedding, tower
from shoestring.planning.transformers.units import EMBEDDING, EXPERTS, HEAD

_BF16_FROM = (8, 0)
_NO_BF16 = "{} does not compute in bf16 (compute capability {}.{}, 8.0 is needed); the model is loaded in fp16 instead."
_PACKED_WHEN_LOADED = frozenset({"int8", "nf4", "nf4-dq", "fp4", "fp4-dq"})
Place = str | int
"""As accelerate takes it: a GPU's number, `cpu` or `disk`."""


@dataclass(frozen=True)
class Gpu:
    """A GPU as torch sees it; `capability` is CUDA's, None for another maker's."""

    name: str
    capability: tuple[int, int] | None


def gpus_of(settings: TransformersSettings) -> tuple[int, ...]:
    """Numbers of the GPUs that a plan puts parts on, in order of use; none: the CPU computes."""
    found = (device for _, device in settings.device_map if device not in (CPU, DISK))
    return tuple(dict.fromkeys(_number(device) for device in found))


def visible_gpus() -> tuple[Gpu, ...]:
    """The GPUs that torch can use here."""
    import torch

    if not torch.cuda.is_available():
        return ()
    cuda = torch.version.hip is None  # AMD's have other numbers, and all that torch supports have bf16
    return tuple(
        Gpu(torch.cuda.get_device_name(i), torch.cuda.get_device_capability(i) if cuda else None)
        for i in range(torch.cuda.device_count())
    )


def checked(
    settings: TransformersSettings, gpus: Sequence[Gpu]
) -> tuple[TransformersSettings, tuple[str, ...]]:
    """The settings that these GPUs can do, and a sentence on what was changed.

    Plans choose the dtype by what is known of the machine; this looks again, where the tensors will lie.

    Raises:
        EngineError: the settings need a GPU that is not there, or a split that the library does not make.
    """
    used = gpus_of(settings)
    if used and max(used) >= len(gpus):
        seen = f"sees {len(gpus)}" if gpus else "sees none"
        raise EngineError(
            f"The plan puts parts of the model on GPU {max(used)}, and torch {seen}.",
            "Install the build of torch for this GPU, or plan without it.",
        )
    places = {device for _, device in settings.device_map}
    split = DISK in places or (CPU in places and len(places) > 1)
    if settings.precision in _PACKED_WHEN_LOADED and split:
        raise EngineError(
            f"{settings.precision} weights cannot lie partly in main memory or on the disk: bitsandbytes does not load them so.",
            "Keep the model whole, or in 16 bits where a part has to lie elsewhere.",
        )
    if settings.attention == "flash_attention_2" and not used:
        raise EngineError("Flash attention 2 runs on GPUs only.", "Leave the attention as it is.")
    weak = next((gpus[i] for i in used if (gpus[i].capability or _BF16_FROM) < _BF16_FROM), None)
    if weak is None or weak.capability is None or "bf16" not in (settings.compute_dtype, settings.precision):
        return settings, ()
    precision = "fp16" if settings.precision == "bf16" else settings.precision
    note = _NO_BF16.format(weak.name, *weak.capability)
    return replace(settings, precision=precision, compute_dtype="fp16"), (note,)


def attention_for(
    wanted: AttentionKind, *, attends: bool, has_sdpa: bool, has_flash: bool, installed: bool
) -> AttentionKind:
    """The implementation that a model's class runs with.

    Args:
        attends: whether the model has attention at all; one that has none refuses every other name than `eager`.
        has_sdpa, has_flash: what the class supports; where there is no sdpa it is eager, as plans say.
        installed: whether flash attention's library is there.

    Raises:
        EngineError: flash attention was asked for and cannot be had.
    """
    if not attends or (wanted == "sdpa" and not has_sdpa):
        return "eager"
    if wanted == "flash_attention_2" and not has_flash:
        raise EngineError(
            "This model's class does not support flash attention 2.", "Leave the attention open."
        )
    if wanted == "flash_attention_2" and not installed:
        raise EngineError(
            "Flash attention 2 needs flash-attn, which is not installed.",
            "Install it: pip install flash-attn",
        )
    return wanted


def places_of(
    device_map: Iterable[tuple[str, str]],
    parameters: Sequence[str],
    buffers: Sequence[str],
    tied: Mapping[str, str],
) -> dict[str, Place]:
    """The device of every tensor of a model.

    Args:
        device_map: the plan's units with their devices.
        parameters, buffers: every one's name. Buffers outside blocks (rotary frequencies) are needed first.
        tied: of tensors that are others under another name, the other: both lie together.

    Raises:
        EngineError: the plan does not know a part of this model.
    """
    units = dict(device_map)
    if set(units) == {""}:
        return dict.fromkeys((*parameters, *buffers), as_place(units[""]))
    blocks = {block(f"{unit}."): unit for unit in units if not unit.endswith(EXPERTS)}
    places: dict[str, Place] = {}
    for name in (*parameters, *buffers):
        unit = _unit(name, units, blocks)
        if unit == HEAD and name in buffers:
            unit = EMBEDDING
        if unit not in units:
            raise EngineError(f"The plan has no place for {name}, a part of this model.")
        places[name] = as_place(units[unit])
    return places | {name: places[other] for name, other in tied.items() if other in places}


def by_module(places: Mapping[str, Place]) -> dict[str, Place]:
    """The same in as few entries as can be: a module whose tensors all lie together is named itself.

    accelerate gives every module that is named a hook, and takes all that lies in it to that device; so a block
    whose experts lie elsewhere is named by its parts.
    """
    if len(set(places.values())) == 1:
        return {"": next(iter(places.values()))}
    found: dict[str, Place] = {}
    _collapse("", dict(places), found)
    return found


def as_place(device: str) -> Place:
    """A plan's name of a device as accelerate takes it."""
    return device if device in (CPU, DISK) else _number(device)


def _number(device: str) -> int:
    return int(device.removeprefix("gpu"))


def _unit(name: str, units: Mapping[str, str], blocks: Mapping[int | None, str]) -> str:
    kind = tower(name)
    if kind is not None:
        return kind
    index = block(name)
    if index is None:
        return EMBEDDING if is_embedding(name) else HEAD
    unit = blocks.get(index, "")
    experts = f"{unit}{EXPERTS}"
    return experts if experts in units and f"{EXPERTS}." in name else unit


def _collapse(prefix: str, places: dict[str, Place], found: dict[str, Place]) -> None:
    parts: dict[str, dict[str, Place]] = {}
    for name, place in places.items():
        child, _, rest = name.partition(".")
        parts.setdefault(child, {})[rest] = place
    for child, inside in parts.items():
        path = f"{prefix}.{child}" if prefix else child
        if len(set(inside.values())) == 1:
            found[path] = next(iter(inside.values()))
        else:
            _collapse(path, inside, found)
