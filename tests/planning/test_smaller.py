"""After a plan failed for memory: what needs clearly less, in the order of what is given up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import header_checkpoint
import pytest
from planning_facts import make_facts, make_machine

from shoestring import api
from shoestring.models.facts import ModelFacts
from shoestring.planning.base import Plan, Request
from shoestring.planning.smaller import CLEARLY_LESS, smaller_plans
from shoestring.planning.solver import plan

MACHINE = make_machine()


@pytest.fixture
def checkpoint(tmp_path: Path) -> ModelFacts:
    folder = header_checkpoint.write(tmp_path / "model", header_checkpoint.FAMILIES["llama-3.2-1b"]())
    header_checkpoint.write_tokenizer(folder)
    return api.read_model(folder)


def failed(facts: ModelFacts, request: Request) -> Plan:
    return plan(facts, MACHINE, request).plans[0]


def peak(of: Plan) -> int:
    return max(of.bytes.total or 0, of.bytes.load_peak or 0)


def smaller_than(facts: ModelFacts, request: Request) -> tuple[Plan, tuple[Plan, ...]]:
    asked = failed(facts, request)
    return asked, smaller_plans(facts, MACHINE, request, asked)


def test_every_one_fits_and_needs_clearly_less(checkpoint: ModelFacts) -> None:
    asked, found = smaller_than(checkpoint, Request(engine="transformers", context=2048))
    assert found
    assert all(each.fits and peak(each) < CLEARLY_LESS * peak(asked) for each in found)
    assert all(each.engine == asked.engine and not each.converted for each in found)


def test_precision_is_given_up_before_the_context(checkpoint: ModelFacts) -> None:
    asked, found = smaller_than(checkpoint, Request(engine="transformers", context=2048))
    assert (found[0].precision != asked.precision, found[0].context) == (True, asked.context)


def test_a_precision_that_was_asked_for_is_given_up_last(checkpoint: ModelFacts) -> None:
    request = Request(engine="transformers", precision="bf16", context=8192)
    _, found = smaller_than(checkpoint, request)
    kept = [each.precision == "bf16" for each in found]
    assert kept == sorted(kept, reverse=True)


def test_a_batch_is_given_up_last_of_all(checkpoint: ModelFacts) -> None:
    _, found = smaller_than(checkpoint, Request(engine="transformers", context=2048, batch=4))
    batches = [each.batch for each in found]
    assert batches == sorted(batches, reverse=True)
    assert batches[-1] == 1


def test_a_gguf_file_keeps_its_weights() -> None:
    facts = replace(make_facts(layers=24, kv_heads=4), context_length=32768)
    asked, found = smaller_than(facts, Request(context=32768))
    assert found[0].kv_precision == "q8_0"
    assert {each.precision for each in found} == {asked.precision}


def test_where_nothing_fits_there_is_nothing(checkpoint: ModelFacts) -> None:
    request = Request(engine="transformers", context=2048)
    asked = failed(checkpoint, request)
    assert smaller_plans(checkpoint, make_machine(available_bytes=1), request, asked) == ()
