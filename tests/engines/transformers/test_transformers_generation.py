"""Generation with transformers over tiny models of every family: batches, ends, limits, failures."""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
import transformers
from tiny_models import (
    END,
    FAMILIES,
    SETTINGS,
    VOCABULARY,
    finished,
    generate,
    library_model,
    new_tokens,
    tiny_model,
    tokenizer,
    tokens,
)

from shoestring.engines.base import Event, Finished, LoadReport, Prefill, Sampling, Segment, Token
from shoestring.engines.transformers.model import TransformersModel
from shoestring.errors import EngineError, OutOfMemoryError

GREEDY = Sampling(temperature=0, max_tokens=12)
SAMPLED = Sampling(temperature=1.5, top_k=0, top_p=1, min_p=0, max_tokens=12, seed=40)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def prompts(*lengths: int, seed: int = 0) -> list[list[int]]:
    source = random.Random(seed)
    return [[source.randrange(256) for _ in range(length)] for length in lengths]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_of_unequal_prompts_gives_what_each_gives_alone(family: str) -> None:
    batch = prompts(1, 7, 7, 20)
    alone = [new_tokens(tiny_model(family), [prompt], GREEDY)[0] for prompt in batch]
    assert new_tokens(tiny_model(family), batch, GREEDY) == alone


@pytest.mark.parametrize("family", FAMILIES)
def test_a_conversation_gives_what_its_whole_text_gives_a_fresh_model(family: str) -> None:
    """Whatever is reused of the turns before: over a sliding window, after going back, with a recurrent state."""
    model = tiny_model(family)
    [text] = prompts(9)
    turns = [text, text + [1, 2, 3] * 3, text + [1, 2, 3] * 5, [*text, 1, 2], [9, *text]]
    for turn in turns:
        assert new_tokens(model, [turn], GREEDY) == new_tokens(tiny_model(family), [turn], GREEDY)


@pytest.mark.parametrize("family", ["llama", "falcon_h1"])
def test_with_a_seed_prompt_i_is_sampled_with_seed_plus_i(family: str) -> None:
    batch = prompts(3, 8, 15)
    alone = [
        new_tokens(tiny_model(family), [prompt], replace(SAMPLED, seed=40 + n))[0]
        for n, prompt in enumerate(batch)
    ]
    assert new_tokens(tiny_model(family), batch, SAMPLED) == alone


def test_equal_prompts_in_a_batch_are_sampled_differently() -> None:
    [prompt] = prompts(5)
    first, second = new_tokens(tiny_model("llama"), [prompt, prompt], SAMPLED)
    assert first != second


def test_each_prompt_of_a_batch_fills_the_whole_context() -> None:
    batch = prompts(2, 30, 60)
    events = generate(tiny_model("llama"), batch, Sampling(temperature=0, ignore_eos=True))
    for prompt, of_prompt in zip(batch, events, strict=True):
        assert finished(of_prompt).reason == "context"
        assert finished(of_prompt).usage.completion_tokens == SETTINGS.context - len(prompt)


def test_what_a_batch_gives_up_to_the_full_context_is_what_each_gives_alone() -> None:
    whole = Sampling(temperature=1.0, seed=3, ignore_eos=True)
    batch = prompts(2, 60)
    alone = [
        new_tokens(tiny_model("llama"), [prompt], replace(whole, seed=3 + n))[0]
        for n, prompt in enumerate(batch)
    ]
    assert new_tokens(tiny_model("llama"), batch, whole) == alone


def test_no_cache_ever_holds_more_than_the_context() -> None:
    library = library_model("llama")
    lengths: list[int] = []
    library.model.layers[-1].register_forward_hook(
        lambda module, args, kwargs, output: lengths.append(kwargs["cache"].get_seq_length()),
        with_kwargs=True,
    )
    model = TransformersModel(library, tokenizer(), SETTINGS, LoadReport())
    generate(model, prompts(2, 30, 60), Sampling(temperature=0, ignore_eos=True))
    assert 0 < max(lengths) < SETTINGS.context


def test_a_row_that_is_done_gives_no_more_events_while_others_go_on() -> None:
    batch = prompts(5, 9, seed=4)
    first, second = new_tokens(tiny_model("llama"), batch, GREEDY)
    assert END not in (*first, *second)
    end = next(token for token in first if token not in second)
    library = library_model("llama")
    library.generation_config.eos_token_id = end
    model = TransformersModel(library, tokenizer(), SETTINGS, LoadReport())
    events = generate(model, batch, GREEDY)
    assert [finished(of_prompt).reason for of_prompt in events] == ["stop", "length"]
    assert [event for of_prompt in events for event in of_prompt[:-1] if isinstance(event, Finished)] == []
    assert finished(events[0]).usage.completion_tokens == first.index(end) + 1
    assert finished(events[1]).usage.completion_tokens == GREEDY.max_tokens


