"""Reads a safetensors header: every tensor's type, shape and place, each checked against the file's size.

The format (huggingface/safetensors, README "Format"): 8 bytes, the header's length as a little-endian integer; the
header, a JSON object of tensors by name and optionally `__metadata__`; the data. Offsets count from the data's start
and cover it without gap or overlap. What the format's own reader refuses is refused here, too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from shoestring.errors import InvalidModelFileError
from shoestring.models.facts import TensorInfo
from shoestring.models.ranges import RangeReader

_TYPES_BY_BITS = {
    4: ("F4",),
    6: ("F6_E2M3", "F6_E3M2"),
    8: ("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"),
    16: ("I16", "U16", "F16", "BF16"),
    32: ("I32", "U32", "F32"),
    64: ("I64", "U64", "F64", "C64"),
}
DTYPE_BITS: Mapping[str, int] = {dtype: bits for bits, dtypes in _TYPES_BY_BITS.items() for dtype in dtypes}
"""Bits of one value (safetensors, `tensor.rs`, `Dtype::bitsize`)."""
MAX_HEADER_BYTES = 64 * 2**20
"""The format allows 100 MB. An entry takes some 150 bytes: the largest mixtures in use, quantised and in one file
(75,000 experts' matrices with three tensors each), need 35 MB; parsing more would only fill memory."""
MAX_NAME_LENGTH = 512
MAX_DIMENSIONS = 16
MAX_SIZE = 2**63 - 1

FIRST_READ = 64 * 1024
"""Bytes of the first range: a header of some 500 tensors."""
_DAMAGED = "Download it again: the copy is damaged or incomplete."


class _Entry(msgspec.Struct):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


@dataclass(frozen=True)
class SafetensorsHeader:
    """One file's header.

    Attributes:
        name: what messages call the file.
        metadata: the text that its writer left.
        tensors: in the data's order; offsets are from the beginning of the file.
        size_bytes: of the whole file.
    """

    name: str
    metadata: dict[str, str] = field(repr=False)
    tensors: tuple[TensorInfo, ...] = field(repr=False)
    size_bytes: int


def read_header(file: RangeReader, *, name: str, part: int = 0) -> SafetensorsHeader:
    """Read and check one file's header, in one range, two where it is long. Nothing behind it is read.

    Args:
        name: what messages call the file.
        part: the file's index among a model's.

    Raises:
        InvalidModelFileError: the file is not well-formed.
    """
    text = _header_text(file, name)
    metadata, entries = _parse(text, name)
    start = 8 + len(text)
    infos = [_info(key, entry, name, start, part) for key, entry in entries.items()]
    infos.sort(key=lambda info: (info.offset_bytes, info.n_bytes))
    _check_coverage(infos, start, file.size_bytes, name)
    return SafetensorsHeader(name, metadata, tuple(infos), file.size_bytes)


def _header_text(file: RangeReader, name: str) -> bytes:
    size = file.size_bytes
    first = file.read(0, min(FIRST_READ, size))
    _refuse_other_formats(first, size, name)
    length = int.from_bytes(first[:8], "little")
    if length > MAX_HEADER_BYTES or 8 + length > size:
        if length > 100_000_000 or first[8:9] != b"{":
            raise InvalidModelFileError(f"{name} is not a safetensors file.", _DAMAGED)
        why = "the file ends sooner" if 8 + length > size else f"none is read beyond {MAX_HEADER_BYTES:,}"
        raise InvalidModelFileError(f"{name} states a header of {length:,} bytes; {why}.", _DAMAGED)
    text = first[8 : 8 + length]
    if len(text) < length:
        text += file.read(8 + len(text), length - len(text))
    if len(text) < length:
        raise InvalidModelFileError(f"{name} ended while its header was read.", _DAMAGED)
    if not text.startswith(b"{"):
        raise InvalidModelFileError(f"{name} is not a safetensors file: its header is no object.", _DAMAGED)
    return text


def _refuse_other_formats(first: bytes, size: int, name: str) -> None:
    if size == 0:
        raise InvalidModelFileError(f"{name} is empty.", _DAMAGED)
    head = first[:64].lstrip().lower()
    if head.startswith(b"version https://git-lfs"):
        raise InvalidModelFileError(
            f"{name} is a Git LFS pointer: it stands for the weights without holding them.",
            "Fetch the real file, with git lfs pull or from the model's page.",
        )
    if head.startswith((b"<!doctype html", b"<html", b"<?xml")):
        raise InvalidModelFileError(f"{name} is a web page, not a model.", _DAMAGED)
    if head.startswith(b"gguf"):
        raise InvalidModelFileError(f"{name} is a GGUF file, not safetensors.", "Give its own path instead.")
    if first.startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x04")):
        raise InvalidModelFileError(
            f"{name} holds pickled weights, which can run any code when they are opened.",
            "Look for a safetensors file of the model.",
        )
    if size < 8:
        raise InvalidModelFileError(f"{name} is cut off after {size} bytes.", _DAMAGED)


def _parse(text: bytes, name: str) -> tuple[dict[str, str], dict[str, _Entry]]:
    try:
        text.decode()
        raw = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        metadata = msgspec.json.decode(
            raw.pop("__metadata__", msgspec.Raw(b"{}")), type=dict[str, str] | None
        )
        if any(b"-" in bytes(value) for value in raw.values()):  # -0 would pass for 0
            raise ValueError("a negative number")
        entries = {key: msgspec.json.decode(value, type=_Entry) for key, value in raw.items()}
        if _may_repeat(text, len(entries)):
            json.loads(text, object_pairs_hook=_without_repetition)
    except (UnicodeDecodeError, msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InvalidModelFileError(f"The header of {name} is malformed: {error}.", _DAMAGED) from error
    return metadata or {}, entries


def _may_repeat(text: bytes, n_entries: int) -> bool:
    """Whether a key may stand twice, which a decoder into mappings would pass over: a cheap test that is never
    wrongly negative (a key written with escapes needs a backslash)."""
    if b"\\" in text or text.count(b'"__metadata__"') > 1:
        return True
    return any(text.count(key) != n_entries for key in (b'"dtype"', b'"shape"', b'"data_offsets"'))


def _without_repetition(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _info(key: str, entry: _Entry, name: str, data_start: int, part: int) -> TensorInfo:
    bits = DTYPE_BITS.get(entry.dtype)
    if bits is None:
        raise InvalidModelFileError(
            f"{name}: {key[:80]} has the unknown type {entry.dtype[:20]!r}.",
            "Update Shoestring, or its copy.",
        )
    if not 0 < len(key) <= MAX_NAME_LENGTH or len(entry.shape) > MAX_DIMENSIONS:
        raise InvalidModelFileError(
            f"{name}: the tensor {key[:80]!r} has no plausible name or shape.", _DAMAGED
        )
    elements = 1
    for n in entry.shape:
        elements *= n
        if not 0 <= n <= MAX_SIZE or elements > MAX_SIZE:
            raise InvalidModelFileError(f"{name}: the shape of {key[:80]} is impossible.", _DAMAGED)
    start, end = entry.data_offsets
    if not 0 <= start <= end <= MAX_SIZE:
        raise InvalidModelFileError(f"{name}: {key[:80]} ends before it starts.", _DAMAGED)
    if elements * bits % 8 or end - start != elements * bits // 8:
        raise InvalidModelFileError(
            f"{name}: {key[:80]} has {end - start:,} bytes of data, which its shape and type contradict.",
            _DAMAGED,
        )
    return TensorInfo(key, tuple(entry.shape), entry.dtype, end - start, data_start + start, part)


def _check_coverage(infos: list[TensorInfo], start: int, size: int, name: str) -> None:
    at = start
    for info in infos:
        if info.offset_bytes != at:
            what = "leaves a gap before" if info.offset_bytes > at else "lets another tensor overlap"
            raise InvalidModelFileError(f"{name} {what} {info.name[:80]}.", _DAMAGED)
        at += info.n_bytes
    if at != size:
        state = "is cut off" if size < at else "is longer than its header says"
        raise InvalidModelFileError(f"{name} {state}: {size:,} bytes, {at:,} by its header.", _DAMAGED)
