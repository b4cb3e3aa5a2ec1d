"""A model of the hub is the same model as its files here, known from some hundred kilobytes of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from header_checkpoint import write_tensors
from huggingface_hub import constants
from reading_hub import COMMIT, ReadingHub, hub
from tiny_gguf import Tiny

from shoestring.errors import InvalidModelFileError, ModelNotFoundError
from shoestring.models.facts import ModelFacts, TokenizerFacts
from shoestring.models.gguf.reader import read_header
from shoestring.models.gguf_facts import read_facts
from shoestring.models.hub.choice import choose
from shoestring.models.hub.reading import FIRST_CHUNK_BYTES, read
from shoestring.models.hub.repository import repository
from shoestring.models.safetensors_facts import read_checkpoint
from shoestring.models.source import FolderSource

__all__ = ["hub"]

CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "vocab_size": 10,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "dtype": "bfloat16",
}
BLOCK = {
    "model.layers.0.self_attn.q_proj.weight": ("BF16", (8, 8)),
    "model.layers.0.self_attn.k_proj.weight": ("BF16", (4, 8)),
    "model.layers.0.self_attn.v_proj.weight": ("BF16", (4, 8)),
    "model.layers.0.self_attn.o_proj.weight": ("BF16", (8, 8)),
    "model.layers.0.mlp.gate_proj.weight": ("BF16", (16, 8)),
    "model.layers.0.mlp.up_proj.weight": ("BF16", (16, 8)),
    "model.layers.0.mlp.down_proj.weight": ("BF16", (8, 16)),
}
REST = {
    "model.embed_tokens.weight": ("BF16", (10, 8)),
    "model.norm.weight": ("BF16", (8,)),
    "lm_head.weight": ("BF16", (10, 8)),
}


def of_the_hub(name: str, wanted: str | None = None, *, offline: bool = False) -> ModelFacts:
    found = repository(name, offline=offline)
    return read(found, choose(found, wanted), id="mine")


def portable(facts: ModelFacts) -> ModelFacts:
    """Facts without where they were read."""
    return replace(facts, id="mine", files=(), config_file=None, origin=None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny checkpoint with everything that a real one has."""
    found = tmp_path / "checkpoint"
    found.mkdir()
    write_tensors(found, CONFIG, {**BLOCK, **REST})
    (found / "generation_config.json").write_text('{"temperature": 0.5}')
    (found / "chat_template.jinja").write_text("{{ messages }}")
    (found / "tokenizer_config.json").write_text('{"bos_token": "<s>"}')
    added = [{"id": 3, "content": "<s>", "special": True}]
    model = {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}
    (found / "tokenizer.json").write_text(json.dumps({"added_tokens": added, "model": model}))
    return found


def test_a_checkpoint_of_the_hub_is_the_same_as_its_folder(hub: ReadingHub, folder: Path) -> None:
    hub.add("o/n", folder)
    here = read_checkpoint(FolderSource(folder), id="mine")
    there = of_the_hub("o/n")
    assert portable(there) == portable(here)
    assert (there.files, there.config_file) == ((), None)


def test_its_origin_pins_the_commit_and_names_the_weights(hub: ReadingHub, folder: Path) -> None:
    hub.add("o/n", folder)
    origin = of_the_hub("o/n").origin
    assert origin is not None
    assert (origin.repository.commit, origin.weights) == (COMMIT, ("model.safetensors",))


def test_the_licence_that_the_hub_knows_costs_no_reading_of_the_card(hub: ReadingHub, folder: Path) -> None:
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    hub.add("o/n", folder)
    hub.description = {"cardData": {"license": "mit"}}
    assert of_the_hub("o/n").license == "mit"
    assert not any(asked.path.endswith("README.md") for asked in hub.asked)


