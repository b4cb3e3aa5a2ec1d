"""What can generate text, and what is said of the rest."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tiny_gguf import Tiny

from shoestring.errors import ModelError
from shoestring.models.generators import require_generator, why_no_generator
from shoestring.models.gguf.reader import read_header
from shoestring.models.gguf_facts import facts_of
from shoestring.models.ranges import BytesRange

FACTS = facts_of(read_header(BytesRange(Tiny().encode())), id="tiny")


@pytest.mark.parametrize(
    ("architecture", "class_name"),
    [
        ("llama", "LlamaForCausalLM"),
        ("llama", None),
        ("gemma3_text", "Gemma3ForConditionalGeneration"),
        ("unheard-of", "UnheardOfForCausalLM"),
        ("modernbert-decoder", "ModernBertDecoderForCausalLM"),
        ("mamba", "MambaForCausalLM"),
    ],
)
def test_a_generator_is_one(architecture: str, class_name: str | None) -> None:
    assert why_no_generator(architecture, class_name) is None


@pytest.mark.parametrize(
    ("architecture", "class_name", "what"),
    [
        ("bert", "BertModel", "an encoder is not a generator: it turns text into numbers or labels"),
        ("bert", None, "an encoder"),
        ("xlm-roberta", "XLMRobertaForSequenceClassification", "an encoder"),
        ("nomic-bert", None, "an encoder"),
        ("whisper", "WhisperForConditionalGeneration", "a speech model"),
        ("clip", "CLIPModel", "an image model"),
        ("t5", "T5ForConditionalGeneration", "an encoder-decoder"),
        ("qwen2", "Qwen2ForSequenceClassification", "not a generator"),
    ],
)
def test_what_is_none_is_named(architecture: str, class_name: str | None, what: str) -> None:
    why = why_no_generator(architecture, class_name)
    assert why is not None
    assert what in why


def test_what_is_none_is_refused_with_what_to_look_for() -> None:
    require_generator(FACTS)
    with pytest.raises(ModelError, match=r"tiny cannot be run here\. BertModel is an encoder") as caught:
        require_generator(replace(FACTS, architecture="bert", class_name="BertModel"))
    assert caught.value.hint is not None
    assert "generates text" in caught.value.hint
