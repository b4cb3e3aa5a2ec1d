"""Safetensors headers and their index: read exactly, in few ranges, and refused wherever the format's own reader does."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import safetensors
from header_checkpoint import header, write_tensors
from hypothesis import given
from hypothesis import strategies as st

from shoestring.errors import InvalidModelFileError, ModelNotFoundError
from shoestring.models.facts import TensorInfo
from shoestring.models.ranges import BytesRange
from shoestring.models.safetensors.header import (
    DTYPE_BITS,
    MAX_HEADER_BYTES,
    SafetensorsHeader,
    read_header,
)
from shoestring.models.safetensors.index import INDEX, check_agreement, checkpoint_files
from shoestring.models.source import FolderSource

TWO = {"b": ("F32", (2, 3)), "a": ("BF16", (4,))}


def encode(tensors: Any = TWO, *, metadata: Any = None, data: int | None = None) -> bytes:
    """A file of entries as given: (dtype, shape) laid out in order, or whatever JSON a test wants."""
    entries: dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
    at = 0
    for name, entry in tensors.items():
        if isinstance(entry, dict):
            entries[name] = entry
            continue
        dtype, shape = entry
        size = math.prod(shape) * DTYPE_BITS[dtype] // 8
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    return raw(json.dumps(entries).encode(), at if data is None else data)


def raw(text: bytes, data: int = 0) -> bytes:
    return len(text).to_bytes(8, "little") + text + bytes(data)


def read(file: bytes) -> SafetensorsHeader:
    return read_header(BytesRange(file), name="model.safetensors")


def test_tensors_are_read_in_the_order_of_their_data_with_offsets_from_the_files_start() -> None:
    file = encode()
    start = len(file) - 32
    assert read(file).tensors == (
        TensorInfo("b", (2, 3), "F32", 24, start),
        TensorInfo("a", (4,), "BF16", 8, start + 24),
    )


def test_scalars_and_empty_tensors_are_tensors() -> None:
    tensors = read(encode({"scalar": ("F32", ()), "none": ("F32", (0, 4))})).tensors
    assert {tensor.name: tensor.n_bytes for tensor in tensors} == {"scalar": 4, "none": 0}


def test_metadata_is_kept() -> None:
    assert read(encode(metadata={"format": "pt"})).metadata == {"format": "pt"}


class Counting(BytesRange):
    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.reads: list[tuple[int, int]] = []

    def read(self, offset: int, length: int) -> bytes:
        self.reads.append((offset, length))
        return super().read(offset, length)


def test_a_short_header_takes_one_range_and_a_long_one_two() -> None:
    short = Counting(encode())
    read_header(short, name="short")
    assert len(short.reads) == 1
    start, _ = header({f"model.layers.{i}.weight": ("U8", (1,)) for i in range(2000)})
    long = Counting(start + bytes(2000))
    read_header(long, name="long")
    assert len(long.reads) == 2
    assert sum(length for _, length in long.reads) <= max(len(start), 65536)


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}

REFUSED = {
    "empty": b"",
    "seven bytes": b"1234567",
    "not JSON": raw(b"{nonsense"),
    "an array": raw(b"[]"),
    "not UTF-8": raw(b'{"a\xff":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1),
    "text behind": raw(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}x', 1),
    "zeros behind": raw(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}\0\0', 1),
    "header beyond the file": (100).to_bytes(8, "little") + b"{}",
    "an absurd header": (2**63).to_bytes(8, "little") + b"{}",
    "unknown dtype": encode({"a": {**ENTRY, "dtype": "F7"}}, data=8),
    "dtype of another type": encode({"a": {**ENTRY, "dtype": 3}}, data=8),
    "negative dimension": encode({"a": {**ENTRY, "shape": [-2]}}, data=8),
    "fractional dimension": encode({"a": {**ENTRY, "shape": [2.0]}}, data=8),
    "true as dimension": encode({"a": {**ENTRY, "shape": [True, 2]}}, data=8),
    "minus zero": raw(b'{"a":{"dtype":"U8","shape":[-0],"data_offsets":[0,0]}}'),
    "huge dimension of nothing": encode(
        {"a": {**ENTRY, "shape": [0, 2**64], "data_offsets": [0, 0]}}, data=0
    ),
    "huge dimension": encode({"a": {**ENTRY, "shape": [2**70]}}, data=8),
    "overflowing product": encode({"a": {**ENTRY, "shape": [2**40, 2**40]}}, data=8),
    "size that the shape contradicts": encode({"a": {**ENTRY, "data_offsets": [0, 4]}}, data=4),
    "end before start": encode({"a": {**ENTRY, "data_offsets": [8, 0]}}, data=8),
    "three offsets": encode({"a": {**ENTRY, "data_offsets": [0, 8, 9]}}, data=8),
    "half a byte": encode({"a": {"dtype": "F4", "shape": [3], "data_offsets": [0, 2]}}, data=2),
    "gap": encode({"a": ENTRY, "b": {**ENTRY, "data_offsets": [12, 20]}}, data=20),
    "overlap": encode({"a": ENTRY, "b": {**ENTRY, "data_offsets": [4, 12]}}, data=12),
    "one place twice": encode({"a": ENTRY, "b": ENTRY}, data=8),
    "cut off": encode(data=31),
    "bytes behind": encode(data=33),
    "no shape": encode({"a": {"dtype": "F32", "data_offsets": [0, 8]}}, data=8),
    "no entry": raw(b'{"a": 1}'),
    "metadata that is no text": encode(metadata={"format": 1}),
    "metadata that is no object": encode(metadata=[]),
    "a field twice": raw(b'{"a":{"dtype":"F32","dtype":"U8","shape":[2],"data_offsets":[0,2]}}', 2),
    "a field twice, once written with an escape": raw(
        b'{"a":{"dtype":"F32","dt\\u0079pe":"U8","shape":[2],"data_offsets":[0,2]}}', 2
    ),
    "metadata twice": raw(b'{"__metadata__":{},"__metadata__":{}}'),
    "deep nesting": raw(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
}


@pytest.mark.parametrize("what", sorted(REFUSED))
def test_a_file_that_the_formats_own_reader_refuses_is_refused(what: str) -> None:
    with pytest.raises(safetensors.SafetensorError):
        safetensors.deserialize(REFUSED[what])
    with pytest.raises(InvalidModelFileError) as caught:
        read(REFUSED[what])
    assert caught.value.hint


def test_a_header_starts_with_a_brace_as_the_format_demands_though_its_reader_is_lenient() -> None:
    with pytest.raises(InvalidModelFileError, match="no object"):
        read(raw(b' {"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1))


def test_a_tensor_twice_is_refused_where_the_formats_own_reader_takes_the_last() -> None:
    entry = b'"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}'
    with pytest.raises(InvalidModelFileError, match="twice"):
        read(raw(b"{" + entry + b"," + entry + b"}", 1))


def test_a_header_beyond_the_limit_is_refused_before_it_is_read() -> None:
    class Huge(Counting):
        size_bytes = MAX_HEADER_BYTES * 2

    file = Huge((MAX_HEADER_BYTES + 1).to_bytes(8, "little") + b"{" + bytes(64))
    with pytest.raises(InvalidModelFileError, match="states a header"):
        read_header(file, name="huge")
    assert len(file.reads) == 1


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (b"GGUF\3\0\0\0aaaaaaaa", "GGUF"),
        (b"PK\x03\x04aaaaaaaaaaaa", "any code"),
        (b"\x80\x02}q\x00aaaaaaaaaaa", "any code"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1", "LFS pointer"),
    ],
)
def test_another_kind_of_file_is_named(start: bytes, what: str) -> None:
    with pytest.raises(InvalidModelFileError, match=what):
        read(start)


def test_every_dtype_of_the_format_is_known() -> None:
    for dtype, bits in DTYPE_BITS.items():
        file = encode({"a": {"dtype": dtype, "shape": [8], "data_offsets": [0, bits]}}, data=bits)
        assert safetensors.deserialize(file)
        assert read(file).tensors[0].n_bytes == bits


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(
    lambda n: n != "__metadata__"
)
tensors = st.dictionaries(
    names,
    st.tuples(
        st.sampled_from(["F32", "BF16", "U8", "I64"]), st.lists(st.integers(0, 5), max_size=4).map(tuple)
    ),
)


@given(tensors, st.dictionaries(names, st.text(st.characters(exclude_categories=["Cs"]))))
def test_whatever_is_written_well_is_read_as_the_formats_own_reader_does(
    entries: dict[str, tuple[str, tuple[int, ...]]], metadata: dict[str, str]
) -> None:
    file = encode(entries, metadata=metadata)
    theirs = {name: (t["dtype"], tuple(t["shape"])) for name, t in safetensors.deserialize(file)}
    assert {t.name: (t.dtype, t.shape) for t in read(file).tensors} == theirs == entries


# The index


SHARDS = {f"w{i}": ("F32", (4,)) for i in range(6)}


def folder_of(path: Path, **weight_map: str) -> FolderSource:
    """Two shards and an index, changed as a test wants it."""
    write_tensors(path, {}, SHARDS, shards=2)  # type: ignore[arg-type]
    index = json.loads((path / INDEX).read_text())
    index["weight_map"].update(weight_map)
    (path / INDEX).write_text(json.dumps(index))
    return FolderSource(path)


def headers_of(source: FolderSource) -> list[SafetensorsHeader]:
    headers = []
    for part, name in enumerate(checkpoint_files(source)[0]):
        with source.open(name) as file:
            headers.append(read_header(file, name=name, part=part))
    return headers


def test_shards_come_in_order_with_their_part(tmp_path: Path) -> None:
    source = folder_of(tmp_path)
    assert checkpoint_files(source)[0] == (
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    )
    assert {tensor.part for header in headers_of(source) for tensor in header.tensors} == {0, 1}


def test_one_file_is_preferred_to_an_index_as_the_library_does(tmp_path: Path) -> None:
    folder_of(tmp_path)
    (tmp_path / "model.safetensors").touch()
    assert checkpoint_files(FolderSource(tmp_path)) == (("model.safetensors",), {})


def test_a_tensor_that_is_not_where_the_index_says_is_refused(tmp_path: Path) -> None:
    source = folder_of(tmp_path, w0="model-00002-of-00002.safetensors")
    with pytest.raises(InvalidModelFileError, match="w0"):
        check_agreement(checkpoint_files(source)[1], headers_of(source))


def test_a_tensor_in_two_shards_is_refused(tmp_path: Path) -> None:
    source = folder_of(tmp_path)
    first, _ = headers_of(source)
    with pytest.raises(InvalidModelFileError, match="stored twice"):
        check_agreement({}, [first, first])


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    source = folder_of(tmp_path, w9="model-00003-of-00003.safetensors")
    with pytest.raises(ModelNotFoundError, match="model-00003-of-00003"):
        checkpoint_files(source)


@pytest.mark.parametrize(
    "name", ["../secret.safetensors", "/etc/a.safetensors", "a/b.safetensors", "weights.bin", ""]
)
def test_a_shard_that_is_not_a_plain_file_beside_the_index_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidModelFileError, match="not a safetensors file beside it"):
        checkpoint_files(folder_of(tmp_path, w0=name))


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"weight_map": []}', '{"weight_map": {}}', '{"weight_map": {"a": 1}}']
)
def test_a_malformed_index_is_refused(text: str, tmp_path: Path) -> None:
    source = folder_of(tmp_path)
    (tmp_path / INDEX).write_text(text)
    with pytest.raises(InvalidModelFileError):
        checkpoint_files(source)
