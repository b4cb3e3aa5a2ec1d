"""How much memory a compute graph needs when tensors share one buffer.

llama.cpp places the tensors of its forward graph in one buffer before anything runs, giving back a
tensor's place after its last reader. This is a model of that placement (ggml's graph allocator, described in
`ggml/src/ggml-alloc.c`): best fit among the holes, else at the end; an operation that can work in place takes
over its input's place, unless that is a view; a view keeps its source alive. Only sizes are simulated, no data exists.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

ALIGNMENT = 32  # bytes; the CPU backend's


@dataclass(eq=False)
class Tensor:
    """One tensor of a graph.

    Attributes:
        shape: elements by dimension; with `n_bytes` it decides whether an operation may work in place.
        n_bytes: its size.
        sources: the tensors it is computed from, weights and cache excluded (they live elsewhere).
        view_of: the tensor whose bytes it shows, or None when it has its own.
        in_place: whether its operation may overwrite a source that nobody else reads.
        output: outputs are never given back.
    """

    shape: tuple[int, ...]
    n_bytes: int
    sources: tuple[Tensor, ...] = ()
    view_of: Tensor | None = None
    in_place: bool = False
    output: bool = False
    _readers: int = field(default=0, init=False)
    _views: int = field(default=0, init=False)
    _offset: int | None = field(default=None, init=False)


class _Buffer:
    """Address space that grows at its end. `holes` are the free stretches below `end`, by address."""

    def __init__(self) -> None:
        self.holes: list[tuple[int, int]] = []  # (offset, size)
        self.end = 0
        self.peak = 0

    def take(self, size: int) -> int:
        """The smallest hole that is large enough, the last of equals; else the end."""
        best: int | None = None
        for i, (_, room) in enumerate(self.holes):
            if room >= size and (best is None or room <= self.holes[best][1]):
                best = i
        if best is None:
            offset = self.end
            self.end += size
            self.peak = max(self.peak, self.end)
            return offset
        offset, room = self.holes.pop(best)
        if room > size:
            self.holes.insert(best, (offset + size, room - size))
        return offset

    def give(self, offset: int, size: int) -> None:
        """Free a stretch, merging it with free neighbours."""
        if not size:
            return
        insort(self.holes, (offset, size))
        merged: list[tuple[int, int]] = []
        for start, room in self.holes:
            if merged and sum(merged[-1]) == start:
                merged[-1] = (merged[-1][0], merged[-1][1] + room)
            else:
                merged.append((start, room))
        if merged and sum(merged[-1]) == self.end:
            self.end = merged.pop()[0]
        self.holes = merged


def buffer_bytes(inputs: Iterable[Tensor], nodes: Sequence[Tensor]) -> int:
    """Bytes of the buffer that holds `inputs` (placed first) and then every node, in order of execution."""
    buffer = _Buffer()
    for node in nodes:
        if node.view_of is not None:
            node.view_of._views += 1
        for source in node.sources:
            source._readers += 1
    for tensor in inputs:
        tensor._offset = buffer.take(_padded(tensor.n_bytes))
    for node in nodes:
        if node.view_of is None:
            _place(node, buffer)
        for source in node.sources:
            _release(source, buffer)
    return buffer.peak


def _place(node: Tensor, buffer: _Buffer) -> None:
    for source in node.sources if node.in_place else ():
        free_to_take = source._readers == 1 and not (source._views or source.view_of or source.output)
        if free_to_take and source._offset is not None and source.shape == node.shape:
            node._offset, source._offset = source._offset, None
            return
    node._offset = buffer.take(_padded(node.n_bytes))


def _release(source: Tensor, buffer: _Buffer) -> None:
    source._readers -= 1
    if source._readers or source._views:
        return
    owner = source
    if source.view_of is not None:
        owner = source.view_of
        owner._views -= 1
    if owner._views == owner._readers == 0 and owner._offset is not None and not owner.output:
        buffer.give(owner._offset, _padded(owner.n_bytes))
        owner._offset = None


def _padded(n_bytes: int) -> int:
    return -(-n_bytes // ALIGNMENT) * ALIGNMENT
