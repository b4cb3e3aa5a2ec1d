"""Metadata arrays: position, element type and count are known; values are decoded when asked for."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from shoestring.models.gguf.types import SCALARS, ValueType

STRINGS_PER_BLOCK = 256
SMALL_STRING_BYTES = 15
"""A C++ `std::string` (libstdc++) keeps this many bytes inside itself; longer ones live on the heap."""

_LENGTH = struct.Struct("<Q").unpack_from


@dataclass(frozen=True)
class NumberArray:
    """An array of numbers or booleans.

    Attributes:
        type: element type.
        count: elements.
        offset_bytes: where the first element starts in the file.
    """

    type: ValueType
    count: int
    offset_bytes: int
    _header: bytearray = field(repr=False, compare=False)

    def values(self) -> list[int] | list[float] | list[bool]:
        """All elements, decoded."""
        code = SCALARS[self.type].format[1:]
        return list(struct.unpack_from(f"<{self.count}{code}", self._header, self.offset_bytes))

    def raw(self) -> bytes:
        """The elements as stored."""
        width = SCALARS[self.type].size
        return bytes(self._header[self.offset_bytes : self.offset_bytes + self.count * width])


@dataclass(frozen=True)
class StringArray:
    """An array of strings, walked once when the header was read and not decoded.

    Attributes:
        count: strings.
        offset_bytes: where the first string (its length prefix) starts in the file.
        n_bytes: summed length of all strings, UTF-8, length prefixes excluded.
        long_count / long_bytes: strings of more than `SMALL_STRING_BYTES` bytes, and their summed length.
        blocks: where every `STRINGS_PER_BLOCK`-th string starts: finding a few takes no full walk.
    """

    count: int
    offset_bytes: int
    n_bytes: int
    long_count: int
    long_bytes: int
    blocks: tuple[int, ...] = field(repr=False)
    _header: bytearray = field(repr=False, compare=False)
    type: ValueType = ValueType.STRING

    def __iter__(self) -> Iterator[bytes]:
        """The strings as stored, undecoded, in order."""
        for block in range(len(self.blocks)):
            yield from self._block(block)

    def count_distinct(self) -> int:
        """How many different strings there are, told apart by their 64-bit hashes."""
        start = self.offset_bytes
        data = bytes(memoryview(self._header)[start : start + self.n_bytes + 8 * self.count])
        hashes: list[int] = []
        add, pos = hashes.append, 0
        for _ in range(self.count):
            end = pos + 8 + _LENGTH(data, pos)[0]
            add(hash(data[pos:end]))  # with its length prefix: one addition less
            pos = end
        return len(set(hashes))

    def at(self, indices: Iterable[int]) -> dict[int, bytes]:
        """The strings at `indices`, walking only the blocks that hold them.

        Raises:
            IndexError: an index is not below `count`.
        """
        wanted: dict[int, list[int]] = {}
        for index in indices:
            if not 0 <= index < self.count:
                raise IndexError(index)
            wanted.setdefault(index // STRINGS_PER_BLOCK, []).append(index)
        found: dict[int, bytes] = {}
        for block, members in wanted.items():
            texts = self._block(block)
            found.update((index, texts[index % STRINGS_PER_BLOCK]) for index in members)
        return found

    def _block(self, block: int) -> list[bytes]:
        pos, texts = self.blocks[block], []
        for _ in range(min(STRINGS_PER_BLOCK, self.count - block * STRINGS_PER_BLOCK)):
            (length,) = _LENGTH(self._header, pos)
            texts.append(bytes(self._header[pos + 8 : pos + 8 + length]))
            pos += 8 + length
        return texts


def skip_strings(data: bytearray, pos: int, count: int) -> tuple[int, int, int]:
    """Walk over `count` length-prefixed strings: (end, long strings, their bytes).

    The tightest loop of the start-up path: about 0.1 µs a string.

    Raises:
        struct.error, OverflowError: a length prefix lies beyond the end of `data`.
    """
    long_count = long_bytes = 0
    for _ in range(count):
        (length,) = _LENGTH(data, pos)
        pos += 8 + length
        if length > 15:
            long_count += 1
            long_bytes += length
    return pos, long_count, long_bytes
