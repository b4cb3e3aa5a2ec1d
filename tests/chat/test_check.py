"""The smoke check tells a broken model from a sound one: on distributions made by hand, and on real models broken here."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shoestring import api
from shoestring.chat.check import LIKELIEST, Check, CheckReport, check, of_distribution
from shoestring.chat.model import Model
from shoestring.engines.base import TokenLogprob
from shoestring.engines.fake import Script
from shoestring.errors import CheckFailedError
from shoestring.planning.base import Request

VOCABULARY = 50_000
MakeModel = Callable[..., Model]


def told(probabilities: Sequence[float]) -> TokenLogprob:
    """The likeliest of a distribution, as an engine tells them."""
    logs = [math.log(p) if p > 0 else -3.4e38 for p in sorted(probabilities, reverse=True)[:LIKELIEST]]
    return TokenLogprob(0, logs[0], tuple(enumerate(logs)))


def failing(checks: Sequence[Check]) -> list[str]:
    return [one.name for one in checks if not one.passed]


def words(exponent: float) -> list[float]:
    """A distribution by Zipf's law, as words have it."""
    weights = [1 / rank**exponent for rank in range(1, VOCABULARY + 1)]
    return [weight / sum(weights) for weight in weights]


@pytest.mark.parametrize("exponent", [1.2, 1.5, 2.0, 3.0])
def test_a_distribution_as_language_has_it_passes(exponent: float) -> None:
    assert failing(of_distribution(told(words(exponent)), VOCABULARY)) == []


def test_equal_logits_have_too_much_entropy() -> None:
    assert failing(of_distribution(told([1 / VOCABULARY] * VOCABULARY), VOCABULARY)) == ["entropy"]


def test_a_single_possible_token_has_too_little() -> None:
    certain = [1.0, *[0.0] * (VOCABULARY - 1)]
    assert failing(of_distribution(told(certain), VOCABULARY)) == ["entropy"]


def test_what_does_not_add_up_is_seen() -> None:
    assert "probabilities" in failing(of_distribution(told([0.4, *[0.0] * (VOCABULARY - 1)]), VOCABULARY))
    assert "probabilities" in failing(of_distribution(told([0.7, 0.7]), VOCABULARY))


@pytest.mark.parametrize("odd", [math.nan, math.inf])
def test_what_is_no_number_is_seen_and_counted(odd: float) -> None:
    (only,) = of_distribution(TokenLogprob(0, odd, ((0, odd), (1, -1.0))), VOCABULARY)
    assert not only.passed
    assert only.found == "1 of 2 log-probabilities are no numbers (NaN or infinite)."
    assert only.cause


def test_a_report_raises_the_first_failure_with_its_likely_cause() -> None:
    bad = Check("entropy", False, "The entropy is off.", "Likely cause: weights.")
    report = CheckReport("m", False, (Check("numbers", True, "Fine."), bad))
    with pytest.raises(
        CheckFailedError, match="m was loaded, but does not work: The entropy is off"
    ) as caught:
        report.raise_if_failed()
    assert caught.value.hint == bad.cause
    assert caught.value.report is report


def test_an_answer_without_what_every_model_knows_does_not_pass(fake: MakeModel) -> None:
    report = check(fake(Script(reply="I am also fine."), vocab_size=258))
    assert "answer" in failing(report.checks)


def test_the_check_ends_as_soon_as_the_answer_is_there(fake: MakeModel) -> None:
    report = check(fake(Script(reply="It is Paris, of course, and so on.")))
    (answer,) = [one for one in report.checks if one.name == "answer"]
    assert answer.passed
    assert "of course" not in answer.found


LLAMA_3 = (
    "{{ '<|begin_of_text|>' }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
    "{{ m.content }}<|eot_id|>{% endfor %}<|start_header_id|>assistant<|end_header_id|>\n\n"
)
ZEPHYR = "{% for m in messages %}<|user|>\n{{ m.content }}</s>\n{% endfor %}<|assistant|>\n"


def test_a_template_of_another_family_is_seen(fake: MakeModel) -> None:
    report = check(fake(Script(reply="Paris"), chat_template=LLAMA_3))
    (template,) = [one for one in report.checks if one.name == "chat template"]
    assert not template.passed
    assert "<|begin_of_text|>" in template.found
    assert "<|start|>" in template.found


