"""What a smaller plan gives up is told in words."""

from __future__ import annotations

from dataclasses import replace

import pytest
from planning_facts import make_facts, make_machine

from shoestring.planning.base import Plan, Request, TransformersSettings
from shoestring.planning.difference import describe_difference
from shoestring.planning.solver import plan


@pytest.fixture
def asked() -> Plan:
    return plan(make_facts(), make_machine(), Request(context=4096)).plans[0]


def test_everything_that_is_given_up_is_told(asked: Plan) -> None:
    other = replace(asked, context=1024, kv_precision="q8_0", batch=1, precision="Q4_K_M")
    said = describe_difference(replace(asked, batch=2), other)
    assert said == "Q4_K_M weights and a context of 1,024 tokens and a batch of 1 and a q8_0 cache"


def test_a_cache_that_follows_the_weights_is_not_told_twice(asked: Plan) -> None:
    settings = TransformersSettings(context=4096)
    bf16 = replace(asked, engine="transformers", settings=settings, precision="bf16", kv_precision="bf16")
    assert describe_difference(bf16, replace(bf16, precision="fp16", kv_precision="f16")) == "fp16 weights"


def test_weights_that_leave_the_gpu_are_told(asked: Plan) -> None:
    settings = TransformersSettings(context=4096)
    held = replace(asked, engine="transformers", settings=settings)
    spilled = replace(held, settings=replace(settings, offload=True))
    assert describe_difference(held, spilled) == "weights kept partly outside the GPU"


def test_the_same_plan_gives_up_nothing(asked: Plan) -> None:
    assert describe_difference(asked, asked) == "nothing else"
