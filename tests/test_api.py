"""Models by name: what fits is opened, what does not is refused with what would."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from shoestring import api
from shoestring.errors import DoesNotFitError, EngineError, UsageError
from shoestring.hardware import probe
from shoestring.planning.base import Request
from shoestring.units import MiB


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with 320 MiB in all."""
    here = probe.probe()
    memory = replace(here.memory, total_bytes=320 * MiB, available_bytes=320 * MiB, limit_bytes=None)
    monkeypatch.setattr(probe, "probe", lambda: replace(here, memory=memory))


@pytest.mark.usefixtures("little_memory")
def test_what_does_not_fit_is_refused_with_what_would(smollm2_files: tuple[Path, ...]) -> None:
    with pytest.raises(DoesNotFitError, match="does not fit") as caught:
        api.open_model("smollm2", Request(context=8192))
    error = caught.value
    assert error.plan is not None
    assert error.alternative is not None
    assert error.alternative.fits
    assert f"{error.alternative.context:,}" in str(error.hint)


@pytest.mark.usefixtures("little_memory")
def test_what_can_never_fit_is_refused_without_an_alternative(gemma_files: tuple[Path, ...]) -> None:
    with pytest.raises(DoesNotFitError) as caught:
        api.open_model("gemma3-270m", Request(context=512))
    assert caught.value.alternative is None


def test_a_budget_can_be_written_as_text(smollm2_files: tuple[Path, ...]) -> None:
    assert api.plan("smollm2", ram="400MB").plans[0].budget_bytes == 400_000_000


def test_a_budget_that_is_no_size_is_a_usage_error(smollm2_files: tuple[Path, ...]) -> None:
    with pytest.raises(UsageError, match="not a size"):
        api.plan("smollm2", ram="plenty")


@pytest.mark.parametrize(
    ("name", "value"),
    [("context", "4k"), ("context", 512.0), ("batch", "2"), ("batch", True), ("ram", 2e9), ("vram", 2e9)],
)
def test_a_request_of_the_wrong_type_is_refused_by_name_before_anything_is_read(
    name: str, value: object
) -> None:
    with pytest.raises(UsageError, match=f"{name} is {value!r}"):
        api.plan("no-such-model", **{name: value})  # type: ignore[arg-type]


def test_loading_checks_the_types_of_a_request_too() -> None:
    with pytest.raises(UsageError, match="context is '4k'"):
        api.load("no-such-model", context="4k")  # type: ignore[arg-type]


def test_a_model_can_be_given_as_a_path_object(smollm2_files: tuple[Path, ...]) -> None:
    (file,) = smollm2_files
    assert api.inspect(file).id == str(file)
    assert api.plan(file, context=512).plans[0].context == 512
    assert api.pull(file).files == (file,)
    with api.open_model(file, Request(context=512)) as model:
        assert model.facts.files == (file,)


@pytest.mark.parametrize("verb", [api.load, api.inspect, api.plan, api.pull])
@pytest.mark.parametrize("nothing", [None, 3])
def test_what_names_no_model_is_a_usage_error(verb: Callable[[object], object], nothing: object) -> None:
    with pytest.raises(UsageError, match="named by text or a path"):
        verb(nothing)


def test_opening_loads_nothing(smollm2_files: tuple[Path, ...]) -> None:
    with api.open_model("smollm2", Request(context=512)) as model:
        assert model.session.load_s is None


def test_a_processor_on_which_the_engine_would_crash_is_refused_before_loading(
    smollm2_files: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = probe.probe()
    old = replace(here, cpu=replace(here.cpu, features=("avx", "sse2")))
    monkeypatch.setattr(probe, "probe", lambda: old)
    with pytest.raises(EngineError, match="AVX2"):
        api.open_model("smollm2", Request(context=512))
