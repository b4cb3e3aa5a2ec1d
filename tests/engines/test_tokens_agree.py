"""One model, two engines, the same tokens: what llama.cpp reads from a GGUF, and a checkpoint's own tokenizer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from shoestring.engines.base import LoadedModel, Segment
from shoestring.engines.registry import get_engine
from shoestring.engines.transformers.text import Text
from shoestring.planning.base import LlamaCppSettings

_NAMES = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<repo_name>", "user"]
_TRICKY = [
    " ",
    "  ",
    "\n",
    "\r\n",
    "\t",
    "\u00a0",
    "42",
    " 5",
    "3.14",
    "don't",
    "'S",
    "é",
    "日本",
    "👨‍👩‍👧",
    "🇩🇪",
    "१२",
    "ª",
]
_WORDS = st.lists(st.sampled_from([*_NAMES, *_TRICKY, "the", "a", "!!!"]), max_size=10).map("".join)
_TEXTS = st.one_of(_WORDS, st.text(st.characters(exclude_categories=["Cs"]), max_size=20))


@pytest.fixture(scope="module")
def llama_cpp(
    smollm2_files: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LoadedModel]:
    scratch = tmp_path_factory.mktemp("s")
    model = get_engine("llama_cpp").load(smollm2_files, LlamaCppSettings(context=64), scratch)
    yield model
    model.close()


@pytest.fixture(scope="module")
def checkpoint(smollm2_checkpoint: Path) -> Text:
    return Text(transformers.AutoTokenizer.from_pretrained(smollm2_checkpoint))


@settings(max_examples=150)
@given(text=_TEXTS, special=st.booleans())
def test_both_engines_read_a_text_as_the_same_tokens(
    llama_cpp: LoadedModel, checkpoint: Text, text: str, special: bool
) -> None:
    segments = [Segment(text, special)]
    assert checkpoint.encode(segments) == llama_cpp.tokenize(segments)


@settings(max_examples=100)
@given(text=_WORDS)
def test_a_text_comes_back_from_its_tokens(checkpoint: Text, text: str) -> None:
    assert checkpoint.decode(checkpoint.encode([Segment(text)])) == text
