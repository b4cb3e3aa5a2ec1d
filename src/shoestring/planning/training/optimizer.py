"""Optimizer state: what is kept between steps for every trained parameter, and what a step itself needs.

- AdamW of torch keeps two values a parameter in the parameter's own dtype (`torch/optim/adam.py`, `_init_group`),
  so 8 bytes beside fp32 parameters and 4 beside bf16 ones; the fused step needs nothing more.
- bitsandbytes' AdamW keeps them in 8 bits with one fp32 a block of 256 each, and in fp32 for tensors of fewer than
  4096 values (`bitsandbytes/optim/optimizer.py`, `init_state`; arXiv:2110.02861). Paged state is allocated in
  unified memory and may lie in main memory (arXiv:2305.14314, section 3); tensors under 100,000 values stay.
- SGD keeps nothing, or one value with momentum. Adafactor keeps row and column sums of matrices in fp32 and a full
  fp32 value of vectors (`transformers/optimization.py`; arXiv:1804.04235).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from shoestring.planning.base import Optimizer

BLOCK = 256
"""Values that share an fp32 scale in 8-bit state."""
FEWEST_IN_8BIT = 4096
"""Tensors with fewer values keep 32-bit state."""
FEWEST_PAGED = 100_000
"""Tensors with fewer values are not paged (`get_state_buffer`)."""

_CODES = 2 * 256 * 4  # the 8-bit values of signed and unsigned state, one table for all parameters


@dataclass(frozen=True)
class Trained:
    """One trained tensor.

    Attributes:
        shape: as in memory.
        width: bytes of one value, and of its gradient.
    """

    shape: tuple[int, ...]
    width: int

    @property
    def size(self) -> int:
        product = 1
        for n in self.shape:
            product *= n
        return product


def gradient_bytes(trained: Iterable[Trained]) -> int:
    """Bytes of all gradients: autograd makes each in its parameter's dtype."""
    return sum(tensor.size * tensor.width for tensor in trained)


def state_bytes(trained: Iterable[Trained], optimizer: Optimizer) -> int:
    """Bytes of state after the first step."""
    tensors = tuple(trained)
    codes = _CODES if "8bit" in optimizer and any(t.size >= FEWEST_IN_8BIT for t in tensors) else 0
    return sum(_state(tensor, optimizer) for tensor in tensors) + codes


def paged_bytes(trained: Iterable[Trained], optimizer: Optimizer) -> int:
    """Of these, the bytes that may lie in main memory."""
    if not optimizer.startswith("paged"):
        return 0
    width = 2 if optimizer.endswith("8bit") else 8
    return sum(t.size * width for t in trained if t.size >= FEWEST_PAGED)


def step_bytes(trained: Iterable[Trained], optimizer: Optimizer, *, on_cpu: bool) -> int:
    """Bytes that the step itself needs at once: tensors are updated one after the other, so the largest one's.

    bitsandbytes' steps are kernels on a GPU; on the CPU they make fp32 copies of states, gradient and update
    (`bitsandbytes/backends/cpu/ops.py`). Adafactor makes the squared gradient and the update in fp32 everywhere,
    and copies of parameter and gradient where they are not fp32. AdamW of torch is fused, SGD works in place.
    """
    return max((4 * t.size * _copies(t, optimizer, on_cpu) for t in trained), default=0)


def _copies(tensor: Trained, optimizer: Optimizer, on_cpu: bool) -> int:
    """Tensors of fp32 that a step makes of one parameter's size."""
    if optimizer == "adafactor":
        return 2 if tensor.width == 4 else 4
    if not on_cpu:
        return 0
    return {"adamw_8bit": 5, "paged_adamw_8bit": 5, "paged_adamw": 4}.get(optimizer, 0)


def _state(tensor: Trained, optimizer: Optimizer) -> int:
    n = tensor.size
    if optimizer == "adamw":
        return 2 * n * tensor.width
    if optimizer == "paged_adamw":
        return 8 * n
    if optimizer in ("adamw_8bit", "paged_adamw_8bit"):
        return 8 * n if n < FEWEST_IN_8BIT else 2 * n + 2 * 4 * -(-n // BLOCK)
    if optimizer == "sgd_momentum":
        return n * tensor.width
    if optimizer == "adafactor":
        return 4 * _factors(tensor)
    return 0


def _factors(tensor: Trained) -> int:
    """Values that Adafactor keeps: of matrices one a row and one a column."""
    if len(tensor.shape) < 2:
        return tensor.size
    *stack, rows, columns = tensor.shape
    matrices = 1
    for n in stack:
        matrices *= n
    return matrices * (rows + columns)
