"""Headers are read exactly, and malformed ones are refused with one sentence."""

from __future__ import annotations

import struct
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_gguf import LLAMA, Tiny, string, value

from shoestring.errors import InvalidModelFileError
from shoestring.models.gguf.arrays import NumberArray, StringArray
from shoestring.models.gguf.reader import MAX_HEADER_BYTES, read_header
from shoestring.models.ranges import BytesRange


def read(data: bytes):
    return read_header(BytesRange(data), name="tiny.gguf")


def refused(data: bytes) -> str:
    with pytest.raises(InvalidModelFileError) as caught:
        read(data)
    assert caught.value.message.startswith("tiny.gguf is ")
    assert caught.value.hint
    return caught.value.message


def test_metadata_is_typed() -> None:
    metadata = read(Tiny().encode()).metadata
    assert metadata["general.name"] == "Tiny"
    assert metadata["llama.block_count"] == 2
    assert metadata["tokenizer.ggml.add_bos_token"] is True
    assert metadata["llama.attention.layer_norm_rms_epsilon"] == pytest.approx(1e-5)


def test_arrays_know_their_place_and_give_their_values_when_asked() -> None:
    data = Tiny().encode()
    metadata = read(data).metadata
    tokens, types = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    assert isinstance(tokens, StringArray)
    assert isinstance(types, NumberArray)
    assert [text.decode() for text in tokens] == LLAMA["tokenizer.ggml.tokens"][1]
    assert types.values() == LLAMA["tokenizer.ggml.token_type"][1]
    assert struct.unpack_from("<i", data, types.offset_bytes) == (3,)


def test_tensors_have_exact_bytes_and_absolute_offsets() -> None:
    header = read(Tiny().encode())
    embedding, norm = header.tensors[0], header.tensors[1]
    assert (embedding.name, embedding.shape, embedding.dtype) == ("token_embd.weight", (64, 8), "Q8_0")
    assert embedding.n_bytes == 64 // 32 * 34 * 8
    assert embedding.offset_bytes == header.data_offset_bytes
    assert norm.offset_bytes == header.data_offset_bytes + embedding.n_bytes


def test_version_2_has_the_same_layout() -> None:
    assert read(Tiny(version=2).encode()).tensors == read(Tiny().encode()).tensors


def test_an_alignment_of_its_own_moves_the_data() -> None:
    pairs = LLAMA | {"general.alignment": ("u32", 256)}
    header = read(Tiny(pairs=pairs, alignment=256).encode())
    assert header.alignment == 256
    assert {tensor.offset_bytes % 256 for tensor in header.tensors} == {0}


