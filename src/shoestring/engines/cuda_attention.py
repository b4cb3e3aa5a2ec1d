"""Attention as CUDA's fused kernels do it, where torch on a CPU would fall back to a matrix of all scores.

A CPU takes no keys wider than values (multi-head latent attention); CUDA's memory-efficient kernel does.
"""

# mypy: allow-subclassing-any
# (torch's types are not followed, see pyproject.toml)

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class CudaAttention(TorchFunctionMode):
    """While active, scaled dot product attention that a CUDA kernel takes makes only what that kernel does.

    That is the output, a statistic in fp32 for every query, and of a mask of truth values one in the queries' dtype
    (`aten/src/ATen/native/transformers/cuda/sdp_utils.cpp`, `…/attention.cpp`). Where heads differ in number, and
    grouping was not asked for, no kernel takes them, and torch's own way is counted.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        options = kwargs or {}
        if func is not torch.nn.functional.scaled_dot_product_attention or not _is_taken(args, options):
            return func(*args, **options)
        query, value, mask = args[0], args[2], options.get("attn_mask")
        converted = torch.empty(mask.shape, dtype=query.dtype) if mask is not None else None
        output = torch.empty((*query.shape[:-1], value.shape[-1]), dtype=query.dtype)
        statistics = torch.empty(query.shape[:-1], dtype=torch.float32)
        del converted, statistics
        return output


def _is_taken(args: tuple[Any, ...], options: dict[str, Any]) -> bool:
    return len(args) >= 3 and (args[0].shape[1] == args[1].shape[1] or bool(options.get("enable_gqa")))
