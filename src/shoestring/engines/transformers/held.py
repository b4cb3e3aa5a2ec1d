"""Every tensor that a loaded model holds, the scales of packed weights and what waits outside a GPU included."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

_PACKED = ("Linear4bit", "Linear8bitLt")


def is_packed(module: Any) -> bool:
    """Whether bitsandbytes keeps its weight in 4 or 8 bits."""
    return type(module).__name__ in _PACKED


def tensors_of(model: Any) -> Iterator[Any]:
    """Parameters, buffers, and the scales of packed weights; some may come twice."""
    yield from model.parameters()
    yield from model.buffers()
    for parameter in model.parameters():
        yield from _scales(vars(parameter))
    for module in model.modules():
        if is_packed(module) and hasattr(module, "state"):
            yield from _scales(vars(module.state))  # once it was used, 8-bit scales have moved here


def bytes_by_dtype(model: Any) -> dict[str, int]:
    """Bytes in memory by torch's name of the dtype they are stored in; what lies on the disk is not counted."""
    found: dict[str, int] = defaultdict(int)
    seen: set[int] = set()
    for tensor in (*tensors_of(model), *_waiting(model)):
        if tensor.device.type == "meta" or tensor.data_ptr() in seen:
            continue
        seen.add(tensor.data_ptr())
        found[str(tensor.dtype).removeprefix("torch.")] += tensor.numel() * tensor.element_size()
    return dict(found)


def count_parameters(model: Any) -> int:
    """As many as the matrices have before packing; tied ones once."""
    seen: set[int] = set()
    total = 0
    for module in model.modules():
        for name, parameter in (*module._parameters.items(), *_packed_buffers(module)):
            if parameter is None or id(parameter) in seen:
                continue
            seen.add(id(parameter))
            packed = name in _PACKED_NAMES or (name == "weight" and is_packed(module))
            total += module.in_features * module.out_features if packed else parameter.numel()
    return total


_PACKED_NAMES = ("qweight", "weight_packed")
"""AWQ and GPTQ keep packed words in a buffer, compressed-tensors in a parameter; all of layers that tell their features."""


def _packed_buffers(module: Any) -> Iterator[tuple[str, Any]]:
    return ((name, buffer) for name, buffer in module._buffers.items() if name in _PACKED_NAMES)


def offloaded(model: Any) -> list[Any]:
    """accelerate's maps of what lies outside the devices that compute (`OffloadedWeightsLoader`)."""
    found = {}
    for module in model.modules():
        weights = getattr(getattr(module, "_hf_hook", None), "weights_map", None)
        loader = getattr(weights, "dataset", weights)  # a module's part of one map for all
        if loader is not None:
            found[id(loader)] = loader
    return list(found.values())


def _waiting(model: Any) -> Iterator[Any]:
    """What waits in main memory for a GPU."""
    for loader in offloaded(model):
        yield from (getattr(loader, "state_dict", None) or {}).values()


def _scales(attributes: Mapping[str, Any]) -> Iterator[Any]:
    import torch

    if isinstance(scales := attributes.get("SCB"), torch.Tensor):
        yield scales
    for name in ("quant_state", "state2"):
        if (state := attributes.get(name)) is not None:
            yield from (value for value in vars(state).values() if isinstance(value, torch.Tensor))
            yield from _scales(vars(state))
