"""Sampling: what was asked, else the model's own settings, else the documented defaults."""

from __future__ import annotations

import math
from typing import Any

import pytest

from shoestring.chat.sampling import choose, model_defaults
from shoestring.engines.base import Sampling
from shoestring.errors import UsageError


def test_without_settings_of_its_own_a_model_gets_the_documented_defaults() -> None:
    assert model_defaults(None) == Sampling()


def test_a_models_own_settings_come_before_the_defaults() -> None:
    own = {"temp": 0.2, "top_k": 20.0, "penalty_repeat": 1.1, "xtc_threshold": 0.5}
    assert model_defaults(own) == Sampling(temperature=0.2, top_k=20, repeat_penalty=1.1)


def test_the_keys_are_understood_with_their_gguf_prefix() -> None:
    assert model_defaults({"general.sampling.top_p": 0.5}).top_p == 0.5


def test_what_was_asked_comes_before_the_models_own_settings() -> None:
    chosen = choose({"temp": 0.2, "top_p": 0.5}, {"temperature": 0.0, "top_p": None})
    assert (chosen.temperature, chosen.top_p) == (0.0, 0.5)


def test_a_setting_that_cannot_work_is_not_taken_over_from_the_model() -> None:
    assert model_defaults({"temp": -1.0, "top_p": math.nan}) == Sampling()


def test_one_stop_string_may_stand_alone() -> None:
    assert choose(None, {"stop": "\n"}).stop == ("\n",)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("temperature", value) for value in (-0.1, math.nan, math.inf, "hot", True, 10**400)],
        *[("top_p", value) for value in (0, 1.1, -1, math.nan)],
        *[("top_k", value) for value in (-1, 0.5, 2**31, 10**30)],
        *[("min_p", value) for value in (-0.1, 1, math.nan)],
        *[("repeat_penalty", value) for value in (0, -1, math.inf)],
        *[("max_tokens", value) for value in (0, -5, 1.5, 2**31, 10**20)],
        *[("seed", value) for value in (-1, 2**32 - 1, 2**32, 0.5)],
        *[("stop", value) for value in ("", ["a", ""], [1])],
        ("ignore_eos", "yes"),
        *[("logprobs", value) for value in (-1, 0.5, True, 2**31)],
    ],
)
def test_what_can_never_work_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=name):
        choose(None, {name: value})


@pytest.mark.parametrize("name", ["num_beams", "beams"])
def test_beams_are_refused_with_the_reason(name: str) -> None:
    with pytest.raises(UsageError, match="as many caches as they are wide"):
        choose(None, {name: 4})


def test_an_unknown_parameter_is_refused_with_those_that_exist() -> None:
    with pytest.raises(UsageError, match="'temprature'") as caught:
        choose(None, {"temprature": 1})
    assert "temperature" in str(caught.value.hint)