def test_a_row_that_is_done_is_told_at_once() -> None:
    told: list[tuple[int, type]] = []
    sampling = Sampling(temperature=0, ignore_eos=True)
    tiny_model("llama").generate(
        prompts(60, 3), sampling, lambda n, event: told.append((n, type(event))), lambda: False
    )
    assert told.index((0, Finished)) < len(told) / 2
    assert all(n == 1 for n, _ in told[told.index((0, Finished)) + 1 :])


def test_a_character_that_an_answer_ends_inside_of_is_not_kept_back() -> None:
    model, ends = tiny_model("llama"), set()
    for seed in range(12):
        [events] = generate(model, prompts(5), replace(SAMPLED, seed=seed, max_tokens=5, logprobs=0))
        shown = "".join(event.text for event in events if isinstance(event, Token))
        whole = model._text.decode([*prompts(5)[0], *tokens(events)])
        assert whole.endswith(shown)
        assert shown or not whole
        ends.add(shown.endswith("\ufffd"))
    assert ends == {True, False}


def test_a_prompt_is_told_as_read_before_its_first_token() -> None:
    [events] = generate(tiny_model("llama"), prompts(5), GREEDY)
    assert events[0] == Prefill(5, 5)
    assert isinstance(events[1], Token)


def test_a_position_counts_from_a_prompts_own_first_token() -> None:
    """GPT-2 has as many positions as it was trained on: padded rows must not run past them."""
    settings = replace(SETTINGS, context=128)
    batch = prompts(1, 120)
    events = generate(tiny_model("gpt2", settings), batch, Sampling(temperature=0, ignore_eos=True))
    assert [finished(of_prompt).usage.completion_tokens for of_prompt in events] == [127, 8]


class TestEnds:
    """Which token ends an answer."""

    @pytest.fixture
    def first(self) -> int:
        """The token that comes second."""
        return new_tokens(tiny_model("llama"), prompts(5), GREEDY)[0][1]

    def reason(self, library: Any) -> tuple[str, int]:
        model = TransformersModel(library, tokenizer(), SETTINGS, LoadReport())
        end = finished(generate(model, prompts(5), GREEDY)[0])
        return end.reason, end.usage.completion_tokens

    def test_one_of_several_in_the_generation_config_ends_it(self, first: int) -> None:
        library = library_model("llama")
        library.generation_config.eos_token_id = [END, first]
        assert self.reason(library) == ("stop", 2)

    def test_one_in_the_config_alone_ends_it(self, first: int) -> None:
        library = library_model("llama", eos_token_id=first)
        library.generation_config.eos_token_id = None
        assert self.reason(library) == ("stop", 2)

    def test_the_tokenizers_own_ends_it(self, first: int) -> None:
        library, own = library_model("llama"), tokenizer()
        own.eos_token = own.convert_ids_to_tokens(first)
        model = TransformersModel(library, own, SETTINGS, LoadReport())
        assert finished(generate(model, prompts(5), GREEDY)[0]).reason == "stop"

    def test_one_that_is_known_by_name_alone_ends_it(self) -> None:
        library = library_model("llama", eos_token_id=None)
        assert library.generation_config.eos_token_id is None
        model = TransformersModel(library, tokenizer(), SETTINGS, LoadReport())
        batch = prompts(5, 9)
        found = new_tokens(model, batch, GREEDY)
        assert END in [tokens[-1] for tokens in found]
        assert all(END not in tokens[:-1] for tokens in found)

    def test_an_end_has_a_log_probability_and_no_text(self, first: int) -> None:
        library = library_model("llama")
        library.generation_config.eos_token_id = first
        model = TransformersModel(library, tokenizer(), SETTINGS, LoadReport())
        [events] = generate(model, prompts(5), replace(GREEDY, logprobs=0))
        assert tokens(events)[-1] == first
        shown = "".join(event.text for event in events if isinstance(event, Token))
        assert shown == model._text.decode(tokens(events)[:-1])

    def test_ignoring_ends_none_comes(self, first: int) -> None:
        library = library_model("llama")
        library.generation_config.eos_token_id = first
        model = TransformersModel(library, tokenizer(), SETTINGS, LoadReport())
        [found] = new_tokens(model, prompts(5), replace(GREEDY, ignore_eos=True))
        assert len(found) == GREEDY.max_tokens
        assert first not in found


def test_what_a_checkpoint_says_of_sampling_does_not_leak_in() -> None:
    library = library_model("llama")
    library.generation_config = transformers.GenerationConfig(
        do_sample=True,
        temperature=9.0,
        repetition_penalty=9.0,
        no_repeat_ngram_size=1,
        suppress_tokens=list(range(200)),
        max_length=9,
        num_beams=1,
        cache_implementation="static",
    )
    model = TransformersModel(library, tokenizer(), SETTINGS, LoadReport())
    assert new_tokens(model, prompts(5), GREEDY) == new_tokens(tiny_model("llama"), prompts(5), GREEDY)


def test_the_repeat_penalty_applies_to_greedy_decoding_too() -> None:
    assert new_tokens(tiny_model("gpt2"), prompts(5), replace(GREEDY, repeat_penalty=3)) != new_tokens(
        tiny_model("gpt2"), prompts(5), GREEDY
    )


