"""The family table: what is read of each family's config and header is what transformers builds and caches.

Published shapes are checked against the library's own models on the meta device and against published counts;
every family in miniature is run for real, and the layers compared with the cache that it filled.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from header_checkpoint import FAMILIES, config_of, meta_model, saved_tensors, write_tensors
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_checkpoints import TINY, WINDOW

from shoestring.errors import InvalidModelFileError
from shoestring.models.facts import (
    NO_CONTEXT_LIMIT,
    AttentionFacts,
    ExpertFacts,
    LatentFacts,
    LayerFacts,
    ModelFacts,
    StateFacts,
)
from shoestring.models.safetensors.components import component_of, layer_of
from shoestring.models.safetensors.config import Section
from shoestring.models.safetensors.defaults import DEFAULTS
from shoestring.models.safetensors.families import FAMILIES as UNDERSTOOD
from shoestring.models.safetensors.families import TEXT_MODELS, TIES_BY_DEFAULT
from shoestring.models.safetensors.layers import read_text_model
from shoestring.models.safetensors_facts import read_checkpoint
from shoestring.models.source import FolderSource

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
transformers.utils.logging.set_verbosity_error()


def facts_of(model: Any, folder: Path) -> ModelFacts:
    write_tensors(folder, config_of(model), saved_tensors(model))
    return read_checkpoint(FolderSource(folder), id=folder.name)


def saved_parameters(model: Any) -> int:
    """The library's own count, and buffers that it saves (the router's learned bias of DeepSeek-V3)."""
    buffers = dict(model.named_buffers())
    return int(model.num_parameters()) + sum(b.numel() for n, b in buffers.items() if n in model.state_dict())


PUBLISHED = {  # parameters in all, and those that decode one token (embedding and head included)
    "llama-3-8b": (8_030_261_248, 8_030_261_248),
    "llama-3.2-1b": (1_235_814_400, 1_235_814_400),
    "llama-4-scout": (108_641_793_536, 17_172_894_720),
    "qwen2-7b": (7_615_616_512, 7_615_616_512),
    "qwen1.5-moe-a2.7b": (14_315_784_192, 2_689_173_504),
    "qwen3-8b": (8_190_735_360, 8_190_735_360),
    "qwen3-30b-a3b": (30_532_122_624, 3_353_032_704),
    "mistral-7b": (7_241_732_096, 7_241_732_096),
    "mixtral-8x7b": (46_702_792_704, 12_879_925_248),
    "gemma-7b": (8_537_680_896, 8_537_680_896),
    "gemma-2-9b": (9_241_705_984, 9_241_705_984),
    "gemma-3-270m": (268_098_176, 268_098_176),
    "gemma-3-4b": (4_300_079_472, 3_880_263_168),
    "phi-2": (2_779_683_840, 2_779_683_840),
    "phi-3-mini": (3_821_079_552, 3_821_079_552),
    "deepseek-v2-lite": (15_706_484_224, 2_661_150_208),
    "gpt2": (124_439_808, 124_439_808),
    "pythia-1.4b": (1_414_647_808, 1_414_647_808),
    "gpt-oss-20b": (20_914_757_184, 4_187_440_704),  # the model card leaves out the embedding: 3.61 billion
    "falcon-7b": (6_921_720_704, 6_921_720_704),
    "falcon-h1-0.5b": (521_411_104, 521_411_104),
    "jamba-v0.1": (51_570_323_328, 12_110_311_296),
    "mamba-130m": (129_135_360, 129_135_360),
    "mamba-2.8b": (2_768_345_600, 2_768_345_600),
    "mamba2-7b": (7_285_403_648, 7_285_403_648),
    "smollm2-135m": (134_515_008, 134_515_008),
    "olmo-2-7b": (7_298_617_344, 7_298_617_344),
    "stablelm-2-1.6b": (1_644_515_328, 1_644_515_328),
    "glm-4-9b": (9_400_279_040, 9_400_279_040),
}


def gqa(heads: int, kv_heads: int, head_dim: int, window: int | None = None) -> AttentionFacts:
    return AttentionFacts(heads, kv_heads, head_dim, head_dim, window)


LAYERS = {  # the first and the last layer, derived by hand from the published configs
    "llama-3-8b": (LayerFacts(gqa(32, 8, 128), 14336),) * 2,
    "qwen2-7b": (LayerFacts(gqa(28, 4, 128), 18944),) * 2,
    "qwen3-8b": (LayerFacts(gqa(32, 8, 128), 12288),) * 2,
    "qwen3-30b-a3b": (LayerFacts(gqa(32, 4, 128), 0, None, ExpertFacts(128, 8, 768)),) * 2,
    "mistral-7b": (LayerFacts(gqa(32, 8, 128, 4096), 14336),) * 2,
    "mixtral-8x7b": (LayerFacts(gqa(32, 8, 128), 0, None, ExpertFacts(8, 2, 14336)),) * 2,
    "gemma-2-9b": (LayerFacts(gqa(16, 8, 256, 4096), 14336), LayerFacts(gqa(16, 8, 256), 14336)),
    "gemma-3-270m": (LayerFacts(gqa(4, 1, 256, 512), 2048), LayerFacts(gqa(4, 1, 256), 2048)),
    "gemma-3-4b": (LayerFacts(gqa(8, 4, 256, 1024), 10240),) * 2,
    "phi-3-mini": (LayerFacts(gqa(32, 32, 96, 2047), 8192),) * 2,
    "deepseek-v2-lite": (
        LayerFacts(AttentionFacts(16, 16, 192, 128, latent=LatentFacts(512, 64)), 10944),
        LayerFacts(
            AttentionFacts(16, 16, 192, 128, latent=LatentFacts(512, 64)),
            0,
            None,
            ExpertFacts(64, 6, 1408, 2816),
        ),
    ),
    "gpt2": (LayerFacts(gqa(12, 12, 64), 3072),) * 2,
    "falcon-7b": (LayerFacts(gqa(71, 1, 64), 18176),) * 2,
    "falcon-h1-0.5b": (LayerFacts(gqa(8, 2, 64), 2048, StateFacts("mamba2", 1792, 4, 24 * 64 * 128)),) * 2,
    "jamba-v0.1": (
        LayerFacts(None, 14336, StateFacts("mamba", 8192, 4, 8192 * 16)),
        LayerFacts(None, 0, StateFacts("mamba", 8192, 4, 8192 * 16), ExpertFacts(16, 2, 14336)),
    ),
    "mamba-130m": (LayerFacts(None, 0, StateFacts("mamba", 1536, 4, 1536 * 16)),) * 2,
    "qwen3-next-80b-a3b": (
        LayerFacts(
            None, 0, StateFacts("linear_attention", 8192, 4, 32 * 128 * 128), ExpertFacts(512, 10, 512, 512)
        ),
        LayerFacts(gqa(16, 2, 256), 0, None, ExpertFacts(512, 10, 512, 512)),
    ),
}


@pytest.mark.parametrize("family", sorted(PUBLISHED))
def test_the_parameters_are_the_librarys_own_and_the_published_ones(family: str, tmp_path: Path) -> None:
    model = meta_model(FAMILIES[family]())
    facts = facts_of(model, tmp_path)
    assert facts.parameters.total == model.num_parameters()
    assert (facts.parameters.total, facts.parameters.active) == PUBLISHED[family]
    assert sum(facts.parameters.by_component.values()) == facts.parameters.total
    assert facts.not_understood == ()


def test_gpt_oss_without_its_embedding_has_the_active_parameters_of_its_model_card(tmp_path: Path) -> None:
    facts = facts_of(meta_model(FAMILIES["gpt-oss-20b"]()), tmp_path)
    without_embedding = facts.parameters.active - facts.parameters.by_component["embedding"]
    assert round(without_embedding / 1e9, 2) == 3.61


@pytest.mark.parametrize("family", sorted(LAYERS))
def test_the_first_and_last_layer_are_those_of_the_published_config(family: str) -> None:
    config = FAMILIES[family]()
    layers = read_text_model(Section(json.loads(config.to_json_string(use_diff=True)))).layers
    assert (layers[0], layers[-1]) == LAYERS[family]
    assert len(layers) == config.get_text_config().num_hidden_layers


def test_a_vision_tower_is_counted_apart(tmp_path: Path) -> None:
    facts = facts_of(meta_model(FAMILIES["gemma-3-4b"]()), tmp_path)
    assert facts.modalities == ("text", "image")
    assert facts.class_name == "Gemma3ForConditionalGeneration"
    assert facts.architecture == "gemma3_text"
    assert facts.parameters.by_component["vision"] == 416_866_032


def test_gemma_3_slides_in_five_of_six_layers(tmp_path: Path) -> None:
    facts = facts_of(meta_model(FAMILIES["gemma-3-270m"]()), tmp_path)
    full = [i for i, layer in enumerate(facts.layers) if layer.attention and layer.attention.window is None]
    assert full == [5, 11, 17]


def test_the_published_config_of_gemma_3_leaves_most_to_the_class(tmp_path: Path) -> None:
    """Its text_config has six keys; heads, head_dim and vocabulary are the class's own."""
    model = meta_model(FAMILIES["gemma-3-4b"]())
    config = config_of(model)
    whole = facts_of(model, tmp_path / "whole")
    kept = ("hidden_size", "intermediate_size", "model_type", "num_hidden_layers", "sliding_window")
    config["text_config"] = {key: config["text_config"][key] for key in kept}
    write_tensors(tmp_path / "sparse", config, saved_tensors(model))
    sparse = read_checkpoint(FolderSource(tmp_path / "sparse"), id="gemma")
    assert sparse.layers == whole.layers
    assert sparse.vocab_size == 262208


