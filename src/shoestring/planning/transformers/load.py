"""The peak while transformers loads a model.

The worker hands the library tensors that are read when they are asked for (`safe_open(…, backend="pread")`), one
at a time (`HF_DEACTIVATE_ASYNC_LOAD`), so beside what is loaded already there is one tensor as it is stored, and
what its conversion takes. Mapped into memory, as the library does by itself, the whole file would be resident, too.
Sources: `core_model_loading.py` of transformers 5.24, `backends/cpu/ops.py` of bitsandbytes 0.50.
"""

from __future__ import annotations

from collections.abc import Iterable

from shoestring.models.facts import ModelFacts
from shoestring.planning.base import TransformersSettings
from shoestring.planning.transformers.kv_cache import DTYPE_BYTES
from shoestring.planning.transformers.modules import Module
from shoestring.planning.transformers.weights import is_quantized

_STORED_BYTES = {"F64": 8, "F32": 4, "BF16": 2, "F16": 2}
_INT8_TEMPORARIES = 2 + 2 + 4 + 4
"""Bytes a weight while a matrix becomes int8: in fp16, its magnitudes or outliers, scaled in fp32, rounded."""
_FOUR_BIT_TEMPORARIES = 2
"""Beside the stored tensor: a copy in the model's dtype, where the file has another."""


def passing_bytes(facts: ModelFacts, settings: TransformersSettings, found: Iterable[Module]) -> int:
    """Bytes beside the loaded weights at the worst moment of loading: the tensors in passing, and their conversion.

    Experts are stored one by one and stacked: those of one parameter lie there twice for a moment.
    """
    stored = max((_STORED_BYTES.get(t.dtype, 1) for t in facts.tensors), default=2)
    wanted = DTYPE_BYTES[settings.compute_dtype]
    return max((_passing(m, facts, settings, stored, wanted) for m in found), default=0)


def _passing(
    module: Module, facts: ModelFacts, settings: TransformersSettings, stored: int, wanted: int
) -> int:
    if is_quantized(module, facts, settings.precision):
        converted = wanted if wanted != stored else 0
        extra = _INT8_TEMPORARIES if settings.precision == "int8" else _FOUR_BIT_TEMPORARIES
        return module.parameters * (stored + converted + extra)
    if module.kind == "experts":
        return module.parameters * wanted  # collected one by one, then stacked
    return module.parameters * stored if wanted != stored else 0
