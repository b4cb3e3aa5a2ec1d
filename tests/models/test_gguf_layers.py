"""What each family's layers keep and compute, from the headers of published models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from gguf_families import Model, Value, scaled, write_header
from gguf_models import ALIKE, FAMILIES

from shoestring.errors import InvalidModelFileError
from shoestring.models.facts import AttentionFacts, ExpertFacts, LatentFacts, ModelFacts, StateFacts
from shoestring.models.gguf_facts import read_facts


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


def read(path: Path, name: str, **pairs: Value) -> ModelFacts:
    """The family with few tokens, and with pairs changed; `__` stands for a dot."""
    return read_model(path, scaled(FAMILIES[name](), vocabulary=64), **pairs)


def read_model(path: Path, model: Model, **pairs: Value) -> ModelFacts:
    changed = {key.replace("__", "."): value for key, value in pairs.items()}
    write_header(path, replace(model, pairs=model.pairs | changed))
    return read_facts([path], id=path.name)


def test_a_mixture_has_experts_and_no_dense_feed_forward(path: Path) -> None:
    layer = read(path, "qwen3-30b-a3b").layers[0]
    assert layer.experts == ExpertFacts(count=128, used=8, feed_forward=768)
    assert layer.feed_forward == 0


def test_what_all_tokens_share_counts_together(path: Path) -> None:
    experts = read(path, "deepseek-v2-lite").layers[1].experts
    assert experts == ExpertFacts(count=64, used=6, feed_forward=1408, shared_feed_forward=2816)


def test_dense_layers_lead_deepseek(path: Path) -> None:
    first = read(path, "deepseek-v2-lite").layers[0]
    assert (first.experts, first.feed_forward) == (None, 10944)


def test_a_latent_cache_is_told_from_the_heads_it_serves(path: Path) -> None:
    attention = read(path, "deepseek-v2-lite").layers[0].attention
    assert attention == AttentionFacts(16, 16, 192, 128, latent=LatentFacts(rank=512, rope_dim=64))


def test_an_older_conversion_keeps_every_head_s_keys_and_values(path: Path) -> None:
    attention = read(path, "deepseek-v2-lite-uncompressed").layers[0].attention
    assert attention == AttentionFacts(16, 16, 192, 128)


def test_mamba_keeps_a_convolution_s_columns_and_a_state(path: Path) -> None:
    layer = read(path, "mamba-1.4b").layers[0]
    assert layer.attention is None
    assert layer.state == StateFacts("mamba", conv_channels=4096, conv_kernel=4, state_values=16 * 4096)


def test_mamba_2_convolves_its_groups_keys_and_queries_too(path: Path) -> None:
    state = read(path, "mamba2-1.3b").layers[0].state
    assert state == StateFacts("mamba2", conv_channels=4096 + 2 * 128, conv_kernel=4, state_values=128 * 4096)


def test_jamba_attends_where_a_layer_has_key_value_heads(path: Path) -> None:
    layers = read(path, "jamba-mini").layers
    assert [i for i, layer in enumerate(layers) if layer.attention] == [4, 12, 20, 28]
    assert all((layer.attention is None) != (layer.state is None) for layer in layers)


def test_falcon_h1_has_both_in_every_layer(path: Path) -> None:
    assert all(layer.attention and layer.state for layer in read(path, "falcon-h1-1.5b").layers)


def test_qwen3_next_attends_in_every_fourth_layer(path: Path) -> None:
    layers = read(path, "qwen3-next-80b-a3b").layers
    assert [i for i, layer in enumerate(layers) if layer.attention] == list(range(3, 48, 4))
    layers = read(path, "qwen3-next-80b-a3b", full_attention_interval=4).layers
    assert layers[0].state == StateFacts("linear_attention", 8192, 4, 128 * 4096)


def test_short_convolutions_keep_columns_alone(path: Path) -> None:
    assert read(path, "lfm2-1.2b").layers[0].state == StateFacts("short_conv", 2048, 3)


def test_gemma_3n_s_last_layers_read_earlier_caches(path: Path) -> None:
    layers = read(path, "gemma-3n-e2b").layers
    shared = [layer.attention.shares_cache_of for layer in layers if layer.attention]
    assert shared[:20] == [None] * 20
    assert shared[20:] == [18, 18, 18, 18, 19, 18, 18, 18, 18, 19]


def test_gemma_4_says_how_many_layers_read_earlier_caches(path: Path) -> None:
    layers = read_model(path, ALIKE["gemma4 with own inputs"]()).layers
    shared = [layer.attention.shares_cache_of for layer in layers if layer.attention]
    assert shared == [None] * 8 + [6, 6, 6, 7]


def test_gemma_4_s_keys_are_as_wide_as_its_values(path: Path) -> None:
    for name in ("attention__value_length", "attention__value_length_swa"):
        with pytest.raises(InvalidModelFileError, match="wide"):
            read_model(path, ALIKE["gemma4 with keys for values"](), **{name: 64})


def test_a_mixture_that_must_name_its_gate_does(path: Path) -> None:
    with pytest.raises(InvalidModelFileError, match="expert_gating_func is missing"):
        read_model(path, ALIKE["dots1"](), expert_gating_func=0)


def test_a_cache_of_another_kind_cannot_be_read(path: Path) -> None:
    with pytest.raises(InvalidModelFileError, match="none of its kind"):
        read_model(path, ALIKE["gemma4 with own inputs"](), attention__shared_kv_layers=3)


def test_what_the_tensors_do_not_tell_is_a_trait(path: Path) -> None:
    assert read(path, "pythia-1b").traits == {"parallel_residual"}
    assert read(path, "granite-4-h-tiny").traits == {"no_rope", "residual_scale"}
    assert read(path, "llama-3-8b").traits == frozenset()


def test_a_tied_head_is_told(path: Path) -> None:
    assert read(path, "gpt2").tied
    assert not read(path, "llama-3-8b").tied


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_understood(name: str, path: Path) -> None:
    assert read(path, name).not_understood == ()


@pytest.mark.parametrize("name", ALIKE)
def test_those_alike_are_understood(name: str, path: Path) -> None:
    assert read_model(path, ALIKE[name]()).not_understood == ()


@pytest.mark.parametrize(
    ("name", "pairs", "says"),
    [
        ("mamba-1.4b", {"ssm__inner_size": 2048}, "ssm.inner_size is 2,048 instead of 4,096"),
        ("mamba-1.4b", {"ssm__conv_kernel": 1}, "ssm.conv_kernel is 1"),
        ("mamba2-1.3b", {"ssm__group_count": 0}, "ssm.group_count is 0"),
        ("mamba2-1.3b", {"ssm__time_step_rank": 63}, "in 63 heads"),
        ("lfm2-1.2b", {"shortconv__l_cache": 1}, "shortconv.l_cache is 1"),
        ("qwen3-next-80b-a3b", {"ssm__group_count": 24}, "24 groups"),
        ("qwen3-next-80b-a3b", {"ssm__inner_size": 2048}, "do not make 2,048"),
        ("qwen3-30b-a3b", {"expert_used_count": 64}, "64 experts used"),
        ("deepseek-v2-lite", {"expert_gating_func": 7}, "expert_gating_func is 7"),
        ("deepseek-v2-lite", {"attention__key_length": 512}, "contradicts"),
        ("deepseek-v2-lite", {"attention__value_length_mla": 0}, "value_length_mla"),
        ("deepseek-v2-lite", {"attention__head_count_kv": 2}, "contradicts"),
    ],
)
def test_numbers_that_llama_cpp_aborts_on_are_refused(
    name: str, pairs: dict[str, Value], says: str, path: Path
) -> None:
    with pytest.raises(InvalidModelFileError) as caught:
        read(path, name, **pairs)
    assert says in caught.value.message