def test_mamba_has_no_limit_of_context(tmp_path: Path) -> None:
    assert facts_of(meta_model(FAMILIES["mamba-130m"]()), tmp_path).context_length == NO_CONTEXT_LIMIT


TOKENS = 12


@pytest.mark.parametrize("variety", sorted(TINY))
def test_the_layers_are_those_of_the_cache_that_the_model_fills(variety: str, tmp_path: Path) -> None:
    config = TINY[variety]()
    torch.manual_seed(0)
    auto = (
        transformers.AutoModelForImageTextToText if variety == "gemma3" else transformers.AutoModelForCausalLM
    )
    model = auto.from_config(config, dtype=torch.float32).eval()
    facts = facts_of(model, tmp_path)
    assert facts.parameters.total == saved_parameters(model)
    assert facts.not_understood == ()
    with torch.inference_mode():
        cache = model(torch.arange(1, TOKENS + 1)[None], use_cache=True)["cache"]
    assert [expected(layer) for layer in facts.layers] == [seen(layer) for layer in cache.layers]


@pytest.mark.parametrize("variety", sorted(TINY))
def test_widths_and_experts_are_those_of_the_stored_matrices(variety: str, tmp_path: Path) -> None:
    facts = facts_of(meta_model(TINY[variety]()), tmp_path)
    sizes: dict[tuple[str, int], set[int]] = {}
    for tensor in facts.tensors:
        component, i = component_of(tensor.name), layer_of(tensor.name)
        if i is not None and component in ("experts", "feed_forward"):
            sizes.setdefault((component, i), set()).update(tensor.shape)
    for i, layer in enumerate(facts.layers):
        assert (layer.experts is not None) == (("experts", i) in sizes)
        if layer.experts:
            inner = layer.experts.feed_forward
            assert {inner, 2 * inner} & sizes["experts", i]
            shared = layer.experts.shared_feed_forward
            assert not shared or {shared, 2 * shared} & sizes["feed_forward", i]
        if layer.feed_forward:
            assert {layer.feed_forward, 2 * layer.feed_forward} & sizes["feed_forward", i]
        elif not layer.experts:
            assert ("feed_forward", i) not in sizes


