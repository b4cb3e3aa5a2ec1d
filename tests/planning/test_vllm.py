"""vLLM from its documentation: pages of cache, one pool, and no figure where there is none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from planning_facts import make_machine

from shoestring.hardware.base import Gpu, Hardware
from shoestring.models.facts import (
    AttentionFacts,
    ExpertFacts,
    LatentFacts,
    LayerFacts,
    ModelFacts,
    Parameters,
    StateFacts,
    TensorInfo,
    Weights,
)
from shoestring.planning.base import VllmSettings
from shoestring.planning.vllm import (
    MAX_NUM_BATCHED_TOKENS,
    NEVER_RUN,
    VllmMemory,
    kv_cache_bytes,
    layer_cache_bytes,
    why_not,
)

GiB = 2**30
L4 = Gpu("NVIDIA L4", 24 * GiB, 23 * GiB, None, None, (8, 9), True)
FULL = AttentionFacts(heads=32, kv_heads=8, head_dim_k=128, head_dim_v=128)
SLIDING = replace(FULL, window=1024)
VOCABULARY, HIDDEN = 128_256, 4096
MODEL = VllmMemory()


def tensor(name: str, *shape: int, dtype: str = "BF16", width: int = 2) -> TensorInfo:
    elements = 1
    for n in shape:
        elements *= n
    return TensorInfo(name, shape, dtype, elements * width, 0)


def model(
    *attention: AttentionFacts | None, experts: ExpertFacts | None = None, tied: bool = False
) -> ModelFacts:
    tensors = [tensor("model.embed_tokens.weight", VOCABULARY, HIDDEN), tensor("model.norm.weight", HIDDEN)]
    tensors += [] if tied else [tensor("lm_head.weight", VOCABULARY, HIDDEN)]
    for i in range(len(attention)):
        tensors.append(tensor(f"model.layers.{i}.self_attn.q_proj.weight", HIDDEN, HIDDEN))
        tensors += [
            tensor(f"model.layers.{i}.mlp.experts.{j}.up_proj.weight", 100, HIDDEN)
            for j in range(experts.count if experts else 0)
        ]
    return ModelFacts(
        id="made",
        format="safetensors",
        files=(),
        file_bytes=0,
        architecture="llama",
        name=None,
        kind="base",
        parameters=Parameters(0, 0, {}),
        weights=Weights(0, {}),
        layers=tuple(LayerFacts(each, 0, experts=experts) for each in attention),
        hidden_size=HIDDEN,
        context_length=8192,
        vocab_size=VOCABULARY,
        license=None,
        chat_template=None,
        tokenizer=None,
        tensors=tuple(tensors),
        tied=tied,
    )


def machine(*gpus: Gpu) -> Hardware:
    return replace(make_machine(), gpus=gpus)


def test_llama_3_8b_keeps_a_gibibyte_at_8192_tokens() -> None:
    assert kv_cache_bytes(model(*[FULL] * 32), VllmSettings(context=8192)) == GiB


@pytest.mark.parametrize(("context", "pages"), [(1, 1), (16, 1), (17, 2), (8191, 512)])
def test_a_sequence_holds_whole_pages(context: int, pages: int) -> None:
    page = 16 * 8 * (128 + 128) * 2
    assert kv_cache_bytes(model(FULL), VllmSettings(context=context, batch=3)) == 3 * pages * page


def test_a_sliding_layer_keeps_its_window_one_step_and_a_page() -> None:
    held = kv_cache_bytes(model(SLIDING), VllmSettings(context=100_000))
    pages = -(-(1023 + MAX_NUM_BATCHED_TOKENS) // 16) + 1
    assert held == pages * 16 * 8 * (128 + 128) * 2


def test_uneven_groups_are_padded_as_for_gemma_3_27b() -> None:
    settings = VllmSettings(context=32_768)
    both = model(*[FULL] * 10, *[SLIDING] * 52)
    full, sliding = (kv_cache_bytes(model(kind), settings) for kind in (FULL, SLIDING))
    assert kv_cache_bytes(both, settings) == 10 * full + 60 * sliding
    assert sum(layer_cache_bytes(both, settings)) == 10 * full + 52 * sliding


def test_latent_attention_keeps_one_vector() -> None:
    latent = replace(FULL, latent=LatentFacts(rank=512, rope_dim=64))
    assert kv_cache_bytes(model(latent), VllmSettings(context=16)) == 16 * 576 * 2


def test_a_layer_that_reads_another_s_cache_has_none() -> None:
    shared = replace(FULL, shares_cache_of=0)
    settings = VllmSettings(context=64)
    assert kv_cache_bytes(model(FULL, shared), settings) == kv_cache_bytes(model(FULL), settings)


@pytest.mark.parametrize(
    "facts",
    [
        replace(model(FULL), layers=(LayerFacts(FULL, 0), LayerFacts(None, 0, state=StateFacts("mamba2")))),
        model(FULL, replace(FULL, kv_heads=4)),
        model(None),
        replace(model(FULL), not_understood=("A layer is new.",)),
    ],
)
def test_a_cache_whose_rules_are_not_documented_is_missing(facts: ModelFacts) -> None:
    estimate = MODEL.estimate(facts, VllmSettings(context=64), machine(L4), ("gpu0",) * 3)
    assert estimate.missing["kv_cache"].endswith(".")
    with pytest.raises(ValueError, match=r"\w+"):
        kv_cache_bytes(facts, VllmSettings(context=64))


@pytest.mark.parametrize(("precision", "width"), [("bf16", 2), ("fp32", 4), ("stored", 2)])
def test_weights_are_as_asked_or_as_stored(precision: Any, width: int) -> None:
    settings = VllmSettings(context=64, precision=precision)
    units = MODEL.units(model(FULL), settings, machine(L4))
    expected = 2 * VOCABULARY * HIDDEN + HIDDEN + HIDDEN * HIDDEN
    assert sum(unit.weights for unit in units) == width * expected


def test_a_tied_head_is_the_embedding_and_reads_it() -> None:
    units = MODEL.units(model(FULL, tied=True), VllmSettings(context=64), machine(L4))
    assert units[-1].weights == 2 * HIDDEN
    assert units[-1].read == 2 * HIDDEN + 2 * VOCABULARY * HIDDEN


def test_a_token_reads_the_experts_it_uses() -> None:
    facts = model(FULL, experts=ExpertFacts(count=8, used=2, feed_forward=100))
    unit = MODEL.units(facts, VllmSettings(context=64), machine(L4))[1]
    assert unit.weights - unit.read == 6 * 2 * 100 * HIDDEN


def test_the_pool_is_taken_whatever_is_asked() -> None:
    for context in (16, 4096):
        estimate = MODEL.estimate(model(FULL), VllmSettings(context=context), machine(L4), ("gpu0",) * 3)
        assert estimate.load_peak == {"gpu0": int(24 * GiB * 0.9)}


def test_activations_are_never_guessed_and_the_source_is_named() -> None:
    estimate = MODEL.estimate(model(FULL), VllmSettings(context=64), machine(L4), ("gpu0",) * 3)
    assert set(estimate.missing) == {"compute", "runtime"}
    assert NEVER_RUN in estimate.notes


def test_what_can_never_be_served_is_said() -> None:
    estimate = MODEL.estimate(
        model(*[FULL] * 200), VllmSettings(context=8192, batch=8), machine(L4), ("gpu0",)
    )
    assert "cannot serve it" in estimate.notes[1]


def test_vllm_needs_a_gpu_that_is_new_enough() -> None:
    p100 = replace(L4, name="Tesla P100", compute_capability=(6, 0))
    assert why_not(machine(L4)) is None
    assert why_not(machine(replace(L4, compute_capability=None))) is None
    assert why_not(machine(p100)) == "vLLM needs a GPU of compute capability 7.5; Tesla P100 has 6.0."
    assert "has none" in (why_not(machine()) or "")
