"""The loopback hub is trusted by many tests: it does what the real one does where huggingface_hub looks."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub
import pytest
from hub_server import Hub, User
from huggingface_hub import errors

BYTES = bytes(range(256)) * 1000


def test_the_library_downloads_from_it(hub_here: Hub) -> None:
    hub_here.add("o/n", {"config.json": b"{}", "sub/model.safetensors": BYTES})
    path = huggingface_hub.hf_hub_download("o/n", "sub/model.safetensors", endpoint=hub_here.address)
    assert Path(path).read_bytes() == BYTES


def test_the_library_is_told_of_sizes_and_digests(hub_here: Hub) -> None:
    hub_here.add("o/n", {"a.gguf": BYTES}, license="mit")
    found = huggingface_hub.HfApi(endpoint=hub_here.address).model_info("o/n", files_metadata=True)
    assert found.siblings is not None
    assert found.siblings[0].size == len(BYTES)
    assert found.siblings[0].lfs is not None


def test_large_files_come_from_the_store_without_the_token(hub_here: Hub) -> None:
    hub_here.add("o/n", {"a.gguf": BYTES})
    hub_here.users["hf_x"] = User()
    huggingface_hub.hf_hub_download("o/n", "a.gguf", endpoint=hub_here.address, token="hf_x")
    asked = {asked.server: asked.token for asked in hub_here.asked if asked.path.endswith("a.gguf")}
    assert asked == {"hub": "Bearer hf_x", "store": None}


@pytest.mark.parametrize(
    ("id", "revision", "name", "error"),
    [
        ("o/n", "main", "none.json", errors.EntryNotFoundError),
        ("o/n", "v9", "config.json", errors.RevisionNotFoundError),
        ("o/none", "main", "config.json", errors.HfHubHTTPError),  # 401: the library knows it by https alone
        ("o/gated", "main", "config.json", errors.GatedRepoError),
    ],
)
def test_refusals_are_those_that_the_library_knows(
    hub_here: Hub, id: str, revision: str, name: str, error: type[Exception]
) -> None:
    hub_here.add("o/n", {"config.json": b"{}"})
    hub_here.add("o/gated", {"config.json": b"{}"}, gated="manual")
    with pytest.raises(error):
        huggingface_hub.hf_hub_download(id, name, revision=revision, endpoint=hub_here.address)
