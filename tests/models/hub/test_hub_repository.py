"""What a repository holds: asked in one request, believed only as far as it makes sense, or read from the cache."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from reading_hub import COMMIT, ReadingHub, Reply, hub

from shoestring.errors import FetchError, ModelNotFoundError, NetworkError
from shoestring.models.hub.base import RemoteFile
from shoestring.models.hub.repository import MAX_FILES, repository

__all__ = ["hub"]


@pytest.fixture
def described(hub: ReadingHub) -> ReadingHub:
    hub.files["o/n"] = {"config.json": b"{}", "sub/a.gguf": b"12345"}
    return hub


def cache(files: dict[str, bytes], commit: str = COMMIT, ref: str | None = "main") -> Path:
    """Put files into the cache, as a download leaves them."""
    home = Path(constants.HF_HUB_CACHE) / "models--o--n"
    for name, data in files.items():
        path = home / "snapshots" / commit / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    if ref is not None:
        (home / "refs" / ref).parent.mkdir(parents=True, exist_ok=True)
        (home / "refs" / ref).write_text(commit)
    return home / "snapshots" / commit


def test_one_request_tells_everything(described: ReadingHub) -> None:
    described.description = {
        "downloads": 7,
        "lastModified": "2026-02-03T04:05:06.000Z",
        "cardData": {"license": "apache-2.0"},
    }
    found = repository("o/n")
    assert (found.id, found.commit, found.gated, found.private, found.local) == (
        "o/n",
        COMMIT,
        False,
        False,
        False,
    )
    assert found.files == (RemoteFile("config.json", 2), RemoteFile("sub/a.gguf", 5))
    assert (found.downloads, found.last_modified) == (7, "2026-02-03T04:05:06.000Z")
    assert (found.license, found.snapshot, found.notes) == ("apache-2.0", None, ())
    assert [asked.path for asked in described.asked] == ["/api/models/o/n"]


def test_a_revision_is_asked_for_by_name(described: ReadingHub) -> None:
    repository("o/n", revision="refs/pr/3")
    assert described.asked[0].path == "/api/models/o/n/revision/refs/pr/3"


def test_a_large_file_has_the_length_and_the_hash_of_its_content(described: ReadingHub) -> None:
    large = {"sha256": "a" * 64, "size": 5, "pointerSize": 130}
    described.description = {"siblings": [{"rfilename": "a.gguf", "size": 130, "lfs": large}]}
    assert repository("o/n").files == (RemoteFile("a.gguf", 5, "a" * 64),)


@pytest.mark.parametrize(
    ("card", "license"),
    [
        ({"license": "mit"}, "mit"),
        ({"license": ["mit", "apache-2.0"]}, "mit"),
        ({"license": "other", "license_name": "gemma"}, "gemma"),
        ({"license": "other"}, "other"),
        ({"license": {"a": 1}}, None),
        ({"license": "<script>"}, None),
        ({}, None),
        ([], None),
        (None, None),
    ],
)
def test_the_licence_is_the_cards(described: ReadingHub, card: object, license: str | None) -> None:
    described.description = {"cardData": card}
    assert repository("o/n").license == license


def test_a_renamed_repository_has_the_name_that_the_hub_gives_it(described: ReadingHub) -> None:
    described.description = {"id": "new/name"}
    assert repository("o/n").id == "new/name"


@pytest.mark.parametrize(
    "lie",
    [
        {"id": 3},
        {"id": "../.."},
        {"id": "no-slash"},
        {"sha": "main"},
        {"sha": "../../../etc"},
        {"sha": None},
        {"siblings": "many"},
        {"siblings": [{"size": 3}]},
        {"siblings": [{"rfilename": "../../etc/passwd", "size": 3}]},
        {"siblings": [{"rfilename": "/etc/passwd", "size": 3}]},
        {"siblings": [{"rfilename": "a//b", "size": 3}]},
        {"siblings": [{"rfilename": "a\nb", "size": 3}]},
        {"siblings": [{"rfilename": "a\\b", "size": 3}]},
        {"siblings": [{"rfilename": "", "size": 3}]},
        {"siblings": [{"rfilename": "a", "size": -1}]},
        {"siblings": [{"rfilename": "a", "size": 2**60}]},
        {"siblings": [{"rfilename": "a", "size": 1.5}]},
        {"siblings": [{"rfilename": "a"}]},
        {"siblings": [{"rfilename": "a", "size": 3, "lfs": {"size": 3}}]},
        {"siblings": [{"rfilename": f"f{i}", "size": 1} for i in range(MAX_FILES + 1)]},
        {"gated": {"a": 1}},
        {"downloads": "many"},
    ],
    ids=lambda lie: str(lie)[:60],
)
def test_what_cannot_be_is_refused(described: ReadingHub, lie: dict[str, Any]) -> None:
    described.description = lie
    with pytest.raises(FetchError):
        repository("o/n")


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"null", b"{", b'{"id": "' + b"\xff" + b'"}', b"[" * 100_000]
)
def test_what_is_no_description_is_refused(described: ReadingHub, body: bytes) -> None:
    described.lie = lambda path, headers, honest: Reply(body=body)
    with pytest.raises(FetchError, match="makes no sense"):
        repository("o/n")


def test_a_description_without_end_is_refused(described: ReadingHub) -> None:
    described.lie = lambda path, headers, honest: Reply(body=b" " * 2**20, endless=True)
    with pytest.raises(FetchError, match="more than"):
        repository("o/n")


def test_a_date_that_is_none_is_left_out(described: ReadingHub) -> None:
    described.description = {"lastModified": "\x1b[31mnow"}
    assert repository("o/n").last_modified is None


@pytest.mark.parametrize("kind", ["dataset", "space"])
def test_what_is_no_model_is_named(described: ReadingHub, kind: str) -> None:
    def lie(path: str, headers: object, honest: Reply) -> Reply:
        return Reply(body=b"{}") if path == f"/api/{kind}s/o/data" else honest

    described.lie = lie
    with pytest.raises(ModelNotFoundError, match=f"o/data is a {kind} of the hub, not a model"):
        repository("o/data")


def test_what_was_fetched_of_this_commit_is_found(described: ReadingHub) -> None:
    folder = cache({"config.json": b"{}"})
    assert repository("o/n").snapshot == folder


def test_what_was_fetched_of_another_commit_does_not_count(described: ReadingHub) -> None:
    cache({"config.json": b"{}"}, commit="b" * 40)
    assert repository("o/n").snapshot is None


def test_offline_it_is_what_the_cache_holds_and_nobody_is_asked(described: ReadingHub) -> None:
    folder = cache({"config.json": b"{}", "sub/a.gguf": b"123"})
    found = repository("o/n", offline=True)
    assert (found.local, found.commit, found.snapshot, found.downloads) == (True, COMMIT, folder, None)
    assert found.files == (RemoteFile("config.json", 2), RemoteFile("sub/a.gguf", 3))
    assert described.asked == []


def test_the_environment_can_forbid_to_ask(described: ReadingHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    cache({"config.json": b"{}"})
    assert repository("o/n").local
    assert described.asked == []


def test_a_link_to_content_that_is_gone_is_no_file(described: ReadingHub) -> None:
    folder = cache({"config.json": b"{}"})
    (folder / "model.safetensors").symlink_to("../../blobs/gone")
    assert [file.name for file in repository("o/n", offline=True).files] == ["config.json"]


def test_offline_a_revision_is_the_one_that_was_fetched(described: ReadingHub) -> None:
    cache({"a": b"1"}, commit="a" * 40)
    cache({"a": b"22"}, commit="b" * 40, ref="v2")
    assert repository("o/n", revision="v2", offline=True).commit == "b" * 40
    assert repository("o/n", revision="a" * 40, offline=True).commit == "a" * 40
    with pytest.raises(ModelNotFoundError):
        repository("o/n", revision="v3", offline=True)


def test_offline_a_model_that_was_fetched_by_its_commit_is_found(described: ReadingHub) -> None:
    cache({"a": b"1"}, ref=None)
    assert repository("o/n", offline=True).commit == COMMIT


def test_a_reference_in_the_cache_leads_nowhere_else(described: ReadingHub) -> None:
    cache({"a": b"1"})
    home = Path(constants.HF_HUB_CACHE) / "models--o--n"
    (home / "refs" / "main").write_text("../../../elsewhere")
    assert repository("o/n", offline=True).commit == COMMIT  # the one snapshot there is
    with pytest.raises(ModelNotFoundError):
        repository("o/n", revision="../snapshots", offline=True)


def test_offline_a_model_that_is_not_here_says_so(described: ReadingHub) -> None:
    with pytest.raises(ModelNotFoundError, match="not on this machine yet"):
        repository("o/n", offline=True)


def test_without_a_network_what_is_here_is_used_and_said(
    described: ReadingHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache({"config.json": b"{}"})
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    found = repository("o/n")
    assert found.local
    assert f"fetched earlier, of commit {COMMIT[:8]}" in found.notes[0]


def test_without_a_network_a_model_that_is_not_here_is_a_network_error(
    described: ReadingHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(NetworkError):
        repository("o/n")


def test_a_description_of_many_files_is_read(described: ReadingHub) -> None:
    described.description = {"siblings": [{"rfilename": f"f{i:05}", "size": 1} for i in range(MAX_FILES)]}
    assert len(json.dumps(described.describe("o/n"))) < 32 * 2**20
    assert len(repository("o/n").files) == MAX_FILES
