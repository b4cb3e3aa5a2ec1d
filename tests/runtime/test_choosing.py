"""Which plan a load follows, on machines given as data: no GPU was ever at hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import header_checkpoint
import pytest

from shoestring import api
from shoestring.engines import installed
from shoestring.errors import DoesNotFitError, EngineError, UsageError
from shoestring.hardware.base import Hardware, Memory
from shoestring.hardware.catalog import named
from shoestring.models.facts import ModelFacts
from shoestring.planning.base import CPU, Request, TransformersSettings
from shoestring.runtime.choosing import choose, engine_for, smaller, usable

MB = 10**6


@pytest.fixture
def checkpoint(tmp_path: Path, home: Path) -> ModelFacts:
    """A checkpoint's headers, without weights behind them."""
    folder = header_checkpoint.write(tmp_path / "gpt2", header_checkpoint.FAMILIES["gpt2"]())
    header_checkpoint.write_tokenizer(folder)
    return api.read_model(folder)


@pytest.fixture
def gguf(smollm2_files: tuple[Path, ...]) -> ModelFacts:
    return api.read_model("smollm2")


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """A torch that was built for GPUs."""
    monkeypatch.setattr(installed, "torch_has_cuda", lambda: True)


def with_memory(n_bytes: int) -> Hardware:
    return replace(named("laptop-16gb"), memory=Memory(n_bytes, n_bytes, None))


def test_a_gguf_file_runs_on_llama_cpp_on_the_cpu(gguf: ModelFacts, cuda: None) -> None:
    plan = choose(gguf, named("t4"), Request(context=512)).plan
    assert (plan.engine, set(plan.placement)) == ("llama_cpp", {CPU})


def test_a_checkpoint_runs_on_transformers(checkpoint: ModelFacts) -> None:
    assert choose(checkpoint, named("laptop-16gb"), Request(context=512)).plan.engine == "transformers"


def test_a_checkpoint_goes_to_the_gpu_where_there_is_one(checkpoint: ModelFacts, cuda: None) -> None:
    plan = choose(checkpoint, named("t4"), Request(context=512)).plan
    assert "gpu0" in plan.placement
    assert isinstance(plan.settings, TransformersSettings)
    assert plan.settings.compute_dtype in ("fp16", "fp32")  # a T4 has no bf16


def test_a_torch_without_cuda_leaves_the_gpu_alone(
    checkpoint: ModelFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installed, "torch_has_cuda", lambda: False)
    assert set(choose(checkpoint, named("t4"), Request(context=512)).plan.placement) == {CPU}


def test_no_gpu_memory_means_no_gpu(cuda: None) -> None:
    assert usable(named("t4"), Request(engine="transformers", vram_bytes=0)).gpus == ()


def test_gpu_memory_that_is_not_there_cannot_be_asked_for() -> None:
    with pytest.raises(UsageError, match="no GPU is here"):
        usable(named("laptop-16gb"), Request(engine="transformers", vram_bytes=10**9))


@pytest.mark.parametrize(
    ("engine", "why"), [("vllm", "can be made, but not loaded"), ("llama_cpp", "loads GGUF files only")]
)
def test_an_engine_that_cannot_load_it_is_refused(checkpoint: ModelFacts, engine: str, why: str) -> None:
    with pytest.raises(EngineError, match=why):
        engine_for(checkpoint, Request(engine=engine))


def test_what_has_yet_to_be_made_is_never_chosen(checkpoint: ModelFacts) -> None:
    choice = choose(checkpoint, named("laptop-16gb"), Request(context=512))
    assert not choice.plan.converted
    assert not any(
        plan.converted for plan in smaller(checkpoint, choice.hardware, choice.request, choice.plan)
    )


def test_the_precision_asked_for_is_chosen(checkpoint: ModelFacts) -> None:
    plan = choose(checkpoint, named("laptop-16gb"), Request(context=512, precision="nf4")).plan
    assert plan.precision == "nf4"


def test_a_missing_extra_is_named_with_its_pip_line(
    checkpoint: ModelFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installed, "find_spec", lambda name: None)
    with pytest.raises(EngineError, match="torch, transformers and accelerate are not installed") as caught:
        choose(checkpoint, named("laptop-16gb"), Request(context=512))
    assert "pip install 'shoestring[transformers]'" in str(caught.value.hint)


def test_what_does_not_fit_is_refused_with_the_nearest_that_does(
    gguf: ModelFacts, choose_in: Callable[[ModelFacts, Request], DoesNotFitError]
) -> None:
    error = choose_in(gguf, Request(context=8192))
    assert error.plan is not None
    assert error.alternative is not None
    assert error.alternative.fits
    assert not error.plan.fits


@pytest.fixture
def choose_in(home: Path) -> Callable[[ModelFacts, Request], DoesNotFitError]:
    def refused(facts: ModelFacts, request: Request) -> DoesNotFitError:
        with pytest.raises(DoesNotFitError) as caught:
            choose(facts, with_memory(320 * MB), request)
        return caught.value

    return refused


def test_auto_takes_what_fits_and_tells_what_it_gives_up(gguf: ModelFacts, home: Path) -> None:
    choice = choose(gguf, with_memory(320 * MB), Request(context=8192), auto=True)
    (step,) = choice.steps
    assert choice.plan.fits
    assert (step.failed.context, step.taken) == (8192, choice.plan)
    assert "does not fit" in str(step)
    assert "instead" in str(step)


def test_auto_refuses_what_nothing_helps(gguf: ModelFacts, home: Path) -> None:
    with pytest.raises(DoesNotFitError):
        choose(gguf, with_memory(100 * MB), Request(), auto=True)


def test_a_model_that_nobody_can_count_is_not_loaded(gguf: ModelFacts, home: Path) -> None:
    unknown = replace(
        gguf, not_understood=("Its layers are of a kind this version does not know.",), files=()
    )
    with pytest.raises(EngineError, match="cannot be said"):
        choose(unknown, named("laptop-16gb"), Request(context=512))
