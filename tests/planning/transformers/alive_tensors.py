"""Counts the bytes of tensors that are alive at once while a model runs: the truth that formulas are held against."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class AliveTensors(TorchDispatchMode):
    """Follows every storage that an operation makes, `known` ones left out."""

    def __init__(self, known: Any) -> None:
        super().__init__()
        self.alive: dict[int, int] = {t.untyped_storage()._cdata: 0 for t in known}
        self.now = self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._made(leaf.untyped_storage())
        return result

    def _made(self, storage: Any) -> None:
        key = storage._cdata
        if key in self.alive:
            return
        self.alive[key] = storage.nbytes()
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._gone, key)

    def _gone(self, key: int) -> None:
        self.now -= self.alive.pop(key, 0)


def peak_of_prefill(model: Any, batch: int, tokens: int) -> int:
    """Bytes alive at most while a prompt is read, cache included, weights not."""
    ids = torch.zeros(batch, tokens, dtype=torch.long)
    with torch.no_grad(), AliveTensors([*model.parameters(), *model.buffers(), ids]) as seen:
        output = model(input_ids=ids, use_cache=True, logits_to_keep=1)
        del output
    return seen.peak