def test_shards_are_read_at_once_and_named_in_order(hub: ReadingHub, tmp_path: Path) -> None:
    shards = {"model-00001-of-00002.safetensors": BLOCK, "model-00002-of-00002.safetensors": REST}
    for name, tensors in shards.items():
        write_tensors(tmp_path / "one", CONFIG, tensors)
        (tmp_path / "one" / "model.safetensors").rename(tmp_path / "one" / name)
    weight_map = {tensor: name for name, tensors in shards.items() for tensor in tensors}
    (tmp_path / "one" / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    hub.add("o/n", tmp_path / "one")
    facts = of_the_hub("o/n")
    assert portable(facts) == portable(read_checkpoint(FolderSource(tmp_path / "one"), id="mine"))
    assert facts.origin is not None
    assert facts.origin.weights == tuple(shards)
    assert len(hub.asked) == 1 + 2 + 2  # the description, config and index, a header each


def test_what_was_fetched_is_read_here_and_only_the_rest_there(hub: ReadingHub, folder: Path) -> None:
    hub.add("o/n", folder)
    snapshot = Path(constants.HF_HUB_CACHE) / "models--o--n" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (snapshot / name).write_bytes((folder / name).read_bytes())
    facts = of_the_hub("o/n")
    assert facts.files == (snapshot / "model.safetensors",)
    assert {asked.path.rpartition("/")[2] for asked in hub.asked} == {
        "n",
        "generation_config.json",
        "chat_template.jinja",
        "tokenizer_config.json",
    }


def test_offline_a_fetched_model_is_the_same(hub: ReadingHub, folder: Path) -> None:
    snapshot = Path(constants.HF_HUB_CACHE) / "models--o--n" / "snapshots" / COMMIT
    snapshot.parent.mkdir(parents=True)
    folder.rename(snapshot)
    facts = of_the_hub("o/n", offline=True)
    assert portable(facts) == portable(read_checkpoint(FolderSource(snapshot), id="mine"))
    assert facts.files == (snapshot / "model.safetensors",)
    assert hub.asked == []


def test_offline_a_checkpoint_without_one_of_its_shards_is_not_a_model(hub: ReadingHub) -> None:
    snapshot = Path(constants.HF_HUB_CACHE) / "models--o--n" / "snapshots" / COMMIT
    write_tensors(snapshot, CONFIG, BLOCK)
    (snapshot / "model.safetensors").rename(snapshot / "model-00001-of-00002.safetensors")
    weight_map = {
        **dict.fromkeys(BLOCK, "model-00001-of-00002.safetensors"),
        **dict.fromkeys(REST, "model-00002-of-00002.safetensors"),
    }
    (snapshot / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(ModelNotFoundError, match="fetched in part only"):
        of_the_hub("o/n", offline=True)


def test_a_file_that_is_too_large_for_what_it_is_is_not_fetched(hub: ReadingHub, folder: Path) -> None:
    hub.add("o/n", folder)
    hub.files["o/n"]["config.json"] = b" " * (5 * 2**20)
    with pytest.raises(InvalidModelFileError, match=r"config\.json is"):
        of_the_hub("o/n")
    assert hub.bytes_sent < 2**20


def test_a_gguf_file_of_the_hub_is_the_same_as_here(hub: ReadingHub, tmp_path: Path) -> None:
    (tmp_path / "m-Q8_0.gguf").write_bytes(Tiny().encode())
    hub.add("o/n", tmp_path)
    facts = of_the_hub("o/n")
    assert portable(facts) == portable(read_facts([tmp_path / "m-Q8_0.gguf"], id="mine"))
    assert facts.origin is not None
    assert facts.origin.weights == ("m-Q8_0.gguf",)


def test_a_broken_gguf_file_is_named_by_its_place_on_the_hub(hub: ReadingHub) -> None:
    hub.files["o/n"] = {"sub/m.gguf": Tiny().encode()[:-100]}
    with pytest.raises(InvalidModelFileError, match=r"o/n/sub/m\.gguf"):
        of_the_hub("o/n")


def test_code_that_a_model_brings_along_is_named(hub: ReadingHub, folder: Path) -> None:
    auto_map = {
        "AutoConfig": "configuration_x.XConfig",
        "AutoModelForCausalLM": "modeling_x.XForCausalLM",
        "AutoTokenizer": ["other/repo--tokenization_x.X", None],
    }
    write_tensors(folder, {**CONFIG, "auto_map": auto_map}, {**BLOCK, **REST})
    hub.add("o/n", folder)
    assert of_the_hub("o/n").own_code == (
        "configuration_x.py",
        "modeling_x.py",
        "other/repo--tokenization_x.py",
    )


@pytest.mark.parametrize("auto_map", [{"AutoConfig": 3}, {"AutoConfig": "../../x.X"}, {"A": ["x;y"]}, "x.X"])
def test_an_auto_map_that_names_no_code_is_refused(hub: ReadingHub, folder: Path, auto_map: object) -> None:
    write_tensors(folder, {**CONFIG, "auto_map": auto_map}, {**BLOCK, **REST})
    hub.add("o/n", folder)
    with pytest.raises(InvalidModelFileError):
        of_the_hub("o/n")


# Real models


def counts(tokenizer: TokenizerFacts | None) -> tuple[int, int, int]:
    assert tokenizer is not None
    return tokenizer.vocab_size, tokenizer.merges, tokenizer.tokens_bytes


def test_a_real_checkpoint_is_known_from_less_than_a_quarter_of_a_megabyte(
    hub: ReadingHub, smollm2_checkpoint: Path
) -> None:
    hub.add("o/smollm2", smollm2_checkpoint)
    here = read_checkpoint(FolderSource(smollm2_checkpoint), id="mine")
    there = of_the_hub("o/smollm2")
    assert portable(replace(there, tokenizer=None)) == portable(replace(here, tokenizer=None))
    assert counts(there.tokenizer) == pytest.approx(counts(here.tokenizer), rel=0.1)
    assert hub.bytes_sent < 256 * 1024
    assert (
        len(hub.asked) == 1 + 4 + 1 + 7
    )  # description, small files, header, head and samples of the tokenizer


def test_of_a_real_gguf_file_the_header_and_at_most_one_piece_more_is_read(
    hub: ReadingHub, smollm2_files: tuple[Path, ...]
) -> None:
    hub.files["o/gguf"] = {smollm2_files[0].name: smollm2_files[0]}
    facts = of_the_hub("o/gguf")
    assert portable(facts) == portable(read_facts(smollm2_files, id="mine"))
    header = read_header(smollm2_files[0]).data_offset_bytes
    read_of_it = sum(asked.sent for asked in hub.asked if asked.range)
    assert header <= read_of_it < header + FIRST_CHUNK_BYTES
    assert len(hub.asked) == 2
