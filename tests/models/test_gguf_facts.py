"""A model's facts come from its headers alone, and metadata that tensors belie is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from tiny_gguf import F16, F32, LLAMA, Q4_0, Tiny, block, llama_tensors

from shoestring.errors import InvalidModelFileError
from shoestring.models.facts import AttentionFacts, ModelFacts
from shoestring.models.gguf.reader import read_header
from shoestring.models.gguf_facts import component_of, facts_of, read_facts
from shoestring.models.ranges import BytesRange

Pair = tuple[str, Any]


def facts(tiny: Tiny, **known: str) -> ModelFacts:
    return facts_of(read_header(BytesRange(tiny.encode()), name="tiny.gguf"), id="tiny", **known)


def with_pairs(**pairs: Pair) -> Tiny:
    """The tiny llama with pairs changed; `__` stands for a dot."""
    return Tiny(pairs=LLAMA | {key.replace("__", "."): typed for key, typed in pairs.items()})


def test_a_llama_is_understood() -> None:
    found = facts(Tiny())
    attention = AttentionFacts(heads=4, kv_heads=2, head_dim_k=16, head_dim_v=16)
    assert (found.architecture, found.name, found.license) == ("llama", "Tiny", "mit")
    assert [layer.attention for layer in found.layers] == [attention, attention]
    assert [layer.feed_forward for layer in found.layers] == [96, 96]
    assert (found.hidden_size, found.context_length, found.vocab_size) == (64, 128, 8)
    assert found.not_understood == ()


def test_parameters_are_counted_by_component_and_a_tied_head_once() -> None:
    found = facts(Tiny()).parameters
    assert found.by_component == {
        "embedding": 64 * 8,
        "attention": 2 * (2 * 64 * 64 + 2 * 64 * 32),
        "feed_forward": 2 * 3 * 64 * 96,
        "norms": 5 * 64,
    }
    assert found.total == found.active == sum(found.by_component.values())


def test_weights_are_bytes_as_stored() -> None:
    tiny = facts(Tiny())
    assert tiny.weights.by_dtype == {
        "Q4_0": 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 96) // 32 * 18,
        "F32": 5 * 64 * 4,
        "Q8_0": 64 * 8 // 32 * 34,
    }
    assert tiny.weights.total_bytes == sum(tensor.n_bytes for tensor in tiny.tensors)


def test_the_tokenizer_is_counted_and_only_special_tokens_are_decoded() -> None:
    found = facts(Tiny()).tokenizer
    texts = [text.encode() for text in LLAMA["tokenizer.ggml.tokens"][1]]
    assert (found.model, found.vocab_size, found.merges, found.merges_bytes) == ("gpt2", 8, 1, 3)
    assert found.tokens_bytes == sum(map(len, texts))
    assert (found.long_tokens, found.long_tokens_bytes) == (1, len(texts[5]))
    assert (found.has_types, found.has_scores) == (True, False)
    assert (found.bos_id, found.eos_id, found.add_bos, found.add_eos) == (0, 1, True, False)
    assert found.special_tokens == {0: "<s>", 1: "</s>", 5: "<|a token of a longer name|>"}


@pytest.mark.parametrize(
    ("model", "pre", "adds"),
    [("llama", "default", True), ("gpt2", "llama-bpe", True), ("gpt2", "qwen2", False), ("t5", "", False)],
)
def test_bos_is_added_by_default_where_llama_cpp_adds_it(model: str, pre: str, adds: bool) -> None:
    pairs = LLAMA | {"tokenizer.ggml.model": ("str", model), "tokenizer.ggml.pre": ("str", pre)}
    del pairs["tokenizer.ggml.add_bos_token"]
    assert facts(Tiny(pairs=pairs)).tokenizer.add_bos is adds


def test_a_chat_template_makes_a_chat_model() -> None:
    assert facts(Tiny()).kind == "base"
    chat = facts(with_pairs(tokenizer__chat_template=("str", "{{ messages }}")))
    assert (chat.kind, chat.chat_template) == ("chat", "{{ messages }}")


def test_the_author_s_sampling_is_taken_over() -> None:
    found = facts(with_pairs(general__sampling__temp=("f32", 0.5), general__sampling__top_k=("i32", 20)))
    assert found.sampling == {"temp": 0.5, "top_k": 20.0}
    assert facts(Tiny()).sampling is None


def test_a_licence_known_from_elsewhere_fills_a_gap() -> None:
    pairs = {key: pair for key, pair in LLAMA.items() if key != "general.license"}
    assert facts(Tiny(pairs=pairs)).license is None
    assert facts(Tiny(pairs=pairs), license="apache-2.0").license == "apache-2.0"


def test_heads_may_differ_by_layer() -> None:
    tensors = llama_tensors() | block(1, kv=16)
    tiny = Tiny(pairs=LLAMA | {"llama.attention.head_count_kv": ("[i32]", [2, 1])}, tensors=tensors)
    assert [layer.attention.kv_heads for layer in facts(tiny).layers if layer.attention] == [2, 1]


def gemma3(**pairs: Pair) -> Tiny:
    renamed = {key.replace("llama.", "gemma3.", 1): typed for key, typed in LLAMA.items()}
    renamed |= {
        "general.architecture": ("str", "gemma3"),
        "gemma3.block_count": ("u32", 7),
        "gemma3.attention.sliding_window": ("u32", 32),
    }
    tensors: dict[str, tuple[tuple[int, ...], int]] = {"token_embd.weight": ((64, 8), Q4_0)}
    for i in range(7):
        tensors |= block(i)
    renamed |= {key.replace("__", "."): typed for key, typed in pairs.items()}
    return Tiny(pairs=renamed, tensors=tensors)


def windows(found: ModelFacts) -> list[int | None]:
    return [layer.attention.window for layer in found.layers if layer.attention]


def test_a_sliding_window_follows_the_architecture_s_pattern() -> None:
    assert windows(facts(gemma3())) == [32, 32, 32, 32, 32, None, 32]


def test_a_pattern_in_the_header_is_followed() -> None:
    flags = gemma3(gemma3__attention__sliding_window_pattern=("[bool]", [True, False] * 3 + [True]))
    assert windows(facts(flags)) == [32, None, 32, None, 32, None, 32]


def test_a_window_that_llama_cpp_ignores_is_ignored() -> None:
    assert windows(facts(with_pairs(llama__attention__sliding_window=("u32", 32)))) == [None, None]


def test_experts_count_as_far_as_they_are_used() -> None:
    tensors = {name: shape for name, shape in llama_tensors().items() if ".ffn_" not in name}
    for i in range(2):
        tensors[f"blk.{i}.ffn_gate_inp.weight"] = ((64, 8), F32)
        tensors[f"blk.{i}.ffn_up_exps.weight"] = ((64, 32, 8), Q4_0)
    tiny = Tiny(
        pairs=LLAMA | {"llama.expert_count": ("u32", 8), "llama.expert_used_count": ("u32", 2)},
        tensors=tensors,
    )
    found = facts(tiny).parameters
    assert found.by_component["experts"] == 2 * 64 * 32 * 8
    assert found.total - found.active == 2 * 64 * 32 * 6


@pytest.mark.parametrize(
    ("name", "component"),
    [
        ("token_embd.weight", "embedding"),
        ("token_embd_norm.weight", "norms"),
        ("blk.0.attn_q_norm.weight", "norms"),
        ("blk.0.post_ffw_norm.weight", "norms"),
        ("output_norm.weight", "norms"),
        ("output.weight", "head"),
        ("blk.3.attn_output.weight", "attention"),
        ("blk.3.attn_qkv.bias", "attention"),
        ("blk.3.ssm_in.weight", "attention"),
        ("blk.3.ffn_down.weight", "feed_forward"),
        ("blk.3.ffn_gate_inp.weight", "feed_forward"),
        ("blk.3.ffn_up_shexp.weight", "feed_forward"),
        ("blk.3.ffn_up_exps.weight", "experts"),
        ("blk.3.ffn_up.7.weight", "experts"),
        ("rope_freqs.weight", "other"),
    ],
)
def test_tensors_belong_to_components(name: str, component: str) -> None:
    assert component_of(name) == component


def test_an_unknown_architecture_is_read_and_says_what_is_not_known() -> None:
    pairs = {"general.architecture": ("str", "tomorrow"), "tomorrow.block_count": ("u32", 3)}
    found = facts(Tiny(pairs=pairs, tensors={"w": ((32, 4), Q4_0)}))
    assert [layer.attention for layer in found.layers] == [None] * 3
    assert found.parameters.by_component == {"other": 128}
    assert any("tomorrow" in note for note in found.not_understood)


def test_latent_attention_has_no_figure() -> None:
    found = facts(with_pairs(llama__attention__kv_lora_rank=("u32", 64)))
    assert [layer.attention for layer in found.layers] == [None, None]
    assert "multi-head latent attention" in found.not_understood[0]


@pytest.mark.parametrize(
    ("key", "typed", "says"),
    [
        ("general.architecture", ("u32", 1), "does not name"),
        ("llama.block_count", ("u32", 2**31 - 1), "from 1 to 512"),
        ("llama.block_count", ("u32", 0), "from 1 to 512"),
        ("llama.block_count", ("str", "2"), "not a whole number"),
        ("llama.block_count", ("u32", 3), "layer 2 has no tensors"),
        ("llama.block_count", ("u32", 1), "layer 1 has tensors"),
        ("llama.context_length", ("u32", 0), "context_length is 0"),
        ("llama.embedding_length", ("u32", 128), "rotary"),
        ("llama.feed_forward_length", ("u32", 128), "[96, 64] instead of [128, 64]"),
        ("llama.attention.head_count", ("u32", 3), "3 heads cannot share 2"),
        ("llama.attention.head_count", ("u32", 2**32 - 1), "attention.head_count is 4,294,967,295"),
        ("llama.attention.head_count_kv", ("[i32]", [2, 2, 2]), "3 entries for 2 layers"),
        ("llama.attention.head_count_kv", ("u32", 4), "instead of [64, 64]"),
        ("llama.attention.key_length", ("u32", 32), "wide"),
        ("llama.rope.dimension_count", ("u32", 15), "rotary"),
        ("llama.rope.dimension_count", ("u32", 64), "rotary"),
        ("llama.rope.dimension_count", ("u32", 0), "rope.dimension_count is 0"),
        ("llama.nextn_predict_layers", ("u32", 3), "nextn_predict_layers is 3"),
        ("llama.rope.dimension_count", ("u32", 8), "rotary"),
        ("llama.rope.scaling.type", ("str", "magic"), "rope.scaling.type"),
        ("llama.rope.freq_base", ("f32", -1.0), "rope.freq_base"),
        ("llama.attention.layer_norm_rms_epsilon", ("f32", math.nan), "layer_norm_rms_epsilon"),
        ("llama.attention.layer_norm_rms_epsilon", ("f32", -1.0), "layer_norm_rms_epsilon"),
        ("llama.expert_used_count", ("u32", 2), "2 of 0 experts"),
        ("llama.expert_count", ("u32", 4), "0 of 4 experts"),
        ("llama.expert_count", ("u32", 2048), "from 0 to 1,024"),
        ("tokenizer.ggml.bos_token_id", ("u32", 8), "not one of its 8 tokens"),
        ("tokenizer.ggml.token_type", ("[i32]", [1] * 7), "token_type do not match"),
        ("tokenizer.ggml.token_type", ("[f32]", [1.0] * 8), "token_type do not match"),
        ("tokenizer.ggml.token_type", ("[i32]", [2**30] * 8), "types that do not exist"),
        ("tokenizer.ggml.scores", ("[f32]", [1.0] * 9), "scores do not match"),
        ("tokenizer.ggml.tokens", ("[str]", list("abcdefga")), "only 7 of its 8 tokens"),
        ("tokenizer.ggml.tokens", ("[str]", []), "vocabulary is empty"),
        ("tokenizer.ggml.tokens", ("u32", 1), "no list of tokens"),
        ("tokenizer.ggml.merges", ("str", "a b"), "merges"),
        ("tokenizer.ggml.add_bos_token", ("u32", 1), "neither true nor false"),
    ],
)
def test_numbers_that_cannot_be_are_refused(key: str, typed: Pair, says: str) -> None:
    with pytest.raises(InvalidModelFileError) as caught:
        facts(Tiny(pairs=LLAMA | {key: typed}))
    assert says in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        ({"token_embd.weight": ((64, 9), F32)}, "token embedding has the shape [64, 9]"),
        ({"blk.0.attn_norm.weight": ((64,), F16)}, "only F32 works"),
        ({"blk.0.attn_q.weight": ((64, 64), 26)}, "I32"),
        ({"blk.0.attn_q.weight": ((64, 32), Q4_0)}, "[64, 32] instead of [64, 64]"),
        ({"blk.7.attn_norm.weight": ((64,), F32)}, "layer 7 has tensors"),
    ],
)
def test_tensors_that_belie_the_metadata_are_refused(
    tensors: dict[str, tuple[tuple[int, ...], int]], says: str
) -> None:
    with pytest.raises(InvalidModelFileError) as caught:
        facts(Tiny(tensors=llama_tensors() | tensors))
    assert says in caught.value.message


@pytest.mark.parametrize("alignment", [8, 16])
def test_data_that_llama_cpp_cannot_map_is_refused(alignment: int) -> None:
    """Of all places a smaller alignment allows, only those at multiples of 32 bytes are usable."""
    reasons = []
    for length in range(0, 32, alignment):
        pairs = LLAMA | {"general.alignment": ("u32", alignment), "general.name": ("str", "x" * length)}
        try:
            facts(Tiny(pairs=pairs, alignment=alignment))
        except InvalidModelFileError as error:
            reasons.append(error.message)
    assert len(reasons) == 32 // alignment - 1
    assert all("not aligned to 32 bytes" in reason for reason in reasons)


def test_a_model_without_embedding_is_refused() -> None:
    with pytest.raises(InvalidModelFileError, match="no token embedding"):
        facts(Tiny(tensors=block(0) | block(1)))


@pytest.mark.parametrize("missing", ["llama.block_count", "llama.embedding_length", "llama.context_length"])
def test_a_known_architecture_needs_its_numbers(missing: str) -> None:
    pairs = {key: pair for key, pair in LLAMA.items() if key != missing}
    with pytest.raises(InvalidModelFileError, match="missing from its metadata"):
        facts(Tiny(pairs=pairs))


def test_several_empty_tokens_are_told_apart_as_llama_cpp_does() -> None:
    assert facts(with_pairs(tokenizer__ggml__tokens=("[str]", ["a", "", "b", "", "c", "", "d", "e"])))


def test_smollm2_is_what_it_is(smollm2_files: tuple[Path, ...]) -> None:
    found = read_facts(smollm2_files, id="smollm2")
    attention = AttentionFacts(heads=9, kv_heads=3, head_dim_k=64, head_dim_v=64)
    assert (found.architecture, found.kind, found.license) == ("llama", "chat", "apache-2.0")
    assert [layer.attention for layer in found.layers] == [attention] * 30
    assert (found.parameters.total, found.weights.total_bytes) == (134_515_008, 96_576_768)
    assert "head" not in found.parameters.by_component
    assert found.tokenizer.special_tokens[2] == "<|im_end|>"
    assert found.not_understood == ()


def test_gemma_is_what_it_is(gemma_files: tuple[Path, ...]) -> None:
    found = read_facts(gemma_files, id="gemma3-270m")
    assert (found.architecture, found.kind, found.vocab_size) == ("gemma3", "base", 262_144)
    assert [layer for layer, window in enumerate(windows(found)) if window is None] == [5, 11, 17]
    assert {window for window in windows(found) if window} == {512}
    assert all(layer.attention and layer.attention.head_dim_k == 256 for layer in found.layers)
    assert found.parameters.total == 268_098_176