def test_a_model_of_nan_is_seen_as_nan() -> None:
    library = library_model("llama")
    with torch.no_grad():
        library.model.norm.weight.fill_(math.nan)
    model = TransformersModel(library, tokenizer(), SETTINGS, LoadReport())
    [events] = generate(model, prompts(5), Sampling(max_tokens=1, logprobs=VOCABULARY))
    [one] = [one for event in events if isinstance(event, Token) for one in event.logprobs]
    assert math.isnan(one.logprob)
    assert len(one.top) == VOCABULARY
    assert all(math.isnan(value) for _, value in one.top)


class TestCancelling:
    """At the next token, and inside a prompt."""

    def test_it_works_inside_a_prompt_before_any_token(self) -> None:
        model = tiny_model("llama")
        polls = iter([False, False, True])
        [events] = generate(model, prompts(30), GREEDY, lambda: next(polls))
        assert finished(events).reason == "cancelled"
        assert finished(events).usage.completion_tokens == 0

    def test_every_prompt_of_a_batch_ends(self) -> None:
        count = iter(range(1000))
        events = generate(tiny_model("llama"), prompts(3, 9), GREEDY, lambda: next(count) > 8)
        assert [finished(of_prompt).reason for of_prompt in events] == ["cancelled"] * 2

    def test_it_works_from_another_thread_and_the_model_answers_on(self) -> None:
        model, stop, started = tiny_model("llama"), threading.Event(), threading.Event()
        found: list[Event] = []

        def emit(_: int, event: Event) -> None:
            found.append(event)
            started.set()
            stop.wait()

        thread = threading.Thread(
            target=model.generate,
            args=(prompts(5), Sampling(temperature=0, ignore_eos=True), emit, stop.is_set),
        )
        thread.start()
        started.wait()
        stop.set()
        thread.join()
        assert finished(found).reason == "cancelled"
        assert new_tokens(model, prompts(5), GREEDY) == new_tokens(tiny_model("llama"), prompts(5), GREEDY)

    def test_who_is_cancelled_while_another_generates_never_starts(self) -> None:
        model, release, running = tiny_model("llama"), threading.Event(), threading.Event()

        def hold(_: int, event: Event) -> None:
            running.set()
            release.wait()

        thread = threading.Thread(
            target=model.generate, args=(prompts(5), GREEDY, hold, lambda: False), daemon=True
        )
        thread.start()
        running.wait()
        [events] = generate(model, prompts(6), GREEDY, lambda: True)
        release.set()
        thread.join()
        assert events == [finished(events)]
        assert finished(events).reason == "cancelled"


class TestFailures:
    """What the library raises becomes an error of ours, and the model answers on."""

    def failing(self, fail: Any) -> tuple[TransformersModel, Any]:
        library = library_model("llama")
        hook = library.model.layers[1].register_forward_hook(lambda *_: fail())
        return TransformersModel(library, tokenizer(), SETTINGS, LoadReport()), hook

    def test_an_allocation_that_fails_is_out_of_memory(self) -> None:
        model, hook = self.failing(lambda: torch.empty(2**60, dtype=torch.uint8))
        with pytest.raises(OutOfMemoryError, match="not enough memory"):
            generate(model, prompts(5), GREEDY)
        hook.remove()
        assert new_tokens(model, prompts(5), GREEDY) == new_tokens(tiny_model("llama"), prompts(5), GREEDY)

    def test_anything_else_is_an_engine_error_with_what_was_said(self) -> None:
        def fail() -> None:
            raise RuntimeError("a tensor is odd\nand much more")

        model, _ = self.failing(fail)
        with pytest.raises(EngineError, match=r"generating: a tensor is odd\.$"):
            generate(model, prompts(5), GREEDY)

    def test_an_error_keeps_no_tensors_alive(self) -> None:
        def fail() -> None:
            raise RuntimeError

        model, _ = self.failing(fail)
        with pytest.raises(EngineError) as caught:
            generate(model, prompts(5), GREEDY)
        assert caught.value.__cause__ is caught.value.__context__ is None

    def test_a_closed_model_says_so(self) -> None:
        model = tiny_model("llama")
        model.close()
        model.close()
        with pytest.raises(EngineError, match="closed"):
            generate(model, prompts(5), GREEDY)


def test_text_is_that_of_the_tokens_with_stop_strings_cut() -> None:
    model = tiny_model("llama")
    [events] = generate(model, prompts(5), replace(GREEDY, logprobs=0))
    whole = model._text.decode(tokens(events))
    cut = whole[3:5]
    [events] = generate(model, prompts(5), replace(GREEDY, stop=(cut,)))
    shown = "".join(event.text for event in events if isinstance(event, Token))
    assert shown == whole[: whole.index(cut)]
    assert finished(events).reason == "stop"


def test_segments_are_tokenised() -> None:
    assert tiny_model("llama").tokenize([Segment("<|im_end|>", special=True), Segment("")]) == [END]
