"""Reads a GGUF header: typed metadata and the tensor list, every byte of it checked against the file's size."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

from shoestring.errors import InvalidModelFileError
from shoestring.models.facts import TensorInfo
from shoestring.models.gguf.arrays import STRINGS_PER_BLOCK, NumberArray, StringArray, skip_strings
from shoestring.models.gguf.identify import check_magic
from shoestring.models.gguf.types import SCALARS, TENSOR_TYPES, ValueType
from shoestring.models.ranges import FileRange, RangeReader

MAX_HEADER_BYTES = 40 * 2**20
"""The largest header read. The largest vocabularies in use (262,144 tokens, 500,000 merges) need 17 MB."""
MAX_PAIRS = 65_536
MAX_TENSORS = 65_536
MAX_KEY_BYTES = 1024
MAX_STRING_BYTES = 8 * 2**20
MAX_NAME_BYTES = 63  # ggml.h: GGML_MAX_NAME is 64, with the closing NUL
MAX_ALIGNMENT = 2**20

_FIRST_READ, _MAX_READ = 512 * 1024, 8 * 2**20
_DAMAGED = "Download it again: the copy is damaged or incomplete."

Scalar = int | float | bool | str
Value = Scalar | NumberArray | StringArray


@dataclass(frozen=True)
class GgufHeader:
    """One file's header.

    Attributes:
        name: what messages call the file.
        version: of the format, 2 or 3.
        metadata: values by key; arrays are decoded only when asked.
        tensors: in file order; offsets are from the beginning of the file.
        alignment: of tensor data, in bytes.
        data_offset_bytes: where tensor data starts.
        size_bytes: of the whole file.
    """

    name: str
    version: int
    metadata: dict[str, Value] = field(repr=False)
    tensors: tuple[TensorInfo, ...] = field(repr=False)
    alignment: int
    data_offset_bytes: int
    size_bytes: int


def read_header(
    source: Path | RangeReader, *, name: str | None = None, chunk_bytes: int | None = None
) -> GgufHeader:
    """Read and check one file's header. Nothing behind it is read.

    Args:
        source: a path, or anything that reads ranges.
        name: what messages call it; the path by default.
        chunk_bytes: read in pieces of this size, at most one more than the header needs (where bytes cost more than
            reads); None: in ever larger ones.

    Raises:
        ModelNotFoundError: there is no such file.
        InvalidModelFileError: it is not a well-formed GGUF file.
    """
    if isinstance(source, Path):
        with FileRange(source) as file:
            return _Parser(file, name or str(source), chunk_bytes).parse()
    return _Parser(source, name or "the file", chunk_bytes).parse()


class _Parser:
    """A cursor over a window that starts at the file's first byte and grows on demand, so positions are offsets."""

    def __init__(self, reader: RangeReader, name: str, chunk_bytes: int | None) -> None:
        self._reader = reader
        self._chunk = chunk_bytes
        self._name = name
        self._size = reader.size_bytes
        self._data = bytearray()
        self._pos = 0

    def parse(self) -> GgufHeader:
        self._grow(min(self._chunk or _FIRST_READ, self._size))
        version = check_magic(bytes(self._data[:512]), self._size, self._name)
        self._pos = 8
        n_tensors = self._count("tensor count", MAX_TENSORS, at_least_bytes=24)
        n_pairs = self._count("metadata count", MAX_PAIRS, at_least_bytes=13)
        metadata = self._metadata(n_pairs)
        alignment = self._alignment(metadata)
        found = [self._tensor(i) for i in range(n_tensors)]
        names = {tensor[0] for tensor in found}
        if len(names) != len(found):
            raise self._invalid("two of its tensors have the same name")
        data_offset = -(-self._pos // alignment) * alignment
        return GgufHeader(
            name=self._name,
            version=version,
            metadata=metadata,
            tensors=self._lay_out(found, data_offset, alignment),
            alignment=alignment,
            data_offset_bytes=data_offset,
            size_bytes=self._size,
        )

    # The window

    def _grow(self, end: int) -> None:
        """Make the window reach `end` at least, reading no less than it already holds (up to 8 MiB) at once."""
        have = len(self._data)
        wanted = max(end - have, min(max(have, _FIRST_READ), _MAX_READ))
        if self._chunk is not None:
            wanted = -(-(end - have) // self._chunk) * self._chunk
        while wanted > 0 and have < self._size:
            chunk = self._reader.read(have, min(wanted, _MAX_READ, self._size - have))
            if not chunk:
                break
            self._data += chunk
            have += len(chunk)
            wanted -= len(chunk)

    def _need(self, end: int, what: str) -> None:
        if end <= len(self._data):
            return
        if end > self._size:
            raise self._invalid(f"it ends in the middle of {what}")
        if end > MAX_HEADER_BYTES:
            raise self._invalid(f"its header is over {MAX_HEADER_BYTES // 10**6} MB long, at {what}")
        self._grow(end)
        if end > len(self._data):
            raise self._invalid(f"it ends in the middle of {what}")

    def _invalid(self, problem: str) -> InvalidModelFileError:
        return InvalidModelFileError(f"{self._name} is not a usable GGUF file: {problem}.", _DAMAGED)

    # Values

    def _scalar(self, kind: int, what: str) -> int | float | bool:
        layout = SCALARS[kind]
        self._need(self._pos + layout.size, what)
        value: int | float | bool = layout.unpack_from(self._data, self._pos)[0]
        self._pos += layout.size
        return value

    def _uint32(self, what: str) -> int:
        return int(self._scalar(ValueType.UINT32, what))

    def _uint64(self, what: str) -> int:
        return int(self._scalar(ValueType.UINT64, what))

    def _count(self, what: str, limit: int, at_least_bytes: int) -> int:
        """A number of things that each take `at_least_bytes`: bounded before anything is made of it."""
        n = self._uint64(f"the {what}")
        if n > limit or n * at_least_bytes > self._size:
            raise self._invalid(f"its {what} is {n:,}, which cannot be")
        return n

    def _string(self, what: str, limit: int) -> bytes:
        length = self._uint64(what)
        if length > limit:
            raise self._invalid(f"{what} is {length:,} bytes long, over the limit of {limit:,}")
        end = self._pos + length
        self._need(end, what)
        text = bytes(self._data[self._pos : end])
        self._pos = end
        return text

    def _text(self, what: str, limit: int) -> str:
        try:
            return self._string(what, limit).decode("utf-8")
        except UnicodeDecodeError:
            raise self._invalid(f"{what} is not UTF-8 text") from None

    # Metadata

    def _metadata(self, n_pairs: int) -> dict[str, Value]:
        metadata: dict[str, Value] = {}
        for i in range(n_pairs):
            key = self._text(f"metadata key {i}", MAX_KEY_BYTES)
            if not key:
                raise self._invalid(f"metadata key {i} is empty")
            if key in metadata:
                raise self._invalid(f"metadata key {key!r} occurs twice")
            metadata[key] = self._value(key, self._uint32(f"the type of {key!r}"))
        return metadata

    def _value(self, key: str, kind: int) -> Value:
        what = f"the value of {key!r}"
        if kind == ValueType.STRING:
            text = self._string(what, MAX_STRING_BYTES)
            if key.startswith(("tokenizer.", "general.architecture")):
                try:
                    return text.decode("utf-8")
                except UnicodeDecodeError:
                    raise self._invalid(f"{what} is not UTF-8 text") from None
            return text.decode("utf-8", errors="replace")  # free text: nothing depends on it
        if kind == ValueType.ARRAY:
            return self._array(key)
        if kind in SCALARS:
            return self._scalar(kind, what)
        raise self._invalid(f"metadata key {key!r} has the unknown type {kind}")

    def _array(self, key: str) -> NumberArray | StringArray:
        what = f"the array {key!r}"
        kind = self._uint32(what)
        count = self._uint64(what)
        if kind == ValueType.STRING:
            return self._strings(count, what)
        if kind not in SCALARS:
            raise self._invalid(f"{what} has elements of the type {kind}, which cannot be")
        start = self._pos
        end = start + count * SCALARS[kind].size
        self._need(end, what)
        self._pos = end
        return NumberArray(ValueType(kind), count, start, self._data)

    def _strings(self, count: int, what: str) -> StringArray:
        start = pos = self._pos
        if start + count * 8 > self._size:
            raise self._invalid(f"it ends in the middle of {what}")
        blocks, long_count, long_bytes = [], 0, 0
        for first in range(0, count, STRINGS_PER_BLOCK):
            blocks.append(pos)
            in_block = min(STRINGS_PER_BLOCK, count - first)
            try:
                pos, more, more_bytes = skip_strings(self._data, pos, in_block)
            except (struct.error, OverflowError):
                pos, more, more_bytes = self._skip_at_the_edge(pos, in_block, what)
            self._need(pos, what)
            long_count += more
            long_bytes += more_bytes
        self._pos = pos
        return StringArray(
            count, start, pos - start - 8 * count, long_count, long_bytes, tuple(blocks), self._data
        )

    def _skip_at_the_edge(self, pos: int, count: int, what: str) -> tuple[int, int, int]:
        """`skip_strings` where the window has to grow on the way."""
        long_count = long_bytes = 0
        for _ in range(count):
            self._need(pos + 8, what)
            pos, more, more_bytes = skip_strings(self._data, pos, 1)
            self._need(pos, what)
            long_count += more
            long_bytes += more_bytes
        return pos, long_count, long_bytes

    def _alignment(self, metadata: dict[str, Value]) -> int:
        alignment = metadata.get("general.alignment", 32)
        power_of_two = type(alignment) is int and alignment > 0 and alignment & (alignment - 1) == 0
        if not isinstance(alignment, int) or not power_of_two or alignment > MAX_ALIGNMENT:
            shown = alignment if isinstance(alignment, int | float | str) else "an array"
            raise self._invalid(f"its alignment is {shown!r}, not a power of two up to {MAX_ALIGNMENT:,}")
        return alignment

    # Tensors

    def _tensor(self, i: int) -> tuple[str, tuple[int, ...], int, int]:
        """One entry of the tensor list: name, shape, type id, offset from the start of the data."""
        name = self._text(f"the name of tensor {i}", MAX_NAME_BYTES)
        if not name or "\0" in name:
            raise self._invalid(f"tensor {i} has no proper name")
        what = f"the entry of tensor {name!r}"
        n_dims = self._uint32(what)
        if not 1 <= n_dims <= 4:
            raise self._invalid(f"tensor {name!r} has {n_dims:,} dimensions; 1 to 4 are possible")
        self._need(self._pos + 8 * n_dims + 12, what)
        *shape, kind, offset = struct.unpack_from(f"<{n_dims}QIQ", self._data, self._pos)
        self._pos += 8 * n_dims + 12
        return name, tuple(shape), kind, offset

    def _lay_out(
        self, found: list[tuple[str, tuple[int, ...], int, int]], data_offset: int, alignment: int
    ) -> tuple[TensorInfo, ...]:
        """Exact bytes of every tensor; offsets must follow each other without gap, as ggml/src/gguf.cpp demands."""
        tensors, expected = [], 0
        for name, shape, kind, offset in found:
            n_bytes = self._tensor_bytes(name, shape, kind)
            if offset != expected:
                raise self._invalid(
                    f"tensor {name!r} starts at byte {offset:,} of the data instead of {expected:,}"
                )
            end = data_offset + offset + n_bytes
            if end > self._size:
                raise self._invalid(
                    f"tensor {name!r} reaches {end - self._size:,} bytes beyond the end of the file"
                )
            tensors.append(TensorInfo(name, shape, TENSOR_TYPES[kind].name, n_bytes, data_offset + offset))
            expected = offset + -(-n_bytes // alignment) * alignment
        return tuple(tensors)

    def _tensor_bytes(self, name: str, shape: tuple[int, ...], kind: int) -> int:
        if kind not in TENSOR_TYPES:
            raise self._invalid(f"tensor {name!r} has the unknown type {kind}")
        stored = TENSOR_TYPES[kind]
        rows = 1
        for n in shape[1:]:
            rows *= n
        if rows <= 0 or shape[0] <= 0 or rows * shape[0] >= 2**63:
            raise self._invalid(f"tensor {name!r} has the impossible shape {list(shape)}")
        if shape[0] % stored.block_size:
            raise self._invalid(
                f"tensor {name!r} has rows of {shape[0]:,} values, which {stored.name} cannot store "
                f"(blocks of {stored.block_size})"
            )
        return shape[0] // stored.block_size * stored.block_bytes * rows