def test_a_template_that_marks_turns_in_plain_text_is_none(fake: MakeModel) -> None:
    """As Zephyr's does, in a vocabulary that has no markers at all."""
    model = fake(Script(reply="Paris"), chat_template=ZEPHYR)
    model.session.facts = replace(
        model.facts, tokenizer=replace(model.facts.tokenizer, special_tokens={257: "</s>"})
    )
    assert "chat template" not in failing(check(model).checks)


# --- real models, whole and broken ---------------------------------------------------------------------------------


@pytest.fixture
def broken(smollm2_checkpoint: Path, tmp_path: Path) -> Callable[..., Path]:
    """Copies of the real checkpoint with some tensors changed."""

    def make(change: Callable[[str, np.ndarray], np.ndarray]) -> Path:
        folder = tmp_path / "broken"
        shutil.copytree(smollm2_checkpoint, folder)
        (file,) = folder.glob("*.safetensors")
        _rewrite(file, change)
        return folder

    return make


def _rewrite(file: Path, change: Callable[[str, np.ndarray], np.ndarray]) -> None:
    """Change tensors in place; bf16 is seen as its 16 bits, the upper half of an fp32."""
    with file.open("r+b") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(length))
        for name, about in header.items():
            if name == "__metadata__":
                continue
            start, end = about["data_offsets"]
            stream.seek(8 + length + start)
            bits = np.frombuffer(stream.read(end - start), dtype=np.uint16)
            changed = change(name, bits)
            if changed is not bits:
                stream.seek(8 + length + start)
                stream.write(changed.astype(np.uint16).tobytes())


def nan_in_one_matrix(name: str, bits: np.ndarray) -> np.ndarray:
    return np.full_like(bits, 0x7FC0) if name.endswith("layers.3.mlp.down_proj.weight") else bits


def zeroed(name: str, bits: np.ndarray) -> np.ndarray:
    return np.zeros_like(bits) if name.endswith(("norm.weight",)) and ".layers." not in name else bits


def shuffled(name: str, bits: np.ndarray) -> np.ndarray:
    return np.random.default_rng(1).permutation(bits) if name.endswith("q_proj.weight") else bits


def scaled(name: str, bits: np.ndarray) -> np.ndarray:
    """Scales that are wrong by eight, as after a quantisation that lost them."""
    values = (bits.astype(np.uint32) << 16).view(np.float32) * 8
    return (values.view(np.uint32) >> 16) if "layers" in name and "proj" in name else bits


def found_in(folder: Path, **options: object) -> CheckReport:
    with api.load(folder, context=256, **options) as model:  # type: ignore[arg-type]
        return model.check()


@pytest.mark.model
@pytest.mark.parametrize("precision", ["bf16", "nf4"])
def test_a_sound_checkpoint_passes(smollm2_checkpoint: Path, precision: str) -> None:
    report = found_in(smollm2_checkpoint, precision=precision)
    assert report.passed, report


@pytest.mark.model
@pytest.mark.parametrize("name", ["smollm2", "gemma3-270m"])
def test_the_starters_pass(name: str, smollm2_files: Path, gemma_files: Path) -> None:
    with api.load(name, context=256) as model:
        assert model.check().passed


@pytest.mark.model
@pytest.mark.parametrize(
    ("change", "what"),
    [
        (nan_in_one_matrix, "numbers"),
        (zeroed, "entropy"),
        (shuffled, "answer"),
        (scaled, "answer"),
    ],
)
def test_broken_weights_are_caught(
    broken: Callable[..., Path], change: Callable[[str, np.ndarray], np.ndarray], what: str
) -> None:
    report = found_in(broken(change), precision="bf16")
    assert not report.passed
    assert what in failing(report.checks)


@pytest.mark.model
def test_load_raises_what_the_check_finds(broken: Callable[..., Path]) -> None:
    with pytest.raises(CheckFailedError, match="does not work"):
        api.load(broken(nan_in_one_matrix), context=256, precision="bf16", check=True)


@pytest.fixture
def smollm2_gguf(smollm2_files: tuple[Path, ...]) -> Iterator[Model]:
    with api.open_model("smollm2", Request(context=256)) as model:
        yield model


@pytest.mark.model
def test_the_wrong_template_is_caught_on_a_real_vocabulary(smollm2_gguf: Model) -> None:
    smollm2_gguf.session.facts = replace(smollm2_gguf.facts, chat_template=LLAMA_3)
    assert "chat template" in failing(smollm2_gguf.check().checks)


@pytest.mark.model
def test_numbers_that_are_none_are_seen_on_llama_cpp_too(nan_gguf: Path) -> None:
    assert failing(found_in(nan_gguf).checks) == ["numbers", "answer"]
