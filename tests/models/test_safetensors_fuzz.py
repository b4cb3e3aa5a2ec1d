"""Hostile checkpoints: whatever is done to config, header, index or tokenizer, the errors are ours, and what the
format's own reader refuses is refused here."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from random import Random
from typing import Any

import pytest
import safetensors
from header_checkpoint import FAMILIES, config_of, meta_model, saved_tensors
from header_checkpoint import header as encode_header
from header_quantized import quantize
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_checkpoints import TINY

from shoestring.errors import InvalidModelFileError, ModelError, ModelNotFoundError, UsageError
from shoestring.models.facts import ModelFacts
from shoestring.models.ranges import BytesRange, RangeReader
from shoestring.models.safetensors.header import read_header
from shoestring.models.safetensors_facts import read_checkpoint
from shoestring.models.source import read_parts

pytest.importorskip("transformers")

NASTY = [
    *(None, True, False, 0, 1, -1, 2, 3, 7, 2**31, 2**63, 2**64, -(2**63), 10**40, 0.5, -0.0, 1e300, 1e400),
    *("", "x", "full_attention", "sliding_attention", "\x00", "😀" * 50, "../..", "NaN"),
    *([], [0], [-1], [1, 2], ["x"], [None], [[]], {}, {"a": 1}, {"weights": {"num_bits": 0}}),
]


class Files:
    """A checkpoint in memory."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._files))

    def open(self, name: str) -> AbstractContextManager[RangeReader]:
        if name not in self._files:
            raise ModelNotFoundError(f"There is no {name}.")
        return nullcontext(BytesRange(self._files[name]))

    def path(self, name: str) -> Path | None:
        return None

    def ahead(self, lengths: Mapping[str, int]) -> None:
        pass

    def parts(self, name: str, lengths: Mapping[int, int]) -> dict[int, bytes]:
        with self.open(name) as file:
            return read_parts(file, lengths)


def read(files: Mapping[str, bytes]) -> ModelFacts | None:
    """The facts, or None where they are refused with an error of ours that helps."""
    refusal: ModelError | UsageError | None = None
    try:
        facts = read_checkpoint(Files(files), id="fuzzed")
    except (InvalidModelFileError, ModelNotFoundError, UsageError) as error:
        refusal = error
    if refusal is not None:
        assert len(refusal.message) < 1000
        assert refusal.hint
        return None
    assert facts.parameters.total >= facts.parameters.active >= 0
    assert sum(facts.parameters.by_component.values()) == facts.parameters.total
    return facts


def file_of(tensors: Any) -> bytes:
    start, data_bytes = encode_header(tensors)
    return start + bytes(data_bytes)


def tiny(variety: str, method: str | None = None) -> tuple[dict[str, Any], bytes]:
    model = meta_model(TINY[variety]())
    config, tensors = config_of(model), saved_tensors(model)
    if method:
        tensors, config["quantization_config"] = quantize(tensors, method)
    return config, file_of(tensors)


VARIETIES = [
    "llama",
    "gemma3",
    "qwen3_next",
    "jamba",
    "deepseek_v2",
    "gpt_oss",
    "falcon_h1",
    "gemma3n_text",
    "gpt2",
]


@pytest.mark.parametrize("variety", VARIETIES)
def test_any_value_of_a_config_may_be_anything(variety: str) -> None:
    config, weights = tiny(variety)
    assert read({"config.json": json.dumps(config).encode(), "model.safetensors": weights})
    for mutated in mutations(config, Random(variety), 150):
        read({"config.json": json.dumps(mutated).encode(), "model.safetensors": weights})


@pytest.mark.parametrize("method", ["nf4-dq", "gptq", "fp8", "compressed-int4"])
def test_any_value_of_a_quantization_config_may_be_anything(method: str) -> None:
    config, weights = tiny("llama", method)
    original = config["quantization_config"]
    for mutated in mutations(original, Random(method), 150):
        text = json.dumps({**config, "quantization_config": mutated}).encode()
        read({"config.json": text, "model.safetensors": weights})


