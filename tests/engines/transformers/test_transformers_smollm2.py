"""The real model: a slice of what `benchmarks/batch_equality.py` shows in full, and its text as it streams."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from batch_equality import greedy, prompts

from shoestring.engines.base import Finished, LoadedModel, Sampling, Segment, Token
from shoestring.engines.registry import get_engine
from shoestring.planning.base import TransformersSettings

FP32 = TransformersSettings(context=340, batch=8, precision="fp32", compute_dtype="fp32", threads=1)


@pytest.fixture(scope="module")
def smollm2(smollm2_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadedModel]:
    files = [smollm2_checkpoint / "model.safetensors"]
    model = get_engine("transformers").load(files, FP32, tmp_path_factory.mktemp("s"))
    yield model
    model.close()


def test_a_batch_of_prompts_of_1_to_300_tokens_gives_what_each_gives_alone(smollm2: LoadedModel) -> None:
    batch = prompts(smollm2, 8, 300)
    assert [len(batch[0]), len(batch[-1])] == [1, 300]
    assert greedy(smollm2, batch, 6) == [greedy(smollm2, [prompt], 6)[0] for prompt in batch]


def test_emoji_and_letters_of_several_tokens_stream_whole(smollm2: LoadedModel) -> None:
    """Heated until it writes in every script: what streams is what its tokens are together."""
    prompt = smollm2.tokenize([Segment("日本語 👨‍👩‍👧 🇩🇪 ñ ü"[::-1] + "日本語 👨‍👩‍👧 🇩🇪 👍🏽")])
    pieces: list[str] = []
    new: list[int] = []

    def take(_: int, event: object) -> None:
        if isinstance(event, Token):
            pieces.append(event.text)
            new.extend(one.token for one in event.logprobs)
        elif isinstance(event, Finished):
            assert event.usage.completion_tokens == len(new)

    sampling = Sampling(temperature=1.4, top_k=0, top_p=1, min_p=0, seed=11, max_tokens=60, logprobs=0)
    smollm2.generate([prompt], sampling, take, lambda: False)
    decode = smollm2._text.decode  # type: ignore[attr-defined]
    assert "".join(pieces) == decode([*prompt, *new])[len(decode(prompt)) :]
    assert any(ord(letter) > 0x2000 for letter in "".join(pieces))
    assert not any("\ufffd" in piece for piece in pieces[:-1])