def test_a_real_writer_s_file_reads_as_its_own_reader_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "written.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_array("some.numbers", [1, 2, 3])
    writer.add_tensor("a", np.zeros((3, 32), np.float32))
    writer.add_tensor("b", np.zeros((5, 64), np.float32), raw_dtype=None)
    quantised = gguf.quants.quantize(np.ones((4, 64), np.float32), gguf.GGMLQuantizationType.Q5_1)
    writer.add_tensor("c", quantised, raw_dtype=gguf.GGMLQuantizationType.Q5_1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    theirs = [
        (t.name, tuple(int(n) for n in t.shape), t.tensor_type.name, t.n_bytes, t.data_offset)
        for t in gguf.GGUFReader(path).tensors
    ]
    ours = [(t.name, t.shape, t.dtype, t.n_bytes, t.offset_bytes) for t in read_header(path).tensors]
    assert ours == theirs


@given(st.lists(st.text(max_size=40), max_size=600))
def test_string_arrays_are_walked_exactly(texts: list[str]) -> None:
    pairs = {"general.architecture": ("str", "x"), "words": ("[str]", texts)}
    words = read(Tiny(pairs=pairs, tensors={}).encode()).metadata["words"]
    stored = [text.encode() for text in texts]
    long = [text for text in stored if len(text) > 15]
    assert isinstance(words, StringArray)
    assert (words.count, words.n_bytes) == (len(stored), sum(map(len, stored)))
    assert (words.long_count, words.long_bytes) == (len(long), sum(map(len, long)))
    assert words.at(range(0, len(stored), 7)) == {i: stored[i] for i in range(0, len(stored), 7)}
    assert words.count_distinct() == len(set(stored))


class Remote:
    """A reader that counts its requests."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.requests: list[tuple[int, int]] = []

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    def read(self, offset: int, length: int) -> bytes:
        self.requests.append((offset, length))
        return self.data[offset : offset + length]


def test_a_long_header_takes_few_requests_and_no_tensor_data() -> None:
    texts = [f"token {i:06}" for i in range(150_000)]
    data = Tiny(pairs={"general.architecture": ("str", "x"), "words": ("[str]", texts)}, tensors={}).encode()
    remote = Remote(data + bytes(20 * 2**20))
    read_header(remote)
    assert len(remote.requests) <= 4
    assert sum(length for _, length in remote.requests) <= 2 * len(data) + 512 * 1024


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"hello, I am a text\nof two lines\n", "is a text file"),
        ("ein Text mit Umläuten: äöü".encode(), "is a text file"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "is a Git LFS pointer"),
        (b"PK\x03\x04" + bytes(60), "PyTorch checkpoint or a zip"),
        (struct.pack("<Q", 40) + b'{"a":{"dtype":"F32"' + bytes(40), "is a safetensors file"),
        (b"\x00\xff\x13\x37" * 20, "does not begin with 'GGUF'"),
        (b"GGUF\x03\x00", "cut off after 6 bytes"),
        (b"GGUF" + struct.pack(">I", 3) + bytes(40), "big-endian"),
        (b"GGUF" + struct.pack("<I", 1) + bytes(40), "of version 1;"),
        (b"GGUF" + struct.pack("<I", 99) + bytes(40), "of version 99;"),
    ],
)
def test_what_is_no_gguf_is_named(content: bytes, says: str) -> None:
    assert says in refused(content)


@pytest.mark.parametrize(
    ("tiny", "says"),
    [
        (Tiny(n_tensors=2**63), "tensor count"),
        (Tiny(n_tensors=65_536), "tensor count"),
        (Tiny(n_pairs=2**64 - 1), "metadata count"),
        (Tiny(n_pairs=40), "metadata key"),
        (Tiny(pairs=LLAMA | {"": ("u32", 1)}), "is empty"),
        (Tiny(pairs=LLAMA | {"k": ("raw", struct.pack("<I", 13))}), "unknown type 13"),
        (Tiny(pairs=LLAMA | {"k": ("raw", struct.pack("<IIQ", 9, 9, 1))}), "type 9, which cannot be"),
        (
            Tiny(pairs=LLAMA | {"k": ("raw", struct.pack("<IIQ", 9, 4, 2**62))}),
            "in the middle of the array 'k'",
        ),
        (
            Tiny(pairs=LLAMA | {"k": ("raw", struct.pack("<IIQ", 9, 8, 2**62))}),
            "in the middle of the array 'k'",
        ),
        (Tiny(pairs=LLAMA | {"k": ("raw", struct.pack("<IIQQ", 9, 8, 1, 2**64 - 1))}), "array 'k'"),
        (
            Tiny(pairs=LLAMA | {"k": ("raw", struct.pack("<IQ", 8, 2**40))}),
            "value of 'k' is 1,099,511,627,776 bytes",
        ),
        (Tiny(pairs=LLAMA | {"tokenizer.x": ("str", b"\xff")}), "not UTF-8"),
        (Tiny(pairs=LLAMA | {"general.alignment": ("u32", 48)}), "not a power of two"),
        (Tiny(pairs=LLAMA | {"general.alignment": ("u32", 0)}), "not a power of two"),
        (Tiny(pairs=LLAMA | {"general.alignment": ("bool", True)}), "not a power of two"),
        (Tiny(tensors={"a": ((), 0)}), "0 dimensions"),
        (Tiny(tensors={"a": ((1, 1, 1, 1, 1), 0)}), "5 dimensions"),
        (Tiny(tensors={"a": ((4, 0), 0)}), "impossible shape"),
        (Tiny(tensors={"a": ((2**32, 2**32), 0)}), "impossible shape"),
        (Tiny(tensors={"a": ((2**63,), 0)}), "impossible shape"),
        (Tiny(tensors={"a": ((33,), 2)}), "rows of 33 values, which Q4_0 cannot store"),
        (Tiny(tensors={"a": ((32,), 4)}), "unknown type 4"),
        (Tiny(tensors={"a" * 64: ((32,), 0)}), "64 bytes long"),
        (Tiny(tensors={"": ((32,), 0)}), "no proper name"),
        (
            Tiny(tensors={"a": ((32,), 0), "b": ((32,), 0)}, offsets={"b": 64}),
            "starts at byte 64 of the data instead of 128",
        ),
        (Tiny(tensors={"a": ((10**9,), 0)}), "of the file"),
    ],
)
def test_every_malformed_header_is_refused_with_what_is_wrong(tiny: Tiny, says: str) -> None:
    assert says in refused(tiny.encode())


def test_a_key_that_occurs_twice_is_refused() -> None:
    data = Tiny(pairs={"k": ("u32", 1)}, tensors={}).encode()
    twice = data[:24] + (string("k") + value("u32", 1)) * 2
    assert "occurs twice" in refused(twice[:16] + struct.pack("<Q", 2) + twice[24:])


def test_two_tensors_of_one_name_are_refused() -> None:
    data = bytearray(Tiny(tensors={"a": ((32,), 0), "b": ((32,), 0)}).encode())
    at = data.rindex(string("b"))
    data[at : at + 9] = string("a")
    assert "same name" in refused(bytes(data))


def test_a_header_cut_anywhere_is_refused() -> None:
    data = Tiny().encode()
    end = read(data).data_offset_bytes
    for length in range(0, end, 13):
        refused(data[:length])


class Endless:
    """A huge file that goes on as its first bytes began, with zeros."""

    size_bytes = 2**40

    def __init__(self, start: bytes) -> None:
        self.start = start

    def read(self, offset: int, length: int) -> bytes:
        part = self.start[offset : offset + length]
        return part + bytes(length - len(part))


def test_a_header_that_never_ends_is_given_up() -> None:
    start = Tiny(pairs={"k": ("raw", struct.pack("<IIQ", 9, 8, 2**30))}, tensors={}).encode()[:50]
    with pytest.raises(InvalidModelFileError, match=f"over {MAX_HEADER_BYTES // 10**6} MB"):
        read_header(Endless(start))
