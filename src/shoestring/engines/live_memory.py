"""How many bytes of tensors are alive: counted operation by operation, on real tensors and on fake ones alike."""

# mypy: allow-subclassing-any
# (torch's types are not followed, see pyproject.toml)

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

_ARITHMETIC = frozenset(
    {
        *(torch.ops.aten.add.Tensor, torch.ops.aten.sub.Tensor, torch.ops.aten.mul.Tensor),
        *(torch.ops.aten.div.Tensor, torch.ops.aten.maximum.default, torch.ops.aten.minimum.default),
        *(torch.ops.aten.add_.Tensor, torch.ops.aten.sub_.Tensor, torch.ops.aten.mul_.Tensor),
        torch.ops.aten.div_.Tensor,
    }
)
_CUDA_GRAIN = (
    512  # bytes: what torch's CUDA allocator rounds every tensor up to (`c10/cuda/CUDACachingAllocator.cpp`)
)
Expansions = Mapping[Any, Any]
"""Operators that are one call to torch but several inside: operator → a function that spells them out."""


class LiveMemory(TorchDispatchMode):
    """While active, follows every storage that an operation makes, from then until Python lets go of it.

    Views share the storage of their base and count once. What a kernel takes and gives back inside itself is not
    seen, unless `expansions` has the operator spelt out. Under a FakeTensorMode, enter this one last.

    Args:
        expansions: operators spelt out.
        on_gpu: count CPU tensors as if they lay on a GPU.

    Attributes:
        live_bytes: alive now; peak_bytes: the most so far.
    """

    def __init__(self, expansions: Expansions | None = None, *, on_gpu: bool = False) -> None:
        super().__init__()
        self._on_gpu = on_gpu
        self.live_bytes = 0
        self.peak_bytes = 0
        self._expansions = expansions or {}
        self._seen: weakref.WeakKeyDictionary[torch.UntypedStorage, int] = weakref.WeakKeyDictionary()

    def follow(self, tensors: Iterable[torch.Tensor]) -> int:
        """Count tensors made before (a model's weights); returns the bytes of those that were new."""
        before = self.live_bytes
        for tensor in tensors:
            self._add(tensor)
        return self.live_bytes - before

    def reset_peak(self) -> None:
        """Start the peak anew from what is alive now."""
        self.peak_bytes = self.live_bytes

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        expansion = self._expansions.get(func)
        if expansion is not None:
            with self:
                return expansion(*args, **(kwargs or {}))
        if func in _ARITHMETIC and not self._on_gpu:
            self.peak_bytes = max(self.peak_bytes, self.live_bytes + _promoted_bytes(args))
        result = func(*args, **(kwargs or {}))
        for leaf in tree_iter(result):
            if isinstance(leaf, torch.Tensor):
                self._add(leaf)
        return result

    def _add(self, tensor: torch.Tensor) -> None:
        if tensor.device.type == "meta":
            return
        storage = tensor.untyped_storage()
        if storage in self._seen:
            return
        n_bytes = storage.nbytes()
        if self._on_gpu:
            n_bytes = -(-n_bytes // _CUDA_GRAIN) * _CUDA_GRAIN
        self._seen[storage] = n_bytes
        self.live_bytes += n_bytes
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)
        weakref.finalize(storage, self._release, n_bytes).atexit = False

    def _release(self, n_bytes: int) -> None:
        self.live_bytes -= n_bytes


def _promoted_bytes(args: tuple[Any, ...]) -> int:
    """The result and copies of operands in another precision: on the CPU arithmetic converts them beforehand
    (`promote_inputs_to_common_dtype` in ATen's `TensorIterator.cpp`)."""
    tensors = [arg for arg in args[:2] if isinstance(arg, torch.Tensor)]
    if len(tensors) < 2 or tensors[0].dtype == tensors[1].dtype or tensors[0].device.type != "cpu":
        return 0
    common = torch.promote_types(*(tensor.dtype for tensor in tensors))
    copies = sum(tensor.numel() for tensor in tensors if tensor.dtype != common and tensor.dim())
    if not copies:
        return 0
    result = torch.broadcast_shapes(*(tensor.shape for tensor in tensors)).numel()
    return int((copies + result) * common.itemsize)
