"""The models of the hub that are here: those that can be loaded are listed, and one is removed without harm to others."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hub_server import Hub

from shoestring.errors import ModelError, ModelNotFoundError
from shoestring.models.cache import CachedModel, list_starters
from shoestring.models.cache import list_models as list_all
from shoestring.models.cache import remove as remove_any
from shoestring.models.hub.cached import list_models, remove
from shoestring.models.hub.pull import fetch
from shoestring.models.hub.repository import repository
from shoestring.models.hub.snapshots import home

LLAMA = json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}).encode()
CHECKPOINT = {"config.json": LLAMA, "model.safetensors": b"1" * 1000}
GGUFS = {"small.Q4_K_M.gguf": b"2" * 2000, "small.Q8_0.gguf": b"3" * 3000}


def brought(hub: Hub, id: str, files: dict[str, bytes], *names: str, branch: str = "main") -> Path:
    hub.add(id, files, branch=branch)
    return fetch(repository(id, revision=branch), names or tuple(files))


def only() -> CachedModel:
    (model,) = list_models()
    return model


def test_without_a_cache_there_is_none(hub_here: Hub) -> None:
    assert list_models() == ()


def test_a_checkpoint_is_listed_with_its_size_and_commit(hub_here: Hub) -> None:
    snapshot = brought(hub_here, "ada/smol", CHECKPOINT)
    model = only()
    assert (model.id, model.description) == ("ada/smol", "checkpoint, LlamaForCausalLM")
    assert (model.size_bytes, model.commit) == (1000 + len(LLAMA), snapshot.name)
    assert model.files == (snapshot / "model.safetensors",)


def test_it_tells_when_a_file_was_last_read(hub_here: Hub) -> None:
    before = datetime.now(timezone.utc).replace(microsecond=0)
    brought(hub_here, "ada/smol", CHECKPOINT)
    assert before <= datetime.fromisoformat(only().last_used or "") <= datetime.now(timezone.utc)


def test_of_ggufs_those_are_listed_that_are_here(hub_here: Hub) -> None:
    snapshot = brought(hub_here, "ada/gguf", GGUFS, "small.Q8_0.gguf")
    assert only().description == "GGUF Q8_0"
    assert only().files == (snapshot / "small.Q8_0.gguf",)


NOT_LOADED = {
    "an encoder": {**CHECKPOINT, "config.json": b'{"model_type": "bert", "architectures": ["BertModel"]}'},
    "pickles": {"config.json": LLAMA, "pytorch_model.bin": b"4"},
    "a broken config": {**CHECKPOINT, "config.json": b"{"},
    "half a model": {
        "config.json": LLAMA,
        "model-00001-of-00002.safetensors": b"5",
        "model.safetensors.index.json": json.dumps(
            {"weight_map": {f"w{n}": f"model-0000{n}-of-00002.safetensors" for n in (1, 2)}}
        ).encode(),
    },
}


@pytest.mark.parametrize("what", NOT_LOADED)
def test_what_this_version_does_not_load_is_not_listed(hub_here: Hub, what: str) -> None:
    brought(hub_here, "ada/other", NOT_LOADED[what])
    assert list_models() == ()


def test_models_of_the_hub_stand_after_the_starters(hub_here: Hub) -> None:
    brought(hub_here, "ada/smol", CHECKPOINT)
    assert [model.id for model in list_all()] == [*(m.id for m in list_starters()), "ada/smol"]


def test_a_model_is_removed_with_all_its_revisions(hub_here: Hub) -> None:
    brought(hub_here, "ada/smol", CHECKPOINT)
    brought(hub_here, "ada/smol", {**CHECKPOINT, "model.safetensors": b"6" * 500}, branch="v2")
    assert remove_any("ada/smol") == len(LLAMA) + 1000 + 500
    assert not home("ada/smol").exists()


def test_a_copy_with_the_same_commits_stays(hub_here: Hub) -> None:
    brought(hub_here, "ada/smol", CHECKPOINT)
    copy = brought(hub_here, "grace/copy", CHECKPOINT)
    remove("ada/smol")
    assert only().id == "grace/copy"
    assert (copy / "model.safetensors").read_bytes() == b"1" * 1000


def test_what_a_killed_fetch_left_is_removed_too(hub_here: Hub) -> None:
    blobs = home("ada/smol") / "blobs"
    blobs.mkdir(parents=True)
    (blobs / "a.b.incomplete").write_bytes(b"7" * 700)
    assert remove("ada/smol") == 700
    assert not home("ada/smol").exists()


def test_a_model_that_is_being_fetched_stays(hub_here: Hub) -> None:
    import filelock

    brought(hub_here, "ada/smol", CHECKPOINT)
    lock = next((home("ada/smol").parent / ".locks").rglob("*.lock"))
    with filelock.FileLock(lock), pytest.raises(ModelError, match="Another process is fetching ada/smol"):
        remove("ada/smol")
    assert only().id == "ada/smol"


@pytest.mark.parametrize(
    "name", ["ada/other", "ada/smol:Q4_K_M", "ada/..", "../ada", "ada/smol/x.gguf", "/", "ada/"]
)
def test_what_is_not_here_cannot_be_removed(hub_here: Hub, name: str) -> None:
    brought(hub_here, "ada/smol", CHECKPOINT)
    with pytest.raises(ModelNotFoundError):
        remove_any(name)
    assert only().id == "ada/smol"
