"""Sampling parameters: the model's own defaults, what was asked for, and the one place that checks them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any, TypedDict

from shoestring.engines.base import Sampling
from shoestring.errors import UsageError

# GGUF's `general.sampling.*` keys, by our name. `penalty_repeat` is llama.cpp's name for repeat_penalty.
_MODEL_KEYS = {
    "temp": "temperature",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "penalty_repeat": "repeat_penalty",
    "repeat_penalty": "repeat_penalty",
}


class SamplingOptions(TypedDict, total=False):
    """What a caller may set, every one optional; None means the model's own default. See `Sampling`."""

    max_tokens: int | None
    temperature: float | None
    top_p: float | None
    top_k: int | None
    min_p: float | None
    repeat_penalty: float | None
    seed: int | None
    stop: str | list[str] | tuple[str, ...] | None
    ignore_eos: bool | None
    stop_loops: bool | None
    logprobs: int | None


def model_defaults(own: Mapping[str, float] | None) -> Sampling:
    """The author's own settings where the file has them, `Sampling`'s documented defaults for the rest.

    A setting that could not work (a negative temperature) is left at the documented default.

    Args:
        own: `ModelFacts.sampling`: GGUF's `general.sampling.*`, with or without that prefix.
    """
    sampling = Sampling()
    for key, value in (own or {}).items():
        name = _MODEL_KEYS.get(key.removeprefix("general.sampling."))
        if name is None or isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        setting: dict[str, Any] = {name: int(value) if name == "top_k" else value}
        candidate = replace(sampling, **setting)
        try:
            check(candidate)
        except UsageError:
            continue
        sampling = candidate
    return sampling


def choose(own: Mapping[str, float] | None, asked: Mapping[str, object]) -> Sampling:
    """The sampling of one generation: what was asked, the model's own defaults where nothing was.

    Raises:
        UsageError: a parameter does not exist or can never work.
    """
    for name in _BEAMS & set(asked):
        raise UsageError(
            f"{name} is not possible: there is no beam search here. Beams keep as many caches as they are wide, "
            "beyond what was planned, and no text can be shown before the last token.",
            "Leave it out; a temperature of 0 gives the likeliest token at every step.",
        )
    known = {field.name for field in fields(Sampling)}
    unknown = sorted(set(asked) - known)
    if unknown:
        raise UsageError(
            f"There is no sampling parameter {unknown[0]!r}.", f"There are: {', '.join(sorted(known))}."
        )
    given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    stop = given.get("stop")
    if isinstance(stop, str):
        given["stop"] = (stop,)
    elif isinstance(stop, (list, tuple)):
        given["stop"] = tuple(stop)
    return check(replace(model_defaults(own), **given))


def check(sampling: Sampling) -> Sampling:
    """The same sampling, or an error about the first parameter that can never work.

    Raises:
        UsageError: with the parameter, its value and the range that is allowed.
    """
    for name, (works, allowed) in _RULES.items():
        value = getattr(sampling, name)
        if not works(value):
            raise UsageError(f"{name} is {value!r}, but it must be {allowed}.")
    return sampling


def _number(value: object) -> bool:
    """A finite number that a float can hold (an int may be too long for one)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_BEAMS = {"num_beams", "beams"}
"""What people know from other libraries."""

_RANDOM_SEED = 2**32 - 1
"""llama.cpp's LLAMA_DEFAULT_SEED: it asks for a fresh seed instead of being one."""

_RULES: dict[str, tuple[Callable[..., bool], str]] = {
    "max_tokens": (
        lambda n: n is None or (_whole(n) and 1 <= n < 2**31),
        "a whole number from 1 to 2147483647",
    ),
    "temperature": (lambda t: _number(t) and t >= 0, "a number of at least 0 (0 is greedy)"),
    "top_p": (lambda p: _number(p) and 0 < p <= 1, "above 0 and at most 1 (1 is off)"),
    "top_k": (lambda k: _whole(k) and 0 <= k < 2**31, "a whole number from 0 (off) to 2147483647"),
    "min_p": (lambda p: _number(p) and 0 <= p < 1, "at least 0 (off) and below 1"),
    "repeat_penalty": (lambda r: _number(r) and r > 0, "a number above 0 (1 is off)"),
    "seed": (
        lambda n: n is None or (_whole(n) and 0 <= n < _RANDOM_SEED),
        "a whole number from 0 to 4294967294",
    ),
    "stop": (
        lambda stop: isinstance(stop, tuple) and all(isinstance(text, str) and text for text in stop),
        "one or more strings, none of them empty",
    ),
    "ignore_eos": (lambda flag: isinstance(flag, bool), "true or false"),
    "stop_loops": (lambda flag: isinstance(flag, bool), "true or false"),
    "logprobs": (
        lambda n: n is None or (_whole(n) and 0 <= n < 2**31),
        "a whole number from 0 (of the chosen tokens alone) to 2147483647",
    ),
}
