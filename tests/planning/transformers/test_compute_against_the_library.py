"""Weights, cache and working memory by formula are those of the library's own forward pass over fake tensors."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from shoestring.hardware.base import Cpu, Disk, Gpu, Hardware, Memory
from shoestring.models.facts import ModelFacts
from shoestring.planning.base import CPU, ComputeDtype, Group, Precision, TransformersSettings
from shoestring.planning.transformers.model import TransformersMemory

GIB = 1024**3
BOUNDS: dict[Group, float] = {"weights": 0.01, "kv_cache": 0.01, "compute": 0.05}
FAMILIES = (
    *("smollm2-135m", "gemma-3-270m", "gpt2", "phi-2"),
    *("qwen1.5-moe-a2.7b", "deepseek-v2-lite", "gemma-3n-e2b", "command-r-35b"),
)
_QUANTIZED: tuple[Precision, ...] = ("int8", "nf4", "nf4-dq")
DRAWN = random.Random(14)
"""Each family meets one context, batch, precision, attention and device, the same every time (no mixture of experts
meets fp32, which the library's grouped product does not take over fake tensors, nor latent attention 8 bits on a CPU)."""


def drawn() -> tuple[TransformersSettings, bool]:
    """Settings of a load, and whether it lies on a GPU."""
    precision: Precision = DRAWN.choice(("bf16", "fp32", *_QUANTIZED))
    compute_dtype: ComputeDtype = "fp32" if precision == "fp32" else "bf16"
    settings = TransformersSettings(
        context=DRAWN.choice((512, 1024, 2048)),
        batch=DRAWN.choice((1, 2)),
        precision=precision,
        compute_dtype=compute_dtype,
        attention=DRAWN.choice(("sdpa", "eager")),
    )
    return settings, DRAWN.random() < 0.3


@pytest.mark.parametrize(("family", "drawn"), [(family, drawn()) for family in FAMILIES], ids=FAMILIES)
def test_formula_and_library_agree(
    family: str, drawn: tuple[TransformersSettings, bool], facts_of: Callable[[str], ModelFacts]
) -> None:
    from bitsandbytes.functional import has_avx512bf16

    from shoestring.engines.fake_forward import run

    settings, on_gpu = drawn
    facts = facts_of(family)
    assert facts.config_file is not None
    given = run(facts.config_file.parent, settings, on_gpu=on_gpu)
    theirs: dict[Group, int] = {
        "weights": sum(given.weights.values()),
        "kv_cache": given.kv_cache,
        "compute": max(given.prefill_peak, given.decode_peak),
    }
    ours = by_formula(facts, settings, on_gpu=on_gpu, packs_4bit=has_avx512bf16())
    assert ours == {group: pytest.approx(theirs[group], rel=bound) for group, bound in BOUNDS.items()}


def by_formula(
    facts: ModelFacts, settings: TransformersSettings, *, on_gpu: bool, packs_4bit: bool
) -> dict[Group, int]:
    """Bytes by group of a model that lies in one place."""
    features = ("avx512_bf16",) if packs_4bit else ()
    hardware = Hardware(Cpu("x", 4, 8, features), Memory(64 * GIB, 60 * GIB, None), (), Disk("/", 100 * GIB))
    if on_gpu:
        hardware = replace(hardware, gpus=(Gpu("x", 80 * GIB, 80 * GIB, None, None, (9, 0), True),))
    memory = TransformersMemory()
    device = "gpu0" if on_gpu else CPU
    assignment = (device,) * len(memory.units(facts, settings, hardware))
    terms = memory.estimate(facts, settings, hardware, assignment).terms
    return {group: sum(term.bytes for term in terms if term.group == group) for group in BOUNDS}
