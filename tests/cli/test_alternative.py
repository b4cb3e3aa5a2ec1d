"""The command that runs what an error offers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from shoestring.cli._alternative import command
from shoestring.engines.fake import Script, fake_model
from shoestring.planning.base import LlamaCppSettings, Plan, TransformersSettings

RUN = ["run", "./model", "What is it?"]


@pytest.fixture
def gguf(tmp_path: Path) -> Plan:
    _, plan = fake_model(tmp_path / "script", Script())
    return replace(plan, engine="llama_cpp", settings=LlamaCppSettings(context=4096), precision="Q4_1")


@pytest.fixture
def checkpoint(gguf: Plan) -> Plan:
    settings = TransformersSettings(context=4096)
    return replace(gguf, engine="transformers", settings=settings, precision="bf16", kv_precision="bf16")


def test_what_changes_is_added(checkpoint: Plan) -> None:
    found = command(RUN, checkpoint, replace(checkpoint, precision="nf4", context=2048))
    assert found == "shoestring run ./model 'What is it?' --precision nf4 --context 2048"


@pytest.mark.parametrize("given", [["--context", "8192"], ["--context=8192"]])
def test_what_was_asked_for_is_replaced(checkpoint: Plan, given: list[str]) -> None:
    found = command([*RUN, *given, "--check"], checkpoint, replace(checkpoint, context=2048))
    assert found == "shoestring run ./model 'What is it?' --check --context 2048"


def test_a_smaller_cache_is_asked_for_on_llama_cpp_alone(gguf: Plan, checkpoint: Plan) -> None:
    assert command(RUN, gguf, replace(gguf, kv_precision="q8_0")) == (
        "shoestring run ./model 'What is it?' --kv q8_0"
    )
    changed = replace(checkpoint, precision="fp16", kv_precision="f16")
    assert command(RUN, checkpoint, changed) == "shoestring run ./model 'What is it?' --precision fp16"


def test_what_only_the_planner_chooses_is_left_to_it(gguf: Plan) -> None:
    fewer = replace(gguf, settings=LlamaCppSettings(context=4096, ubatch=128))
    assert command(RUN, gguf, fewer) == "shoestring run ./model 'What is it?' --auto"


def test_a_file_that_has_yet_to_be_made_has_no_command(checkpoint: Plan, gguf: Plan) -> None:
    assert command(RUN, checkpoint, replace(gguf, converted=True)) is None
