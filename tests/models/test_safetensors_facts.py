"""The facts of a checkpoint: what its config, headers, tokenizer and card say, and what contradicts itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from header_checkpoint import Tensors, write_tensors

from shoestring.errors import InvalidModelFileError, ModelNotFoundError
from shoestring.models.facts import AttentionFacts, ModelFacts
from shoestring.models.ranges import BytesRange, RangeReader
from shoestring.models.safetensors_facts import read_checkpoint
from shoestring.models.source import FolderSource

CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "vocab_size": 10,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "dtype": "bfloat16",
}
HEAD: Tensors = {"lm_head.weight": ("BF16", (10, 8))}


def layer(i: int) -> Tensors:
    shapes = {
        "self_attn.q_proj": (8, 8),
        "self_attn.k_proj": (4, 8),
        "self_attn.v_proj": (4, 8),
        "self_attn.o_proj": (8, 8),
        "mlp.gate_proj": (16, 8),
        "mlp.up_proj": (16, 8),
        "mlp.down_proj": (8, 16),
        "input_layernorm": (8,),
        "post_attention_layernorm": (8,),
    }
    return {f"model.layers.{i}.{name}.weight": ("BF16", shape) for name, shape in shapes.items()}


TENSORS: Tensors = {
    "model.embed_tokens.weight": ("BF16", (10, 8)),
    **layer(0),
    **layer(1),
    "model.norm.weight": ("BF16", (8,)),
}
LAYER, NORM, EMBEDDING = 592, 8, 80


@pytest.fixture
def checkpoint(tmp_path: Path) -> Callable[..., ModelFacts]:
    """Writes a folder, changed as a test wants it, and reads it."""

    def make(
        *,
        tensors: Tensors | None = None,
        files: dict[str, Any] | None = None,
        without: tuple[str, ...] = (),
        license: str | None = None,
        **config: Any,
    ) -> ModelFacts:
        values = {key: value for key, value in {**CONFIG, **config}.items() if key not in without}
        write_tensors(tmp_path, values, {**TENSORS, **HEAD} if tensors is None else tensors)
        for name, content in (files or {}).items():
            text = content if isinstance(content, str) else json.dumps(content)
            (tmp_path / name).write_text(text, encoding="utf-8")
        return read_checkpoint(FolderSource(tmp_path), id="mine", license=license)

    return make


Make = Callable[..., ModelFacts]


def test_a_plain_checkpoint(checkpoint: Make, tmp_path: Path) -> None:
    facts = checkpoint()
    assert (facts.id, facts.format, facts.architecture, facts.kind) == (
        "mine",
        "safetensors",
        "llama",
        "base",
    )
    assert (facts.hidden_size, facts.vocab_size, facts.context_length) == (8, 10, 64)
    assert facts.layers[0].attention == AttentionFacts(4, 2, 2, 2)
    assert facts.files == (tmp_path / "model.safetensors",)
    assert facts.config_file == tmp_path / "config.json"
    assert (facts.class_name, facts.dtype, facts.quantization) == ("LlamaForCausalLM", "bf16", None)
    assert (facts.modalities, facts.not_understood, facts.tokenizer) == (("text",), (), None)


def test_parameters_are_counted_by_component(checkpoint: Make) -> None:
    parameters = checkpoint().parameters
    assert parameters.total == parameters.active == 2 * LAYER + NORM + 2 * EMBEDDING
    assert parameters.by_component == {
        "embedding": 80,
        "attention": 2 * 192,
        "feed_forward": 2 * 384,
        "norms": 2 * 16 + 8,
        "head": 80,
    }


def test_a_tied_head_is_counted_once(checkpoint: Make) -> None:
    facts = checkpoint(tensors=TENSORS, tie_word_embeddings=True)
    assert facts.tied
    assert facts.parameters.total == 2 * LAYER + NORM + EMBEDDING


def test_a_tied_head_that_is_stored_all_the_same_takes_bytes_but_no_parameters(checkpoint: Make) -> None:
    facts = checkpoint(tie_word_embeddings=True)
    assert facts.parameters.total == 2 * LAYER + NORM + EMBEDDING
    assert facts.weights.total_bytes == 2 * (2 * LAYER + NORM + 2 * EMBEDDING)


def test_a_stored_head_is_its_own_where_only_the_class_would_tie(checkpoint: Make) -> None:
    gemma = {"model_type": "gemma", "head_dim": 2}
    assert not checkpoint(**gemma).tied
    assert checkpoint(tensors=TENSORS, **gemma).tied


def test_the_bytes_are_those_stored_by_type(checkpoint: Make) -> None:
    mixed = {**TENSORS, "model.norm.weight": ("F32", (8,))}
    assert checkpoint(tensors=mixed).weights.by_dtype == {"BF16": 2 * (2 * LAYER + EMBEDDING), "F32": 32}


def test_constants_that_old_checkpoints_store_are_no_parameters(checkpoint: Make) -> None:
    old = {**TENSORS, "model.layers.0.self_attn.rotary_emb.inv_freq": ("F32", (1,))}
    assert checkpoint(tensors=old).parameters.total == 2 * LAYER + NORM + EMBEDDING


def test_the_first_gpt_2_is_named_without_a_prefix_and_stores_its_masks(tmp_path: Path) -> None:
    shapes = {
        "wte": (10, 8),
        "wpe": (6, 8),
        "h.0.attn.c_attn": (8, 24),
        "h.0.mlp.c_fc": (8, 32),
        "ln_f": (8,),
    }
    tensors: Tensors = {f"{name}.weight": ("F32", shape) for name, shape in shapes.items()}
    tensors["h.0.attn.bias"] = ("F32", (1, 1, 6, 6))
    config = {
        "model_type": "gpt2",
        "n_embd": 8,
        "n_layer": 1,
        "n_head": 2,
        "n_positions": 6,
        "vocab_size": 10,
    }
    facts = read_checkpoint(FolderSource(write_tensors(tmp_path, config, tensors)), id="gpt2")
    assert facts.parameters.by_component == {
        "embedding": 128,
        "attention": 192,
        "feed_forward": 256,
        "norms": 8,
    }
    assert (facts.context_length, facts.layers[0].feed_forward, facts.tied) == (6, 32, True)


def test_a_module_for_further_tokens_is_no_layer_of_the_model(checkpoint: Make) -> None:
    extra: Tensors = {"mtp.layers.0.self_attn.k_proj.weight": ("BF16", (6, 8))}
    assert checkpoint(tensors={**TENSORS, **extra}).parameters.by_component["prediction"] == 48


def test_layers_that_predict_further_tokens_are_counted_apart_and_idle(checkpoint: Make) -> None:
    parameters = checkpoint(tensors={**TENSORS, **layer(2)}).parameters
    assert parameters.by_component["prediction"] == LAYER
    assert parameters.total - parameters.active == LAYER


def test_an_unknown_architecture_has_its_weights_counted_and_says_what_is_missing(checkpoint: Make) -> None:
    facts = checkpoint(model_type="mystery")
    assert facts.parameters.total == 2 * LAYER + NORM + 2 * EMBEDDING
    assert [layer.attention for layer in facts.layers] == [None, None]
    assert "mystery" in facts.not_understood[0]
    assert "cache" in facts.not_understood[0]


def test_unknown_kinds_of_layers_leave_the_cache_open(checkpoint: Make) -> None:
    facts = checkpoint(layer_types=["full_attention", "compressed_sparse_attention"])
    assert "compressed_sparse_attention" in facts.not_understood[0]
    assert all(layer.attention is None for layer in facts.layers)


def test_single_layers_may_have_a_config_of_their_own(checkpoint: Make) -> None:
    facts = checkpoint(per_layer_config={"1": {"sliding_window": 5, "intermediate_size": 12}})
    assert [layer.feed_forward for layer in facts.layers] == [16, 12]


def test_a_config_of_endless_keys_is_refused(checkpoint: Make) -> None:
    with pytest.raises(InvalidModelFileError, match="keys"):
        checkpoint(**{f"key{i}": i for i in range(5000)})


def test_listed_layer_types_win_over_the_rule_of_the_class(checkpoint: Make) -> None:
    facts = checkpoint(layer_types=["sliding_attention", "full_attention"], sliding_window=7)
    assert [layer.attention.window for layer in facts.layers if layer.attention] == [7, None]


# Files beside the weights


def test_a_chat_template_makes_a_chat_model(checkpoint: Make) -> None:
    facts = checkpoint(files={"chat_template.jinja": "{{ messages }}"})
    assert (facts.kind, facts.chat_template) == ("chat", "{{ messages }}")


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("hello", "hello"),
        ([{"name": "tool_use", "template": "tool"}, {"name": "default", "template": "plain"}], "plain"),
        ([{"name": "other", "template": "only"}], "only"),
        ("", None),
        (None, None),
    ],
)
def test_the_template_in_the_settings_is_read_in_both_forms(
    template: Any, expected: str | None, checkpoint: Make
) -> None:
    assert checkpoint(files={"tokenizer_config.json": {"chat_template": template}}).chat_template == expected


def test_the_file_of_its_own_wins_over_the_settings(checkpoint: Make) -> None:
    files = {"chat_template.jinja": "new", "tokenizer_config.json": {"chat_template": "old"}}
    assert checkpoint(files=files).chat_template == "new"


TOKENIZER = {
    "model": {
        "type": "BPE",
        "vocab": {"a": 0, "b": 1, "ab": 2, "a long token of 23 byte": 3},
        "merges": ["a b", ["ab", "é"]],
    },
    "added_tokens": [
        {"id": 4, "content": "<s>", "special": True},
        {"id": 5, "content": "<think>", "special": False},
    ],
    "post_processor": {
        "type": "Sequence",
        "processors": [
            {"type": "ByteLevel"},
            {
                "type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}],
            },
        ],
    },
}


def test_the_tokenizer_is_read_without_its_strings(checkpoint: Make) -> None:
    settings = {"bos_token": {"content": "<s>"}, "eos_token": "<think>"}
    facts = checkpoint(files={"tokenizer.json": TOKENIZER, "tokenizer_config.json": settings}).tokenizer
    assert facts is not None
    assert (facts.model, facts.vocab_size, facts.merges) == ("gpt2", 6, 2)
    assert (facts.tokens_bytes, facts.long_tokens, facts.long_tokens_bytes) == (4 + 23 + 3 + 7, 1, 23)
    assert facts.merges_bytes == 3 + 5
    assert (facts.bos_id, facts.eos_id, facts.add_bos, facts.add_eos) == (4, 5, True, False)
    assert facts.special_tokens == {4: "<s>", 5: "<think>"}


def test_the_settings_say_whether_bos_is_added(checkpoint: Make) -> None:
    settings = {"bos_token": "<s>", "add_bos_token": False}
    facts = checkpoint(files={"tokenizer.json": TOKENIZER, "tokenizer_config.json": settings}).tokenizer
    assert facts is not None
    assert not facts.add_bos


def test_a_sentencepiece_vocabulary_has_scores(checkpoint: Make) -> None:
    model = {"type": "Unigram", "vocab": [["<unk>", 0.0], ["▁a", -1.5]]}
    facts = checkpoint(files={"tokenizer.json": {"model": model}}, eos_token_id=1).tokenizer
    assert facts is not None
    assert (facts.model, facts.vocab_size, facts.has_scores, facts.eos_id) == ("t5", 2, True, 1)
    assert facts.special_tokens == {1: "▁a"}


def test_the_authors_sampling_has_llama_cpps_names(checkpoint: Make) -> None:
    settings = {
        "temperature": 0.6,
        "top_k": 20,
        "repetition_penalty": 1.1,
        "do_sample": True,
        "max_length": 9,
    }
    facts = checkpoint(files={"generation_config.json": settings})
    assert facts.sampling == {"temp": 0.6, "top_k": 20.0, "penalty_repeat": 1.1}


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ("---\nlanguage: en\nlicense: apache-2.0\n---\n# Title", "apache-2.0"),
        ("---\r\nlicense: 'mit'\r\n---\r\n", "mit"),
        ("# Title\nlicense: mit\n", "known"),
        ("---\nlanguage: en\n---\nlicense: mit\n", "known"),
    ],
)
def test_the_licence_is_that_of_the_cards_front_matter(card: str, expected: str, checkpoint: Make) -> None:
    assert checkpoint(files={"README.md": card}, license="known").license == expected


# What contradicts itself, or is absurd


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_size": 0},
        {"hidden_size": -8},
        {"hidden_size": 2**60},
        {"hidden_size": "8"},
        {"hidden_size": 8.5},
        {"hidden_size": True},
        {"hidden_size": [8]},
        {"n_embd": 9},
        {"num_hidden_layers": 10**9},
        {"num_hidden_layers": 3},
        {"num_attention_heads": 10**400},
        {"num_key_value_heads": 3},
        {"num_key_value_heads": 4},
        {"head_dim": 3},
        {"vocab_size": 11},
        {"max_position_embeddings": 2**40},
        {"layer_types": ["full_attention"]},
        {"layer_types": "full_attention"},
        {"layer_types": ["sliding_attention", "full_attention"]},
        {"layer_types": [1, 2]},
        {"model_type": None},
        {"model_type": "../llama"},
        {"model_type": ["llama"]},
        {"text_config": "llama"},
        {"architectures": ["a b; c"]},
        {"quantization_config": "awq"},
        {"per_layer_config": {"0": {"hidden_size": 4}}},
        {"per_layer_config": [1]},
        {"num_kv_shared_layers": 2},
    ],
    ids=str,
)
def test_an_absurd_or_contradictory_config_is_refused(change: dict[str, Any], checkpoint: Make) -> None:
    with pytest.raises(InvalidModelFileError) as caught:
        checkpoint(**change)
    assert caught.value.hint
    assert len(caught.value.message) < 400


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{",
        '{"model_type": "llama", "model_type": "gpt2"}',
        "[" * 10**5,
        '{"a": ' * 10**5,
        "\xff",
    ],
)
def test_a_malformed_config_is_refused(text: str, checkpoint: Make) -> None:
    with pytest.raises(InvalidModelFileError):
        checkpoint(files={"config.json": text})


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        {"model": {"vocab": {"a": "b"}}},
        {"model": {"vocab": {"a": -1}}},
        {"model": {"vocab": {"a": 2**70}}},
        {"model": {"vocab": {}, "merges": [1]}},
        {"model": {"vocab": [["a"]]}},
        {"model": {"vocab": {}}, "added_tokens": [{"id": "x", "content": "y"}]},
        '{"model": {"vocab": {}}, "post_processor": ' + "[" * 10**5,
    ],
    ids=lambda content: str(content)[:40],
)
def test_a_malformed_tokenizer_is_refused(content: Any, checkpoint: Make) -> None:
    with pytest.raises(InvalidModelFileError):
        checkpoint(files={"tokenizer.json": content})


def test_no_tensors_are_refused(checkpoint: Make) -> None:
    with pytest.raises(InvalidModelFileError, match="no tensors"):
        checkpoint(tensors={})


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["config.json", "pytorch_model.bin"], "any code"),
        (["config.json", "model.gguf"], "GGUF"),
        (["adapter_config.json", "adapter_model.safetensors"], "adapter"),
        (["config.json", "consolidated.safetensors"], "consolidated"),
        (["config.json"], "no weights"),
        (["model.safetensors"], "no config.json"),
    ],
)
def test_a_folder_without_readable_weights_says_why(files: list[str], message: str, tmp_path: Path) -> None:
    for name in files:
        (tmp_path / name).touch()
    with pytest.raises(ModelNotFoundError, match=message):
        read_checkpoint(FolderSource(tmp_path), id="mine")


class Elsewhere:
    """A repository behind ranges, as the hub is: it counts what is read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.bytes_read = 0
        self.ranges = 0

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(path.name for path in self._folder.iterdir()))

    def open(self, name: str) -> Any:
        outer = self

        class Counting(BytesRange):
            def read(self, offset: int, length: int) -> bytes:
                data = super().read(offset, length)
                outer.bytes_read += len(data)
                outer.ranges += 1
                return data

            def __enter__(self) -> RangeReader:
                return self

            def __exit__(self, *_: object) -> None:
                pass

        return Counting((self._folder / name).read_bytes())

    def path(self, name: str) -> Path | None:
        return None

    def ahead(self, lengths: Mapping[str, int]) -> None:
        pass

    def parts(self, name: str, lengths: Mapping[int, int]) -> dict[int, bytes]:
        with self.open(name) as file:
            return {start: file.read(start, n) for start, n in lengths.items()}


def test_a_repository_elsewhere_is_read_through_the_same_interface(checkpoint: Make, tmp_path: Path) -> None:
    here = checkpoint(files={"chat_template.jinja": "x"})
    source = Elsewhere(tmp_path)
    there = read_checkpoint(source, id="mine")
    assert (there.files, there.config_file) == ((), None)
    assert (there.parameters, there.layers, there.weights) == (here.parameters, here.layers, here.weights)
    assert source.ranges == 3  # config, header, template
