"""The peak while transformers loads a model.

The worker hands the library tensors that are read when they are asked for (`safe_open(…, backend="pread")`), one
at a time (`HF_DEACTIVATE_ASYNC_LOAD`), so beside what is loaded already there is one tensor as it is stored, and
what its conversion takes. Mapped into memory, as the library does by itself, the whole file would be resident, too.
Sources: `core_model_loading.py` of transformers 5.24 (the order of tensors; `_materialize_copy`), `backends/*/ops.py`
of bitsandbytes 0.50.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from functools import lru_cache

from shoestring.models.facts import ModelFacts
from shoestring.planning.base import CPU, DISK, TransformersSettings
from shoestring.planning.identity import Identity
from shoestring.planning.transformers.kv_cache import DTYPE_BYTES
from shoestring.planning.transformers.modules import Module, modules
from shoestring.planning.transformers.weights import sizes

_STORED_BYTES = {"F64": 8, "F32": 4, "BF16": 2, "F16": 2}
_INT8_TEMPORARIES = 2 + 4 + 2
"""Bytes a weight while a matrix becomes int8: in fp16, scaled in fp32, and its magnitudes."""
_NF4_TEMPORARIES = 4 + 4 + 4 + 1 + 2
"""While one becomes 4-bit: in fp32, scaled, its codes as int32, as bytes, and the halves that are packed."""
_FP4_TEMPORARIES = 4 + 4 + 4 + 8 + 8
"""The same where codes are in another order than values: those codes as int64, and what they stand for."""
_TEMPORARIES = {"int": _INT8_TEMPORARIES, "nf4": _NF4_TEMPORARIES, "fp4": _FP4_TEMPORARIES}
_NUMBER = re.compile(r"(\d+)")


def loading_peaks(
    facts: ModelFacts, settings: TransformersSettings, places: Mapping[str, str]
) -> dict[str, int]:
    """Bytes of weights and of what passes beside them at the worst moment, by device.

    Args:
        places: the device of every module by name. What goes to a GPU is read in main memory and converted there,
            in its full precision; what goes to the disk passes through main memory only.
    """
    sized = sizes(facts, settings.precision, settings.compute_dtype)
    width = max((_STORED_BYTES.get(dtype, 1) for dtype in facts.weights.by_dtype), default=2)
    held: dict[str, int] = defaultdict(int)
    peak: dict[str, int] = defaultdict(int)
    for module in _in_order(Identity(facts)):
        device = places[module.name]
        size = sized[module.name].held
        passing = _passing(module, settings, width, quantized=sized[module.name].packed)
        here = held[CPU] + (passing if device == CPU else _read(module, size, width))
        if device == CPU:
            here += size
        peak[CPU] = max(peak[CPU], here)
        if device not in (CPU, DISK):
            peak[device] = max(peak[device], held[device] + size + passing)
        if device != DISK:
            held[device] += size
    return {device: max(peak[device], held[device]) for device in {*peak, *held}}


@lru_cache(maxsize=2)
def _in_order(key: Identity) -> list[Module]:
    """The modules in the library's order: names part by part, numbers as numbers (`dot_natural_key`)."""

    def order(module: Module) -> list[tuple[int, int, str]]:
        parts = _NUMBER.split(module.name)
        return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]

    return sorted(modules(key.facts), key=order)


def _read(module: Module, size: int, width: int) -> int:
    return max(size, module.parameters * width)


def _passing(module: Module, settings: TransformersSettings, width: int, *, quantized: bool) -> int:
    """Beside the module itself: its tensor as stored and the copies its conversion takes."""
    wanted = DTYPE_BYTES[settings.compute_dtype]
    if quantized:
        converted = wanted if wanted != width else 0
        return module.parameters * (width + converted + _TEMPORARIES[settings.precision[:3]])
    if settings.precision == "stored":
        return 0
    if module.kind == "experts":
        return module.parameters * wanted  # collected one by one, then stacked
    return module.parameters * width if wanted != width else 0
