"""A prompt read and a token decoded by a model over fake tensors, every byte of them counted."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from shoestring.engines.bitsandbytes_operators import expansions
from shoestring.engines.cuda_attention import CudaAttention
from shoestring.engines.fake_model import build, leave_as_on_a_gpu, read_config
from shoestring.engines.live_memory import LiveMemory
from shoestring.engines.transformers.held import is_packed, tensors_of
from shoestring.errors import EngineError
from shoestring.planning.base import TransformersSettings

_CACHE_NAMES = (
    "cache",
    "past_key_values",
    "cache_params",
)  # transformers 5.24 renamed the others to the first


@dataclass(frozen=True)
class Measured:
    """In bytes: weights by dtype, `get_memory_footprint()`, the cache, and peaks beyond weights and cache."""

    weights: dict[str, int]
    footprint: int
    kv_cache: int
    prefill_peak: int
    decode_peak: int


def run(folder: Path, settings: TransformersSettings, *, on_gpu: bool = False) -> Measured:
    """Measure a model without its memory, from its config.

    Raises:
        EngineError: it cannot be built or run with these settings.
    """
    mode = FakeTensorMode()
    config = read_config(folder)
    model = build(config, settings, mode)
    if on_gpu:
        leave_as_on_a_gpu(model)
    packed = any(map(is_packed, model.modules()))
    live = LiveMemory(expansions(on_gpu=on_gpu) if packed else None, on_gpu=on_gpu)
    attention = CudaAttention() if on_gpu else nullcontext()
    with mode, torch.no_grad(), live, attention:
        live.follow(tensors_of(model))
        cache = _new_cache(config, settings)
        cache, prefill_peak = _step(model, settings.batch, settings.context, cache, live)
        weights, kv_cache = _by_dtype(tensors_of(model)), sum(_by_dtype(_tensors_in(cache)).values())
        live.reset_peak()
        _, decode_peak = _step(model, settings.batch, 1, cache, live)
    beside = sum(weights.values()) + kv_cache
    return Measured(
        weights,
        model.get_memory_footprint(),
        kv_cache,
        max(prefill_peak - beside, 0),
        max(decode_peak - beside, 0),
    )


def _step(model: Any, batch: int, tokens: int, cache: Any, live: LiveMemory) -> tuple[Any, int]:
    """One forward pass as `generate` makes it: the last position's logits alone, then in fp32."""
    parameters = inspect.signature(model.forward).parameters
    cache_name = next((name for name in _CACHE_NAMES if name in parameters), None)
    if cache_name is None:
        raise EngineError(f"{type(model).__name__} keeps no cache that a dry run knows.")
    options: dict[str, Any] = {"use_cache": True}
    if cache is not None:
        options[cache_name] = cache
    if "logits_to_keep" in parameters:
        options["logits_to_keep"] = 1
    if "position_ids" in parameters:  # `generate` makes them of the mask, and so for every sequence
        options["position_ids"] = torch.zeros(batch, tokens, dtype=torch.long)
    output = model(input_ids=torch.zeros(batch, tokens, dtype=torch.long), **options)
    output.logits[:, -1, :].to(torch.float32, copy=True)
    return getattr(output, cache_name, None), live.peak_bytes


def _new_cache(config: Any, settings: TransformersSettings) -> Any:
    """None lets the model make its own (the dynamic one)."""
    if settings.cache == "dynamic":
        return None
    if settings.cache == "static":
        from transformers import StaticCache

        return StaticCache(config=config, max_cache_len=settings.context)
    raise EngineError(
        f"A dry run with a cache of the kind {settings.cache!r} is not possible.",
        "Plan by formula, or with a dynamic or a static cache.",
    )


def _tensors_in(held: Any, depth: int = 4) -> Iterator[torch.Tensor]:
    """Values in a cache: in its layers, their attributes, lists and dictionaries. Counters are left out."""
    if isinstance(held, torch.Tensor):
        if held.is_floating_point():
            yield held
    elif depth:
        values = held if isinstance(held, list | tuple) else getattr(held, "__dict__", {}).values()
        for value in held.values() if isinstance(held, dict) else values:
            yield from _tensors_in(value, depth - 1)


def _by_dtype(tensors: Iterable[torch.Tensor]) -> dict[str, int]:
    """Bytes of what the tensors are views of, each counted once."""
    sizes: defaultdict[str, int] = defaultdict(int)
    seen: set[int] = set()
    for tensor in tensors:
        storage = tensor.untyped_storage()
        if storage._cdata not in seen:
            seen.add(storage._cdata)
            sizes[str(tensor.dtype).removeprefix("torch.")] += storage.nbytes()
    return dict(sizes)
