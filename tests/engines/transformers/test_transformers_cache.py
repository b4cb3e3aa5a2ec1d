"""KV caches by their kinds, and what is kept of one prompt for the next."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import pytest
from test_transformers_generation import GREEDY, prompts
from tiny_models import SETTINGS, finished, generate, new_tokens, tiny_model

from shoestring.engines.base import Sampling
from shoestring.engines.transformers.model import TransformersModel
from shoestring.errors import EngineError
from shoestring.planning.base import KvPrecision


def cached(model: TransformersModel, prompt: list[int]) -> int:
    """Tokens of a prompt that did not have to be read."""
    return finished(generate(model, [prompt], GREEDY)[0]).usage.cached_tokens


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3_text", "mistral", "falcon_h1"])
def test_a_static_cache_gives_the_same_tokens(family: str) -> None:
    batch = prompts(3, 12)
    other = tiny_model(family, replace(SETTINGS, cache="static"))
    assert new_tokens(other, batch, GREEDY) == new_tokens(tiny_model(family), batch, GREEDY)


def test_a_static_cache_can_be_filled_to_the_context() -> None:
    model = tiny_model("llama", replace(SETTINGS, cache="static"))
    [events] = generate(model, prompts(5), Sampling(temperature=0, ignore_eos=True))
    assert finished(events).usage.completion_tokens == SETTINGS.context - 5


@pytest.mark.parametrize(("precision", "package"), [("q4_0", "optimum-quanto"), ("q8_0", "hqq")])
def test_a_quantised_cache_names_the_package_that_is_missing(precision: KvPrecision, package: str) -> None:
    if importlib.util.find_spec("optimum" if package.startswith("optimum") else package):
        pytest.skip("it is installed")
    with pytest.raises(EngineError, match=package):
        tiny_model("llama", replace(SETTINGS, cache="quantized", kv_precision=precision))


def test_an_offloaded_cache_needs_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(EngineError, match="no GPU"):
        tiny_model("llama", replace(SETTINGS, cache="offloaded"))


def test_a_model_that_cannot_have_a_kind_says_so() -> None:
    with pytest.raises(EngineError, match=r"quantized cache|optimum-quanto"):
        tiny_model("gemma3_text", replace(SETTINGS, cache="quantized", kv_precision="q4_0"))


def test_of_a_prompt_that_goes_on_nothing_old_is_read_again() -> None:
    model = tiny_model("llama")
    [prompt] = prompts(10)
    [answer] = new_tokens(model, [prompt], GREEDY)
    assert cached(model, [*prompt, *answer, 1, 2]) == len(prompt) + len(answer) - 1  # the last was never fed


def test_of_a_prompt_that_turns_off_the_common_part_is_kept() -> None:
    model = tiny_model("llama")
    [prompt] = prompts(10)
    generate(model, [prompt], GREEDY)
    assert cached(model, [*prompt[:6], 255, 254]) == 6


def test_a_prompt_that_shares_nothing_finds_nothing() -> None:
    model = tiny_model("llama")
    generate(model, [[1, 2, 3]], GREEDY)
    assert cached(model, [2, 2, 3]) == 0


def test_a_full_sliding_window_goes_on_but_never_back() -> None:
    model = tiny_model("mistral")
    [prompt] = prompts(20)
    [answer] = new_tokens(model, [prompt], GREEDY)
    assert cached(model, [*prompt, *answer, 1]) == len(prompt) + len(answer) - 1
    assert cached(model, prompt) == 0


def test_a_sliding_window_that_is_not_full_goes_back_too() -> None:
    model = tiny_model("mistral", sliding_window=60)
    [prompt] = prompts(20)
    generate(model, [prompt], GREEDY)
    assert cached(model, prompt) == len(prompt) - 1


@pytest.mark.parametrize("family", ["mamba", "falcon_h1", "rwkv"])
def test_a_recurrent_state_is_never_reused(family: str) -> None:
    model = tiny_model(family)
    [prompt] = prompts(10)
    [answer] = new_tokens(model, [prompt], GREEDY)
    assert cached(model, [*prompt, *answer, 1]) == 0


def test_rotations_that_depend_on_the_length_are_never_reused() -> None:
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    model = tiny_model("llama", rope_parameters=rope)
    generate(model, prompts(10), GREEDY)
    assert cached(model, prompts(10)[0]) == 0


def test_a_batch_leaves_nothing_behind() -> None:
    model = tiny_model("llama")
    [prompt] = prompts(10)
    generate(model, [prompt], GREEDY)
    generate(model, [prompt, prompt], GREEDY)
    assert cached(model, prompt) == 0


def test_an_answer_that_is_cancelled_leaves_its_cache() -> None:
    model = tiny_model("llama")
    [prompt] = prompts(10)
    polls = iter(range(1000))
    [events] = generate(model, [prompt], replace(GREEDY, logprobs=0), lambda: next(polls) > 8)
    assert finished(events).reason == "cancelled"
    [whole] = new_tokens(tiny_model("llama"), [prompt], GREEDY)
    n = finished(events).usage.completion_tokens
    assert 0 < n < len(whole)
    turn = [*prompt, *whole[:n], 1, 2]
    assert cached(model, turn) == len(prompt) + n
    assert new_tokens(model, [turn], GREEDY) == new_tokens(tiny_model("llama"), [turn], GREEDY)


def test_a_prompt_that_is_cancelled_leaves_nothing_behind() -> None:
    model = tiny_model("llama")
    [prompt] = prompts(10)
    generate(model, [prompt], GREEDY)
    polls = iter([False, False, True])
    generate(model, [[*prompt, 1, 2]], GREEDY, lambda: next(polls))
    assert cached(model, prompt) == 0
