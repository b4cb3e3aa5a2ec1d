"""From facts to a session: consent and memory are looked at before anything is fetched or started."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import header_checkpoint
import pytest

from shoestring import api
from shoestring.errors import DoesNotFitError, EngineError
from shoestring.hardware.catalog import named
from shoestring.hardware.probe import probe
from shoestring.models.facts import ModelFacts
from shoestring.models.hub.base import Origin, RemoteFile, Repository
from shoestring.planning.base import Request, TransformersSettings
from shoestring.runtime.early import EarlyWorker
from shoestring.runtime.opening import open_chosen


@pytest.fixture
def checkpoint(tmp_path: Path, home: Path) -> ModelFacts:
    """A checkpoint's headers, without weights behind them."""
    folder = header_checkpoint.write(tmp_path / "gpt2", header_checkpoint.FAMILIES["gpt2"]())
    header_checkpoint.write_tokenizer(folder)
    return api.read_model(folder)


@pytest.fixture
def own_code(checkpoint: ModelFacts) -> ModelFacts:
    return replace(checkpoint, own_code=("modeling_odd.py",), class_name="OddForCausalLM")


def test_a_model_s_own_code_needs_consent_and_the_error_says_what_it_means(own_code: ModelFacts) -> None:
    with EarlyWorker() as early, pytest.raises(EngineError, match=r"modeling_odd\.py.*with all your rights"):
        open_chosen(own_code, probe(), Request(context=64), early)
    assert early.take() is None


def test_consent_is_told_to_the_engine(own_code: ModelFacts) -> None:
    with EarlyWorker() as early:
        session = open_chosen(own_code, probe(), Request(context=64), early, trust_remote_code=True)
    assert isinstance(session.plan.settings, TransformersSettings)
    assert session.plan.settings.trust_remote_code
    session.close()


def test_code_beside_a_class_that_the_library_has_is_left_alone(checkpoint: ModelFacts) -> None:
    facts = replace(checkpoint, own_code=("modeling_gpt2.py",), class_name="GPT2LMHeadModel")
    with EarlyWorker() as early:
        session = open_chosen(facts, probe(), Request(context=64), early)
    assert isinstance(session.plan.settings, TransformersSettings)
    assert not session.plan.settings.trust_remote_code
    session.close()


def test_a_worker_of_the_right_engine_has_started_by_then(checkpoint: ModelFacts) -> None:
    with EarlyWorker() as early:
        session = open_chosen(checkpoint, probe(), Request(context=64), early)
    assert session._fresh is not None
    assert session._fresh.engine == "transformers"
    session.close()


def test_what_does_not_fit_is_refused_before_a_byte_is_fetched(checkpoint: ModelFacts) -> None:
    """Nothing could be fetched here: there is no such repository, and asking for it would be another error."""
    repository = Repository("org/name", "0" * 40, (RemoteFile("model.safetensors", 1),))
    remote = replace(checkpoint, files=(), origin=Origin(repository, ("model.safetensors",)))
    with EarlyWorker() as early, pytest.raises(DoesNotFitError):
        open_chosen(remote, probe(), Request(context=64, budget_bytes=1000), early)


def test_a_processor_without_avx2_runs_checkpoints(checkpoint: ModelFacts) -> None:
    old = replace(named("laptop-16gb"), cpu=replace(probe().cpu, features=("avx", "sse2")))
    with EarlyWorker() as early:
        open_chosen(checkpoint, old, Request(context=64), early).close()