def mutations(original: Any, random: Random, n: int) -> list[Any]:
    """Copies of a JSON value with up to three places replaced, removed or doubled."""
    found = []
    for _ in range(n):
        mutated = copy.deepcopy(original)
        for _ in range(random.randrange(1, 4)):
            _mutate(mutated, random)
        found.append(mutated)
    return found


def _mutate(value: Any, random: Random) -> None:
    """Change one place in a nested object or list."""
    places = list(value) if isinstance(value, dict) else list(range(len(value)))
    if not places:
        return
    place = random.choice(places)
    inside = value[place]
    if isinstance(inside, dict | list) and inside and random.random() < 0.7:
        _mutate(inside, random)
    elif random.random() < 0.2:
        del value[place]
    elif isinstance(value, dict) and random.random() < 0.1:
        value[random.choice(["hidden_size", "n_embd", "layer_types", "num_experts", "head_dim", ""])] = inside
    else:
        value[place] = copy.deepcopy(random.choice(NASTY))


def accepted(file: bytes, reader: Callable[[bytes], object], *errors: type[Exception]) -> bool:
    try:
        reader(file)
    except errors:
        return False
    return True


def agrees(file: bytes) -> None:
    """Ours refuses what theirs refuses."""
    ours = accepted(file, lambda data: read_header(BytesRange(data), name="fuzzed"), InvalidModelFileError)
    theirs = accepted(file, safetensors.deserialize, safetensors.SafetensorError)
    assert theirs or not ours


ENTRIES = {"b": ("F32", (2, 3)), "a": ("BF16", (4,)), "c": ("U8", ()), "d": ("I64", (0, 2))}


def test_a_header_whose_values_are_changed_is_refused_where_the_format_refuses_it() -> None:
    start, data_bytes = encode_header(ENTRIES)
    original = json.loads(start[8:])
    for mutated in mutations(original, Random(1), 1500):
        text = json.dumps(mutated).encode()
        agrees(len(text).to_bytes(8, "little") + text + bytes(data_bytes))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_header_whose_bytes_are_changed_is_refused_where_the_format_refuses_it(data: st.DataObject) -> None:
    file = bytearray(file_of(ENTRIES))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(file) - 1))
        way = data.draw(st.sampled_from(["replace", "insert", "delete", "cut"]))
        byte = data.draw(
            st.one_of(st.sampled_from(list(b'{}[]":,0129-eE.\\ \n\x00\xff')), st.integers(0, 255))
        )
        if way == "replace":
            file[place] = byte
        elif way == "insert":
            file.insert(place, byte)
        elif way == "delete" and len(file) > 1:
            del file[place]
        elif way == "cut" and place:
            del file[place:]
    agrees(bytes(file))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_no_model(data: bytes) -> None:
    agrees(data)
    config = json.dumps({"model_type": "llama"}).encode()
    for name in ("config.json", "model.safetensors", "model.safetensors.index.json", "tokenizer.json"):
        read({"config.json": config, "model.safetensors": data, name: data})


LLAMA = tiny("llama")


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"]),
    st.data(),
)
def test_any_json_may_stand_where_a_file_is_expected(name: str, data: st.DataObject) -> None:
    plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
    keys = st.sampled_from(
        ["model", "vocab", "merges", "added_tokens", "bos_token", "chat_template", "top_k", "type"]
    )
    value = data.draw(
        st.recursive(
            plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4)
        )
    )
    files = {"config.json": json.dumps(LLAMA[0]).encode(), "model.safetensors": LLAMA[1]}
    read({**files, name: json.dumps(value).encode()})


def test_a_real_shape_with_bytes_flipped_is_read_or_refused() -> None:
    model = meta_model(FAMILIES["smollm2-135m"]())
    start, _ = encode_header(saved_tensors(model))
    config = json.dumps(config_of(model)).encode()
    random = Random(7)
    for _ in range(300):
        flipped = bytearray(start)
        for _ in range(random.randrange(1, 4)):
            flipped[random.randrange(len(flipped))] = random.choice(b'{}[]":,0129-x')
        read({"config.json": config, "model.safetensors": bytes(flipped)})
