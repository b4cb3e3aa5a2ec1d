"""What every engine promises (`engines/base.py`), held to all of them alike."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from shoestring.engines.base import (
    Event,
    Finished,
    LoadedModel,
    Prefill,
    Sampling,
    Segment,
    Token,
    TokenLogprob,
)
from shoestring.engines.fake import Script
from shoestring.engines.registry import engine_names, get_engine
from shoestring.errors import EngineError, PromptTooLongError
from shoestring.planning.base import LlamaCppSettings, TransformersSettings

CONTEXT = 192
GREEDY = Sampling(temperature=0, max_tokens=24)


@dataclass
class Case:
    """One engine with a loaded model, and a prompt that it answers."""

    model: LoadedModel
    prompt: list[int]
    special: str
    vocabulary: int

    def generate(self, sampling: Sampling, prompt: list[int] | None = None) -> list[Event]:
        events: list[Event] = []
        self.model.generate(
            [prompt or self.prompt], sampling, lambda _, event: events.append(event), lambda: False
        )
        return events

    def text(self, sampling: Sampling) -> str:
        return text_of(self.generate(sampling))


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Token))


def logprobs_of(events: list[Event]) -> list[TokenLogprob]:
    return [one for event in events if isinstance(event, Token) for one in event.logprobs]


def finished(events: list[Event]) -> Finished:
    last = events[-1]
    assert isinstance(last, Finished)
    return last


ENGINES = ("fake", "llama_cpp", "transformers")
SETTINGS: dict[str, Any] = {
    "fake": LlamaCppSettings(context=CONTEXT, batch=2),
    "llama_cpp": LlamaCppSettings(context=CONTEXT, batch=2, threads=2),
    "transformers": TransformersSettings(
        context=CONTEXT, batch=2, precision="fp32", compute_dtype="fp32", threads=1
    ),
}


@pytest.fixture(scope="module", params=ENGINES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    engine = get_engine(request.param)
    scratch = tmp_path_factory.mktemp("s")
    if request.param == "fake":
        file = Script(reply="Grüße, Welt! One two three four five six seven eight nine.").write(
            scratch / "script"
        )
        files: tuple[Path, ...] = (file,)
        text, special, vocabulary = "<|start|>user\nHello<|end|>\n", "<|end|>", 258
    else:
        files = _smollm2(request)
        text = "<|im_start|>user\nCount to ten.<|im_end|>\n<|im_start|>assistant\n"
        special, vocabulary = "<|im_end|>", 49152
    engine.preload()
    model = engine.load(files, SETTINGS[request.param], scratch)
    yield Case(model, model.tokenize([Segment(text, special=True)]), special, vocabulary)
    model.close()


def _smollm2(request: pytest.FixtureRequest) -> tuple[Path, ...]:
    if request.param == "llama_cpp":
        files: tuple[Path, ...] = request.getfixturevalue("smollm2_files")
        return files
    return (request.getfixturevalue("smollm2_checkpoint") / "model.safetensors",)


def test_all_built_in_engines_are_known_by_name() -> None:
    assert set(ENGINES) <= set(engine_names())


def test_an_unknown_engine_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(EngineError) as caught:
        get_engine("vlmm")
    assert "llama_cpp" in (caught.value.hint or "")


def test_an_engine_tells_its_version(case: Case) -> None:
    assert all(get_engine(name).version() for name in ENGINES)


def test_events_are_prefill_then_tokens_then_finished(case: Case) -> None:
    kinds = [type(event) for event in case.generate(GREEDY)]
    assert kinds == sorted(kinds, key=[Prefill, Token, Finished].index)
    assert kinds.count(Finished) == 1


def test_prefill_progress_ends_at_the_whole_prompt(case: Case) -> None:
    progress = [event for event in case.generate(GREEDY) if isinstance(event, Prefill)]
    assert progress[-1] == Prefill(len(case.prompt), len(case.prompt))


def test_greedy_generation_is_deterministic(case: Case) -> None:
    assert case.text(GREEDY) == case.text(GREEDY) != ""


def test_a_seed_makes_sampling_repeatable(case: Case) -> None:
    sampling = Sampling(temperature=1.5, max_tokens=16, seed=7)
    assert case.text(sampling) == case.text(sampling)


def test_max_tokens_ends_with_length_and_is_counted(case: Case) -> None:
    end = finished(case.generate(Sampling(temperature=0, max_tokens=5)))
    assert (end.reason, end.usage.completion_tokens) == ("length", 5)


def test_usage_counts_the_prompt(case: Case) -> None:
    assert finished(case.generate(GREEDY)).usage.prompt_tokens == len(case.prompt)


def test_timings_are_positive_seconds(case: Case) -> None:
    timings = finished(case.generate(GREEDY)).timings
    assert timings.prefill_s >= 0
    assert timings.decode_s > 0


def test_generation_that_fills_the_context_says_context(case: Case) -> None:
    end = finished(case.generate(Sampling(temperature=0, ignore_eos=True)))
    assert end.reason == "context"
    assert end.usage.prompt_tokens + end.usage.completion_tokens == CONTEXT


def test_a_stop_string_ends_the_answer_before_it(case: Case) -> None:
    whole = case.text(GREEDY)
    stop = whole[5:9]
    events = case.generate(Sampling(temperature=0, max_tokens=24, stop=(stop,)))
    assert text_of(events) == whole[: whole.index(stop)]
    assert finished(events).reason == "stop"


def test_the_shared_prefix_is_not_computed_again(case: Case) -> None:
    case.generate(GREEDY)
    assert finished(case.generate(GREEDY)).usage.cached_tokens == len(case.prompt) - 1


def test_a_prompt_that_fills_the_context_is_refused_by_how_much(case: Case) -> None:
    with pytest.raises(PromptTooLongError) as caught:
        case.generate(GREEDY, prompt=(case.prompt * CONTEXT)[: CONTEXT + 9])
    assert caught.value.prompt_tokens == CONTEXT + 9
    assert "10 more" in caught.value.message


def test_ids_outside_the_vocabulary_are_refused(case: Case) -> None:
    with pytest.raises(EngineError):
        case.generate(GREEDY, prompt=[10_000_000])


def test_an_engine_works_on_after_a_refused_request(case: Case) -> None:
    before = case.text(GREEDY)
    with pytest.raises(EngineError):
        case.generate(GREEDY, prompt=[10_000_000])
    assert case.text(GREEDY) == before


def test_cancelling_ends_the_answer_and_says_so(case: Case) -> None:
    events: list[Event] = []
    sampling = Sampling(temperature=0, ignore_eos=True)
    case.model.generate(
        [case.prompt], sampling, lambda _, event: events.append(event), lambda: len(events) > 4
    )
    assert finished(events).reason == "cancelled"
    assert finished(events).usage.completion_tokens < CONTEXT - len(case.prompt)


def test_special_names_in_plain_text_are_text(case: Case) -> None:
    assert len(case.model.tokenize([Segment(case.special, special=True)])) == 1
    assert len(case.model.tokenize([Segment(case.special)])) > 1


def test_segments_are_tokenised_one_after_the_other(case: Case) -> None:
    parts = [Segment("one", special=True), Segment(""), Segment(" two")]
    apart = [token for part in parts if part.text for token in case.model.tokenize([part])]
    assert case.model.tokenize(parts) == apart


def test_log_probabilities_are_told_only_where_asked_for(case: Case) -> None:
    assert logprobs_of(case.generate(GREEDY)) == []


def test_every_new_token_has_a_log_probability_the_end_token_too(case: Case) -> None:
    events = case.generate(Sampling(temperature=0, logprobs=0, max_tokens=100))
    assert finished(events).reason == "stop"
    assert len(logprobs_of(events)) == finished(events).usage.completion_tokens
    assert all(one.logprob <= 0 and one.top == () for one in logprobs_of(events))


def test_log_probabilities_change_nothing_about_the_text(case: Case) -> None:
    assert case.text(replace(GREEDY, logprobs=2)) == case.text(GREEDY)


def test_the_likeliest_tokens_come_likeliest_first_and_greedy_takes_the_first(case: Case) -> None:
    for one in logprobs_of(case.generate(replace(GREEDY, logprobs=3))):
        assert len(one.top) == 3
        assert list(one.top) == sorted(one.top, key=lambda item: -item[1])
        assert one.top[0] == (one.token, one.logprob)


def test_all_probabilities_together_are_one(case: Case) -> None:
    [one] = logprobs_of(case.generate(Sampling(max_tokens=1, logprobs=case.vocabulary)))
    assert sorted(token for token, _ in one.top) == list(range(case.vocabulary))
    assert math.fsum(math.exp(logprob) for _, logprob in one.top) == pytest.approx(
        1, abs=1e-3
    )  # llama.cpp adds up in fp32


def test_log_probabilities_are_the_models_own_whatever_is_sampled(case: Case) -> None:
    plain = Sampling(temperature=0, max_tokens=1, logprobs=5)
    bent = Sampling(temperature=2, top_k=2, repeat_penalty=1.5, seed=1, max_tokens=1, logprobs=5)
    case.generate(plain)  # so that both find the same prefix in the cache
    tops = [logprobs_of(case.generate(sampling))[0].top for sampling in (plain, bent)]
    assert [token for token, _ in tops[0]] == [token for token, _ in tops[1]]
    assert [logprob for _, logprob in tops[0]] == pytest.approx([logprob for _, logprob in tops[1]])


def test_the_log_probabilities_of_a_stop_string_are_told_too(case: Case) -> None:
    whole = case.text(GREEDY)
    events = case.generate(replace(GREEDY, stop=(whole[5:9],), logprobs=0))
    assert len(logprobs_of(events)) == finished(events).usage.completion_tokens


def test_a_batch_gives_each_prompt_its_own_answer(case: Case) -> None:
    other = case.prompt[:-1]
    alone = [case.text(GREEDY), text_of(case.generate(GREEDY, prompt=other))]
    found: dict[int, list[Event]] = {0: [], 1: []}
    case.model.generate(
        [case.prompt, other], GREEDY, lambda index, event: found[index].append(event), lambda: False
    )
    assert [text_of(found[0]), text_of(found[1])] == alone
    assert [finished(found[n]).usage.prompt_tokens for n in (0, 1)] == [len(case.prompt), len(other)]


def test_more_prompts_than_the_loaded_batch_are_refused(case: Case) -> None:
    with pytest.raises(EngineError, match="3 prompts"):
        case.model.generate([case.prompt] * 3, GREEDY, lambda *_: None, lambda: False)


def test_two_generations_at_once_give_what_each_gives_alone(case: Case) -> None:
    alone = case.text(GREEDY)
    texts: dict[int, str] = {}

    def run(n: int) -> None:
        texts[n] = case.text(GREEDY)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(texts.values()) == [alone, alone]


def test_an_unreadable_model_is_an_engine_error(case: Case, tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"not a model")
    for name in ENGINES:
        with pytest.raises(EngineError):
            get_engine(name).load([file], SETTINGS[name], tmp_path)


def test_the_fake_keeps_the_times_it_is_told(tmp_path: Path) -> None:
    script = Script(first_token_s=0.02, token_s=0.01, reply="abc").write(tmp_path / "script")
    model = get_engine("fake").load([script], LlamaCppSettings(context=64), tmp_path)
    start = time.perf_counter()
    model.generate([[1]], Sampling(), lambda *_: None, lambda: False)
    assert time.perf_counter() - start >= 0.05  # a lower bound: sleeping never ends early
