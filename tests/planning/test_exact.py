"""The engine's own figures in a plan: whole groups replaced, everything else kept."""

from __future__ import annotations

from dataclasses import replace

import header_checkpoint
import pytest
from planning_facts import make_machine

from shoestring.models.facts import ModelFacts
from shoestring.models.safetensors_facts import read_checkpoint
from shoestring.models.source import FolderSource
from shoestring.planning.request import request
from shoestring.planning.solver import plan

MACHINE = make_machine()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> ModelFacts:
    folder = tmp_path_factory.mktemp("models") / "smollm2"
    header_checkpoint.write(folder, header_checkpoint.FAMILIES["smollm2-135m"]())
    header_checkpoint.write_tokenizer(folder)
    return read_checkpoint(FolderSource(folder), id="smollm2-135m")


def test_transformers_is_asked_about_a_folder(small: ModelFacts) -> None:
    asked = request(engine="transformers", precision="bf16", context=256)
    formula, exact = plan(small, MACHINE, asked).plans[0], plan(small, MACHINE, asked, exact=True).plans[0]
    assert (formula.method, exact.method) == ("formula", "dry-run")
    assert exact.bytes.kv_cache == formula.bytes.kv_cache
    assert exact.bytes.weights == pytest.approx(formula.bytes.weights, rel=0.01)
    assert exact.bytes.runtime == formula.bytes.runtime


def test_a_file_that_has_yet_to_be_made_cannot_be_asked_about(small: ModelFacts) -> None:
    asked = request(precision="Q8_0", context=256)
    found = plan(small, MACHINE, asked, exact=True).plans[0]
    assert found.method == "formula"
    assert any("could not be asked" in note for note in found.notes)


def test_a_checkpoint_without_its_folder_cannot_be_asked_about(small: ModelFacts) -> None:

    elsewhere = replace(small, config_file=None)
    asked = request(engine="transformers", precision="bf16", context=256)
    assert plan(elsewhere, MACHINE, asked, exact=True).plans[0].method == "formula"
