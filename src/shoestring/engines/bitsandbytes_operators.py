"""What bitsandbytes' operators take inside themselves on a CPU, spelt out in torch's own.

To torch each is one call, so what it takes and gives back within is not seen from outside. These do no arithmetic
that matters: they allocate and let go in the order of `bitsandbytes/backends/default/ops.py` and `…/cpu/ops.py`.
Activations are taken to have no outliers: those of LLM.int8() are a few columns in thousands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


def expansions(*, on_gpu: bool = False) -> dict[Any, Callable[..., Any]]:
    """Operator → what it does inside, for `LiveMemory`. Imports bitsandbytes, which defines the operators.

    Args:
        on_gpu: the CUDA kernels, which fuse more of the 8-bit arithmetic (`bitsandbytes/backends/cuda/ops.py`).
    """
    import bitsandbytes  # noqa: F401  (its import registers them)

    ours = torch.ops.bitsandbytes
    return {
        ours.int8_vectorwise_quant.default: _quantize_rows_fused if on_gpu else _quantize_rows,
        ours.int8_mixed_scaled_mm.default: _mixed_matmul_fused if on_gpu else _mixed_matmul,
        ours.int8_scaled_mm.default: _scaled_matmul_fused if on_gpu else _scaled_matmul,
        ours.gemm_4bit.default: _matmul_4bit,
        ours.gemv_4bit.default: _packed_matmul_4bit,
    }


def _quantize_rows(a: Tensor, threshold: float = 0.0) -> tuple[Tensor, Tensor, Tensor | None]:
    outliers = None
    if threshold > 0.0:
        above = a.abs() >= threshold
        outliers = torch.empty(0, device=a.device, dtype=torch.int64)
    row_stats = torch.max(a.abs(), dim=1).values.float()
    quantized = torch.round(a * (127.0 / row_stats.unsqueeze(-1))).to(torch.int8)
    if threshold > 0.0:
        del above
    return quantized, row_stats, outliers


def _mixed_matmul(
    a: Tensor,
    quantized: Tensor,
    weight: Tensor,
    row_stats: Tensor,
    weight_stats: Tensor,
    outliers: Tensor | None = None,
    bias: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    held_back = torch.empty(0, device=a.device, dtype=a.dtype)
    return _scaled_matmul(quantized, weight, row_stats, weight_stats, bias, a.dtype), held_back


def _scaled_matmul(
    a: Tensor,
    weight: Tensor,
    row_stats: Tensor,
    weight_stats: Tensor,
    bias: Tensor | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    product = _integer_matmul(a, weight)
    out = product * (row_stats.reshape(-1).unsqueeze(-1) * weight_stats.reshape(-1).unsqueeze(0)) * 6.2e-05
    if bias is not None:
        out += bias
    return out.to(dtype or torch.float16)


def _quantize_rows_fused(a: Tensor, threshold: float = 0.0) -> tuple[Tensor, Tensor, Tensor | None]:
    quantized = torch.empty(a.shape, device=a.device, dtype=torch.int8)
    row_stats = torch.empty(a.shape[0], device=a.device, dtype=torch.float32)
    if threshold <= 0.0:
        return quantized, row_stats, None
    above = a.abs() >= threshold
    above.any()
    return quantized, row_stats, torch.empty(0, device=a.device, dtype=torch.int64)


def _mixed_matmul_fused(
    a: Tensor,
    quantized: Tensor,
    weight: Tensor,
    row_stats: Tensor,
    weight_stats: Tensor,
    outliers: Tensor | None = None,
    bias: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    held_back = torch.empty(0, device=a.device, dtype=a.dtype)
    return _scaled_matmul_fused(quantized, weight, row_stats, weight_stats, bias, a.dtype), held_back


def _scaled_matmul_fused(
    a: Tensor,
    weight: Tensor,
    row_stats: Tensor,
    weight_stats: Tensor,
    bias: Tensor | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    product = torch.empty((*a.shape[:-1], weight.shape[0]), dtype=torch.int32, device=a.device)
    return torch.empty_like(product, dtype=torch.float16).to(dtype or torch.float16)


def _integer_matmul(a: Tensor, weight: Tensor) -> Tensor:
    if torch.backends.cpu.get_cpu_capability() == "AVX512":
        return torch._int_mm(a, weight.t())
    return torch.matmul(a.float(), weight.float().t()).to(torch.int32)


def _matmul_4bit(
    a: Tensor,
    weight: Tensor,
    shape: Sequence[int],
    absmax: Tensor,
    blocksize: int,
    quant_type: str,
    bias: Tensor | None = None,
    absmax_8bit: Tensor | None = None,
    absmax_code: Tensor | None = None,
    absmax_offset: Tensor | None = None,
) -> Tensor:
    dequantized = torch.empty(tuple(shape), dtype=a.dtype, device=a.device)
    scales = None if absmax_8bit is None else torch.empty_like(absmax_8bit, dtype=torch.float32)
    result = torch.nn.functional.linear(a, dequantized, bias)
    del scales
    return result


def _packed_matmul_4bit(
    a: Tensor, weight: Tensor, shape: Sequence[int], absmax: Tensor, code: Tensor, blocksize: int
) -> Tensor:
    """On a CPU with bf16 instructions; it multiplies in bf16 whatever it is given."""
    flat = a.to(torch.bfloat16).reshape(-1, a.shape[-1])
    out = torch.empty((flat.shape[0], shape[0]), dtype=flat.dtype, device=a.device)
    return out.to(a.dtype).reshape(*a.shape[:-1], shape[0])
