"""Seeded damage to GGUF headers, and harmless edits: what `fuzz_headers.py` and the tests feed the reader."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
STRING, ARRAY = 8, 9
NASTY = (0, 1, 2, 3, 7, 31, 32, 255, 256, 511, 512, 513, 65_535, 65_536, 2**31 - 1, 2**31, 2**32 - 1)
NASTY_64 = (*NASTY, 2**32, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
SHAPING = (  # keys that decide shapes; every other mutation of a value picks one of them
    *(
        "block_count",
        "embedding_length",
        "feed_forward_length",
        "attention.head_count",
        "attention.head_count_kv",
    ),
    *(
        "attention.key_length",
        "attention.value_length",
        "rope.dimension_count",
        "context_length",
        "vocab_size",
    ),
    *("attention.sliding_window", "rope.freq_base", "attention.layer_norm_rms_epsilon", "eos_token_id"),
    *("expert_count", "expert_used_count", "bos_token_id", "nextn_predict_layers", "general.alignment"),
)


@dataclass(frozen=True)
class Field:
    """One number of a header: what it is, where it lies and how wide it is."""

    kind: str
    offset: int
    width: int


@dataclass(frozen=True)
class Mutant:
    """A header, and the size of the file that it pretends to lead. The rest of that file is zeros.

    Attributes:
        what: how it was made.
        header: the first bytes of the file.
        size_bytes: of the whole file.
        data_offset: where its tensor data starts, if that is not where the original's does.
    """

    what: str
    header: bytes
    size_bytes: int
    data_offset: int

    def read(self, offset: int, length: int) -> bytes:
        """As `RangeReader` has it."""
        length = max(0, min(length, self.size_bytes - offset))
        part = self.header[offset : offset + length]
        return part + bytes(length - len(part))


@dataclass(frozen=True)
class Original:
    """A good file, taken apart.

    Attributes:
        pairs: encoded metadata pairs by key.
        tensors: (encoded name, encoded dimensions and type, bytes of data with padding) by position.
        fields: every length, count, type, dimension, offset and scalar of its header.
    """

    path: Path
    header: bytes
    size_bytes: int
    pairs: dict[str, bytes]
    tensors: tuple[tuple[bytes, bytes, int], ...]
    fields: tuple[Field, ...]
    strings: tuple[int, ...]

    @property
    def as_it_is(self) -> Mutant:
        """The header unchanged."""
        return Mutant("original", self.header, self.size_bytes, len(self.header))


def take_apart(path: Path) -> Original:
    """Walk a good file's header, without any of our own reader's code."""
    with path.open("rb") as file:
        data = file.read(16 * 2**20)
    fields = [Field("magic", 0, 4), Field("version", 4, 4), Field("count", 8, 8), Field("count", 16, 8)]
    strings: list[int] = []
    n_tensors, n_pairs = struct.unpack_from("<QQ", data, 8)
    pos, pairs = 24, {}
    for _ in range(n_pairs):
        start = pos
        key, pos = _string(data, pos, fields, "length")
        pos = _value(data, pos, key.decode(), fields, strings)
        pairs[key.decode()] = data[start:pos]
    infos = []
    for _ in range(n_tensors):
        start = pos
        _, pos = _string(data, pos, fields, "length")
        named = pos
        (n_dims,) = struct.unpack_from("<I", data, pos)
        fields.append(Field("n_dims", pos, 4))
        fields += [Field("dimension", pos + 4 + 8 * i, 8) for i in range(n_dims)]
        pos += 4 + 8 * n_dims
        fields += [Field("tensor type", pos, 4), Field("offset", pos + 4, 8)]
        infos.append((data[start:named], data[named : pos + 4], *struct.unpack_from("<Q", data, pos + 4)))
        pos += 12
    data_offset = -(-pos // 32) * 32
    size = path.stat().st_size
    ends = [*(info[2] for info in infos[1:]), size - data_offset]
    tensors = tuple((name, dims, end - at) for (name, dims, at), end in zip(infos, ends, strict=True))
    return Original(path, data[:data_offset], size, pairs, tensors, tuple(fields), tuple(strings))


def _string(data: bytes, pos: int, fields: list[Field], kind: str) -> tuple[bytes, int]:
    (length,) = struct.unpack_from("<Q", data, pos)
    fields.append(Field(kind, pos, 8))
    return data[pos + 8 : pos + 8 + length], pos + 8 + length


def _value(data: bytes, pos: int, key: str, fields: list[Field], strings: list[int]) -> int:
    (kind,) = struct.unpack_from("<I", data, pos)
    fields.append(Field("type", pos, 4))
    pos += 4
    if kind == STRING:
        return _string(data, pos, fields, "length")[1]
    if kind != ARRAY:
        fields.append(Field(f"value of {key}", pos, WIDTHS[kind]))
        return pos + WIDTHS[kind]
    element, count = struct.unpack_from("<IQ", data, pos)
    fields += [Field("type", pos, 4), Field("count", pos + 4, 8)]
    pos += 12
    if element != STRING:
        return pos + count * WIDTHS[element]
    for _ in range(count):
        strings.append(pos)
        pos += 8 + int.from_bytes(data[pos : pos + 8], "little")
    return pos


# Damage


def damage(original: Original, random: Random) -> Mutant:
    """One mutant: one to three numbers of the header changed, bits flipped, a piece removed, or the file cut."""
    ways: tuple[Callable[[Original, Random], Mutant], ...] = (
        *(_change_numbers,) * 5,
        *(_change_shaping,) * 3,
        *(_flip,) * 2,
        _cut,
        _change_string_length,
        _insert_pair,
        _remove_or_repeat,
    )
    return random.choice(ways)(original, random)


def _nasty(random: Random, width: int, old: int) -> int:
    limit = 256**width
    choices = (
        lambda: random.choice(NASTY_64) % limit,
        lambda: (old + random.choice((-1, 1, -32, 32, 256))) % limit,
        lambda: old ^ 1 << random.randrange(8 * width),
        lambda: random.randrange(limit),
        lambda: random.randrange(64) % limit,
        lambda: old * 2 % limit,
    )
    return random.choice(choices)()


def _with(original: Original, fields: list[Field], random: Random) -> Mutant:
    header, notes = bytearray(original.header), []
    for field in fields:
        old = int.from_bytes(header[field.offset : field.offset + field.width], "little")
        new = _nasty(random, field.width, old)
        header[field.offset : field.offset + field.width] = new.to_bytes(field.width, "little")
        notes.append(f"{field.kind} at {field.offset}: {old} → {new}")
    return replace(original.as_it_is, what="; ".join(notes), header=bytes(header))


def _change_numbers(original: Original, random: Random) -> Mutant:
    kind = random.choice(sorted({field.kind for field in original.fields}))
    of_kind = [field for field in original.fields if field.kind == kind]
    chosen = [random.choice(of_kind)]
    if random.random() < 0.2:
        chosen += random.choices(original.fields, k=2)
    return _with(original, chosen, random)


def _change_shaping(original: Original, random: Random) -> Mutant:
    shaping = [field for field in original.fields if field.kind.endswith(SHAPING)]
    return _with(original, [random.choice(shaping)], random)


def _change_string_length(original: Original, random: Random) -> Mutant:
    return _with(original, [Field("length in an array", random.choice(original.strings), 8)], random)


def _flip(original: Original, random: Random) -> Mutant:
    header = bytearray(original.header)
    places = [random.randrange(len(header)) for _ in range(random.choice((1, 1, 4, 64)))]
    for place in places:
        header[place] ^= 1 << random.randrange(8)
    return replace(original.as_it_is, what=f"bits flipped at {places[:4]}", header=bytes(header))


def _cut(original: Original, random: Random) -> Mutant:
    size = random.choice(
        (
            random.randrange(64),
            random.randrange(len(original.header)),
            random.randrange(original.size_bytes),
            original.size_bytes - 1,
        )
    )
    return replace(original.as_it_is, what=f"cut to {size}", size_bytes=size)


def _insert_pair(original: Original, random: Random) -> Mutant:
    architecture = "gemma3" if "gemma3.block_count" in original.pairs else "llama"
    shaping = [f"{architecture}.{name}" for name in SHAPING if not name.startswith(("eos", "bos", "general"))]
    key = random.choice(["general.alignment", "tokenizer.ggml.add_eos_token", "split.count", "a.b", *shaping])
    kind = random.choice((4, 4, 4, 5, 6, 7, 10, 0, 8, 9, 13, random.randrange(2**32)))
    value = random.choice(NASTY).to_bytes(8, "little")[: WIDTHS.get(kind, 8)]
    pairs = original.pairs | {key: _encode(key) + struct.pack("<I", kind) + value}
    return build(original, f"{key} inserted as type {kind}: {value.hex()}", pairs=pairs)


def _remove_or_repeat(original: Original, random: Random) -> Mutant:
    pairs, tensors = dict(original.pairs), list(original.tensors)
    victim = random.choice(sorted(pairs))
    i = random.randrange(len(tensors))
    way = random.randrange(4)
    if way == 0:
        del pairs[victim]
        return build(original, f"{victim} removed", pairs=pairs)
    if way == 1:
        pairs["again"] = pairs[victim]
        return build(original, f"{victim} repeated", pairs=pairs)
    if way == 2:
        del tensors[i]
        return build(original, f"tensor {i} removed", tensors=tuple(tensors))
    tensors[i] = (tensors[random.randrange(len(tensors))][0], *tensors[i][1:])
    return build(original, f"tensor {i} renamed to another's name", tensors=tuple(tensors))


# Harmless edits


def edit(original: Original, random: Random) -> Mutant:
    """One change that leaves the model as good as it was."""
    way = random.choice((_rename, _add_keys, _reorder, _realign, _drop_optional, _reorder_tensors))
    return way(original, random)


def _rename(original: Original, random: Random) -> Mutant:
    key = "general.name"
    length = len(original.pairs[key]) - len(_encode(key)) - 12
    name = "".join(random.choice("abcdefghijklmnopqrstuvwxyz -0123456789") for _ in range(length))
    pairs = original.pairs | {key: _encode(key) + struct.pack("<I", STRING) + _encode(name)}
    return build(original, f"renamed {name!r}", pairs=pairs)


def _add_keys(original: Original, random: Random) -> Mutant:
    pairs = dict(original.pairs)
    for i in range(random.randrange(1, 6)):
        key = f"made.up.{random.randrange(10**6)}.{i}"
        kind = random.choice(sorted(WIDTHS))
        numbers = struct.pack("<IIQ", ARRAY, kind, 5) + random.randbytes(5 * WIDTHS[kind])
        words = struct.pack("<IIQ", ARRAY, STRING, 2) + _encode("one") + _encode("")
        scalar = struct.pack("<I", kind) + random.randbytes(WIDTHS[kind])
        pairs[key] = _encode(key) + random.choice(
            (numbers, words, scalar, struct.pack("<I", 8) + _encode("é"))
        )
    return build(original, f"{len(pairs) - len(original.pairs)} keys added", pairs=pairs)


def _reorder(original: Original, random: Random) -> Mutant:
    keys = sorted(original.pairs)
    random.shuffle(keys)
    return build(original, "keys reordered", pairs={key: original.pairs[key] for key in keys})


def _realign(original: Original, random: Random) -> Mutant:
    alignment = random.choice((32, 64, 128, 256, 1024, 4096))
    key = "general.alignment"
    pairs = original.pairs | {key: _encode(key) + struct.pack("<II", 4, alignment)}
    return build(original, f"aligned to {alignment}", pairs=pairs, alignment=alignment)


def _drop_optional(original: Original, random: Random) -> Mutant:
    optional = [key for key in original.pairs if key.startswith("general.") and key != "general.architecture"]
    dropped = random.choice(optional)
    pairs = {key: pair for key, pair in original.pairs.items() if key != dropped}
    return build(original, f"{dropped} dropped", pairs=pairs)


def _reorder_tensors(original: Original, random: Random) -> Mutant:
    tensors = list(original.tensors)
    random.shuffle(tensors)
    return build(original, "tensors reordered", tensors=tuple(tensors))


def _encode(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def build(
    original: Original,
    what: str,
    *,
    pairs: dict[str, bytes] | None = None,
    tensors: tuple[tuple[bytes, bytes, int], ...] | None = None,
    alignment: int = 32,
) -> Mutant:
    """Put a header together again from pairs and tensors; offsets follow from the tensors' bytes."""
    pairs = original.pairs if pairs is None else pairs
    tensors = original.tensors if tensors is None else tensors
    parts = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(pairs)), *pairs.values()]
    at = 0
    for name, dims, n_bytes in tensors:
        parts += [name, dims, struct.pack("<Q", at)]
        at += -(-n_bytes // alignment) * alignment
    header = b"".join(parts)
    header += bytes(-len(header) % alignment)
    return Mutant(what, header, len(header) + at, len(header))