Shapes = dict[str, tuple[int, ...]]


def expected(layer: LayerFacts) -> Shapes:
    """Shapes of what transformers keeps of one sequence; a sliding layer keeps one token less than its window."""
    shapes: Shapes = {}
    attention = layer.attention
    if attention and attention.latent:
        shapes["keys"] = (1, TOKENS, attention.latent.rank)
        shapes["values"] = (1, TOKENS, attention.latent.rope_dim)
    elif attention and attention.shares_cache_of is None:
        tokens = min(TOKENS, WINDOW - 1) if attention.window == WINDOW else TOKENS
        shapes["keys"] = (attention.kv_heads, tokens, attention.head_dim_k)
        shapes["values"] = (attention.kv_heads, tokens, attention.head_dim_v)
    if layer.state:
        shapes["conv"] = (layer.state.conv_channels, layer.state.conv_kernel)
    if layer.state and layer.state.state_values:
        shapes["state"] = (layer.state.state_values,)
    return shapes


def seen(layer: Any) -> Shapes:
    found = {
        "keys": getattr(layer, "keys", None),
        "values": getattr(layer, "values", None),
        "conv": getattr(layer, "conv_states", {}).get(0),
        "state": getattr(layer, "recurrent_states", {}).get(0),
    }
    shapes = {name: tuple(tensor.shape[1:]) for name, tensor in found.items() if tensor is not None}
    if "state" in shapes:
        shapes["state"] = (found["state"].numel(),)
    return shapes


def config_class(model_type: str) -> Any:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    if model_type in CONFIG_MAPPING:
        return CONFIG_MAPPING[model_type]
    # Text models of multi-modal ones are not listed: their class is the part's.
    outer = next(outer for outer, text in TEXT_MODELS.items() if text == model_type)
    return CONFIG_MAPPING[outer].sub_configs["text_config"]


