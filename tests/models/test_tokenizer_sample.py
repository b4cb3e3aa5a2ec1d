"""A tokenizer known from parts of its file: the head exactly, the tables nearly."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoestring.errors import InvalidModelFileError, ShoestringError
from shoestring.models.facts import TokenizerFacts
from shoestring.models.safetensors import tokenizer as tokenizers
from shoestring.models.safetensors.config import Section
from shoestring.models.safetensors.tokenizer import read_settings, read_tokenizer
from shoestring.models.source import FolderSource


class Far(FolderSource):
    """A folder that says it is elsewhere, and counts what is read."""

    bytes_read = 0

    def path(self, name: str) -> Path | None:
        return None

    def parts(self, name: str, lengths: Mapping[int, int]) -> dict[int, bytes]:
        found = super().parts(name, lengths)
        self.bytes_read += sum(map(len, found.values()))
        return found


@pytest.fixture(autouse=True)
def small_files_are_sampled_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizers, "WHOLE_BYTES", 100)


def facts_of(source: FolderSource, vocab_size: int | None = None) -> TokenizerFacts:
    config = Section({} if vocab_size is None else {"vocab_size": vocab_size})
    found = read_tokenizer(source, read_settings(source), config)
    assert found is not None
    return found


def words(n: int, seed: int = 3) -> list[str]:
    """Different texts that grow longer, as a vocabulary's do."""
    rng = random.Random(seed)
    found: dict[str, None] = {}
    while len(found) < n:
        length = 1 + min(int(rng.expovariate(1 / (2 + 6 * len(found) / n))), 30)
        found["".join(rng.choices('abcdefghijklmnopqrstuvwxyz,:"\\[]{}éĠ世', k=length))] = None
    return list(found)


def write(folder: Path, model: Any, *, indent: int | None = None, added: int = 3, **rest: Any) -> Path:
    tokens = [{"id": 10**6 + i, "content": f"<{i}>", "special": True} for i in range(added)]
    document = {"version": "1.0", "added_tokens": tokens, **rest, "model": model}
    (folder / "tokenizer.json").write_text(
        json.dumps(document, ensure_ascii=False, indent=indent), encoding="utf-8"
    )
    return folder


def bpe(n: int, merges_per_token: float = 1.0, *, pairs: bool = False) -> dict[str, Any]:
    texts = words(n)
    cut = [(text[: len(text) // 2], text[len(text) // 2 :]) for text in texts]
    merges = [cut[int(i / merges_per_token)] for i in range(int(n * merges_per_token))]
    written = [list(pair) for pair in merges] if pairs else [" ".join(pair) for pair in merges]
    return {"type": "BPE", "vocab": {text: i for i, text in enumerate(texts)}, "merges": written}


def assert_alike(far: TokenizerFacts, near: TokenizerFacts, rel: float = 0.1) -> None:
    assert far.sampled
    assert not near.sampled
    for name in ("vocab_size", "tokens_bytes", "merges", "merges_bytes"):
        assert getattr(far, name) == pytest.approx(getattr(near, name), rel=rel), name
    for name in ("model", "special_tokens", "bos_id", "eos_id", "add_bos", "add_eos", "has_scores"):
        assert getattr(far, name) == getattr(near, name), name


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("merges_per_token", [1.0, 2.0])
def test_byte_pairs(tmp_path: Path, indent: int | None, pairs: bool, merges_per_token: float) -> None:
    write(tmp_path, bpe(30_000, merges_per_token, pairs=pairs), indent=indent)
    assert_alike(facts_of(Far(tmp_path), 30_000), facts_of(FolderSource(tmp_path)))


def test_byte_pairs_of_a_vocabulary_whose_size_is_not_stated(tmp_path: Path) -> None:
    write(tmp_path, bpe(30_000))
    assert_alike(facts_of(Far(tmp_path)), facts_of(FolderSource(tmp_path)), rel=0.2)


def test_a_size_that_is_stated_wrongly_moves_little(tmp_path: Path) -> None:
    write(tmp_path, bpe(30_000))
    near = facts_of(FolderSource(tmp_path))
    for stated in (1, 29_000, 2**24):
        assert_alike(facts_of(Far(tmp_path), stated), near, rel=0.4)


def test_word_pieces(tmp_path: Path) -> None:
    write(tmp_path, {"type": "WordPiece", "vocab": {text: i for i, text in enumerate(words(30_000))}})
    assert_alike(facts_of(Far(tmp_path), 30_000), facts_of(FolderSource(tmp_path)))


def test_unigrams(tmp_path: Path) -> None:
    vocabulary = [[text, -i / 7] for i, text in enumerate(words(30_000))]
    write(tmp_path, {"type": "Unigram", "unk_id": 0, "vocab": vocabulary})
    assert_alike(facts_of(Far(tmp_path), 30_000), facts_of(FolderSource(tmp_path)))


def test_thousands_of_added_tokens_make_a_longer_head(tmp_path: Path) -> None:
    write(tmp_path, bpe(30_000), indent=2, added=5000)
    far, near = facts_of(Far(tmp_path), 30_000), facts_of(FolderSource(tmp_path))
    assert far.special_tokens == near.special_tokens
    assert_alike(far, near)


def test_what_is_read_does_not_grow_with_the_file(tmp_path: Path) -> None:
    write(tmp_path, bpe(60_000))
    source = Far(tmp_path)
    facts_of(source, 60_000)
    assert source.bytes_read <= 160 * 1024


@pytest.mark.parametrize("order", ["model first", "vocabulary behind merges"])
def test_a_file_in_another_order_is_read_whole(tmp_path: Path, order: str) -> None:
    model = bpe(20_000)
    document: dict[str, Any] = {"model": model, "added_tokens": []}
    if order == "vocabulary behind merges":
        document = {"added_tokens": [], "model": dict(reversed(model.items()))}
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    far, near = facts_of(Far(tmp_path), 20_000), facts_of(FolderSource(tmp_path))
    assert (far.vocab_size, far.merges) == pytest.approx((near.vocab_size, near.merges), rel=0.05)


def test_a_head_that_is_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(
        '{"added_tokens": [}, "model": {"vocab": {' + '"a": 1, ' * 20_000
    )
    with pytest.raises(InvalidModelFileError, match="malformed"):
        facts_of(Far(tmp_path))


@given(st.binary(max_size=3000), st.integers(0, 2**24))
def test_bytes_of_any_kind_behind_a_head_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, vocab_size: int
) -> None:
    folder = tmp_path_factory.mktemp("any")
    head = b'{"added_tokens": [], "model": {"type": "BPE", "vocab": {'
    (folder / "tokenizer.json").write_bytes(head + data * (150_000 // max(len(data), 1)))
    try:
        facts = facts_of(Far(folder), max(vocab_size, 1))
    except ShoestringError:
        return
    assert 0 <= facts.vocab_size <= MOST
    assert 0 <= facts.merges <= MOST


MOST = 10**10
