"""Text to ids and back: special names, whole characters, the spaces that SentencePiece drops."""

from __future__ import annotations

from typing import Any

import pytest
import transformers
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import END, tokenizer
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from shoestring.engines.base import Segment
from shoestring.engines.transformers.text import NewText, Text

EMOJI = ["👨‍👩‍👧‍👦", "🇩🇪🇫🇷", "👍🏽", "é", "Grüße", "日本語", "🏳️‍🌈", "a\u0300", "\ufffd"]
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def byte_level() -> Text:
    return Text(tokenizer())


def sentencepiece() -> Text:
    """As Llama 2's and Gemma's: a mark for spaces, bytes for what has no piece, the first space dropped."""
    words = ["<unk>", *(f"<0x{n:02X}>" for n in range(256)), "▁", "▁a", "a", "b", "▁▁", "é", "日"]
    vocabulary = {word: n for n, word in enumerate(words)}
    merges = [("▁", "a"), ("▁", "▁")]
    model = models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    tokens = Tokenizer(model)
    tokens.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokens.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return Text(transformers.PreTrainedTokenizerFast(tokenizer_object=tokens))


def streamed(text: Text, prompt: list[int], new: list[int]) -> list[str]:
    stream = NewText(text.decode, prompt)
    return [*(stream.push(token) for token in new), stream.finish()]


@given(_TEXTS, _TEXTS)
@pytest.mark.parametrize("make", [byte_level, sentencepiece])
def test_pieces_make_the_text_that_decoding_at_once_gives(make: Any, before: str, after: str) -> None:
    text = make()
    ids = text.encode([Segment(before + after)])
    cut = len(text.encode([Segment(before)]))
    prompt, new = ids[:cut], ids[cut:]
    whole = text.decode(ids)
    if "\ufffd" not in whole:
        assert text.decode(prompt) + "".join(streamed(text, prompt, new)) == whole


@pytest.mark.parametrize("characters", EMOJI)
@pytest.mark.parametrize("make", [byte_level, sentencepiece])
def test_characters_that_several_tokens_make_come_whole(make: Any, characters: str) -> None:
    text = make()
    pieces = streamed(text, [], text.encode([Segment(characters * 9)]))
    assert "".join(pieces) == characters * 9
    if "\ufffd" not in characters:
        assert not any("\ufffd" in piece for piece in pieces)


@given(st.lists(st.integers(0, 255), max_size=200))
def test_bytes_that_are_no_text_come_as_decoding_at_once_gives_them(ids: list[int]) -> None:
    text = byte_level()
    assert "".join(streamed(text, [], ids)) == text.decode(ids)


def test_a_first_word_keeps_its_space_after_a_prompt() -> None:
    text = sentencepiece()
    prompt, new = text.encode([Segment("a")]), text.encode([Segment("a a b")])[1:]
    assert "".join(streamed(text, prompt, new)) == " a b"


def test_special_tokens_are_not_text() -> None:
    assert "".join(streamed(byte_level(), [], [10, END, 11])) == byte_level().decode([10, 11])


def test_special_names_become_tokens_only_in_special_segments() -> None:
    text = byte_level()
    assert text.encode([Segment("<|im_end|>", special=True)]) == [END]
    assert text.decode(text.encode([Segment("<|im_end|>")])) == "<|im_end|>"


def test_markers_that_are_not_called_special_are_special_all_the_same() -> None:
    text = byte_level()
    assert text.encode([Segment("<|user|>", special=True)]) == [257]
    assert 257 not in text.encode([Segment("<|user|>")])


def test_other_added_tokens_are_found_in_all_text() -> None:
    text = byte_level()
    assert text.encode([Segment("<b>")]) == text.encode([Segment("<b>", special=True)]) == [258]
    assert text.decode([258]) == "<b>"


def test_a_tokenizer_that_would_cut_or_pad_does_neither() -> None:
    cutting = tokenizer()
    cutting.backend_tokenizer.enable_truncation(4)
    cutting.backend_tokenizer.enable_padding(length=16)
    assert len(Text(cutting).encode([Segment("abcdefgh")])) == 8


def test_nothing_is_put_before_a_text() -> None:
    adding = tokenizer()
    adding.backend_tokenizer.add_special_tokens([AddedToken("<s>", special=True)])
    adding.add_bos_token, adding.bos_token = True, "<s>"
    assert len(Text(adding).encode([Segment("ab")])) == 2


def test_an_empty_segment_is_nothing() -> None:
    assert byte_level().encode([Segment(""), Segment("", special=True)]) == []


def test_turn_ends_are_known_by_name() -> None:
    assert byte_level().ends() == {END}