@pytest.mark.parametrize("model_type", sorted(DEFAULTS))
def test_the_defaults_are_those_of_the_librarys_config_class(model_type: str) -> None:
    fields = {field.name: field.default for field in dataclasses.fields(config_class(model_type))}
    assert {key: fields.get(key) for key in DEFAULTS[model_type]} == dict(DEFAULTS[model_type])


def test_every_family_that_is_understood_has_defaults() -> None:
    assert set(DEFAULTS) == set(UNDERSTOOD)
    assert set(TEXT_MODELS.values()) <= set(UNDERSTOOD)


@pytest.mark.parametrize("outer", sorted(TEXT_MODELS))
def test_multi_modal_classes_are_tied_and_filled_as_the_library_does(outer: str) -> None:
    whole = config_class(outer)
    fields = {field.name: field.default for field in dataclasses.fields(whole)}
    assert bool(fields.get("tie_word_embeddings")) == (outer in TIES_BY_DEFAULT)
    inner = (getattr(whole, "sub_configs_defaults", None) or {}).get("text_config")
    assert inner is None or inner.model_type == TEXT_MODELS[outer]


LISTED = st.none() | st.lists(
    st.sampled_from(["full_attention", "sliding_attention"]), min_size=6, max_size=6
)
SWITCHES = {
    "sliding_window": st.none() | st.integers(1, 99),
    "use_sliding_window": st.booleans(),
    "max_window_layers": st.integers(0, 7),
    "layer_types": LISTED,
    "sliding_window_pattern": st.integers(1, 7),
    "no_rope_layer_interval": st.integers(1, 7),
    "attention_chunk_size": st.none() | st.integers(1, 99),
    "attn_layer_period": st.integers(3, 7),
    "attn_layer_offset": st.integers(0, 2),
    "attn_layer_indices": st.none() | st.lists(st.integers(0, 5)),
    "full_attn_idxs": st.none() | st.lists(st.integers(0, 5)),
    "full_attention_interval": st.integers(1, 7),
    "num_kv_shared_layers": st.just(0),
}
"""What decides which layer is of which kind."""


@pytest.mark.parametrize("model_type", sorted(set(DEFAULTS) - {"exaone4", "ministral3"}))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_however_a_config_is_switched_its_layers_are_those_of_the_librarys_cache(
    model_type: str, data: st.DataObject
) -> None:
    from huggingface_hub.errors import StrictDataclassError
    from transformers.cache_utils import get_layer_types_and_kwargs

    known = {field.name for field in dataclasses.fields(config_class(model_type))}
    needed = (
        {"num_experts_per_tok": 2, "n_routed_experts": 4} if model_type in ("deepseek_v2", "dots1") else {}
    )
    keys = sorted(key for key in SWITCHES if key in known or "attern" in key or "interval" in key)
    chosen = {key: data.draw(SWITCHES[key], label=key) for key in keys if data.draw(st.booleans())}
    sliding = "sliding_attention" in (chosen.get("layer_types") or ())
    if sliding and (model_type in ("lfm2", "qwen3_next", "qwen3_5_text") or "sliding_window" not in known):
        del chosen["layer_types"]  # such a model has no window to slide in
    try:
        config = config_class(model_type)(num_hidden_layers=6, **needed, **chosen)
        theirs = get_layer_types_and_kwargs(config)
    except (StrictDataclassError, ValueError, TypeError):
        return
    written = json.loads(config.to_json_string(use_diff=True))
    if any(
        kind != "full_attention" and kwargs.get("sliding_window", 1) in (None, 0)
        for kind, kwargs in zip(*theirs, strict=True)
    ):
        with pytest.raises(
            InvalidModelFileError
        ):  # a layer that slides without a window: the cache fails, too
            read_text_model(Section(written))
        return
    layers = read_text_model(Section(written)).layers
    assert [kind_and_window(layer) for layer in layers] == [
        (CACHED_AS[kind], kwargs.get("sliding_window")) for kind, kwargs in zip(*theirs, strict=True)
    ]


CACHED_AS = {
    "full_attention": "keys",
    "sliding_attention": "keys",
    "chunked_attention": "keys",
    "linear_attention": "state",
    "conv": "state",
    "hybrid": "both",
}


def kind_and_window(layer: LayerFacts) -> tuple[str, int | None]:
    kind = "both" if layer.attention and layer.state else "keys" if layer.attention else "state"
    return kind, layer.attention.window if layer.attention else None
