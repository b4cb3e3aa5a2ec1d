"""Fetching from the hub: only what is needed, whole and as described, and nothing twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hub_server import Hub

from shoestring.errors import (
    CorruptDownloadError,
    DiskFullError,
    FetchError,
    ModelNotFoundError,
    NetworkError,
)
from shoestring.models.hub.base import RemoteFile, Repository
from shoestring.models.hub.pull import _Count, fetch, needed
from shoestring.models.hub.repository import repository
from shoestring.models.hub.resuming import PIECE_BYTES
from shoestring.models.progress import FetchProgress

MB = 10**6
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
FILES = {
    "config.json": b"{}",
    "tokenizer.json": b"{}" * 100,
    "model.safetensors.index.json": b"{}",
    SHARDS[0]: b"1" * MB,
    SHARDS[1]: b"2" * (2 * MB),
    "modeling_own.py": b"print()",
    "pytorch_model.bin": b"3" * MB,
    "README.md": b"# words",
    "onnx/model.onnx": b"4" * MB,
    "small.Q4_K_M.gguf": b"5" * MB,
}


@pytest.fixture
def found(hub_here: Hub) -> Repository:
    hub_here.add("ada/smol", FILES)
    return repository("ada/smol")


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_checkpoint_comes_with_config_and_tokenizer_and_without_pickles_and_code(found: Repository) -> None:
    expected = {"config.json", "tokenizer.json", "model.safetensors.index.json", *SHARDS}
    assert names(fetch(found, SHARDS)) == expected


def test_code_comes_with_consent_alone(found: Repository) -> None:
    assert "modeling_own.py" in names(fetch(found, SHARDS, code=True))


def test_of_many_gguf_files_one_comes_alone(found: Repository, hub_here: Hub) -> None:
    assert names(fetch(found, ["small.Q4_K_M.gguf"])) == {"small.Q4_K_M.gguf"}
    assert hub_here.sent(".safetensors") == 0


def test_small_files_come_first(found: Repository) -> None:
    assert [file.name for file in needed(found, SHARDS)][-2:] == list(SHARDS)


def test_what_is_here_is_not_asked_for_again(found: Repository, hub_here: Hub) -> None:
    snapshot = fetch(found, SHARDS)
    hub_here.asked.clear()
    assert fetch(replace(found, snapshot=snapshot), SHARDS) == snapshot
    assert hub_here.asked == []


def test_the_commit_is_found_again_without_a_network(found: Repository) -> None:
    fetch(found, SHARDS)
    here = repository("ada/smol", offline=True)
    assert (here.commit, here.local) == (found.commit, True)


def test_a_branch_is_found_again_without_a_network(hub_here: Hub) -> None:
    hub_here.add("ada/smol", FILES)
    hub_here.add("ada/smol", {**FILES, "config.json": b"{ }"}, branch="v2")
    for revision in ("v2", "main"):
        fetch(repository("ada/smol", revision=revision), SHARDS)
    found = [repository("ada/smol", revision=revision, offline=True).commit for revision in ("v2", "main")]
    assert found == [hub_here.repos["ada/smol"].branches[branch][0] for branch in ("v2", "main")]


def test_a_part_that_is_missing_offline_is_told(found: Repository) -> None:
    fetch(found, SHARDS[:1])
    with pytest.raises(NetworkError, match="not wholly on this machine"):
        fetch(replace(found, local=True), SHARDS)


def test_progress_counts_all_files_together_and_ends_at_their_sum(found: Repository) -> None:
    seen: list[FetchProgress] = []
    fetch(found, SHARDS, seen.append)
    total = sum(file.size_bytes for file in needed(found, SHARDS))
    assert [now.done_bytes for now in seen] == sorted(now.done_bytes for now in seen)
    assert (seen[-1].label, seen[-1].done_bytes, seen[-1].total_bytes) == (
        "Fetching ada/smol",
        total,
        total,
    )


@pytest.mark.parametrize("after", [15 * MB, -15 * MB], ids=["closed", "reset"])
def test_a_dropped_connection_goes_on_where_it_was(hub_here: Hub, after: int) -> None:
    """What came of the last piece comes again."""
    content = bytes(range(256)) * 90_000
    hub_here.add("ada/large", {"large.Q8_0.gguf": content})
    hub_here.faults.drop_after["large.Q8_0.gguf"] = [after]
    snapshot = fetch(repository("ada/large"), ["large.Q8_0.gguf"])
    assert (snapshot / "large.Q8_0.gguf").read_bytes() == content
    assert hub_here.asked[-1].headers["range"] == f"bytes={15 * MB // PIECE_BYTES * PIECE_BYTES}-"
    assert hub_here.sent("gguf") < len(content) + PIECE_BYTES


def test_the_token_goes_to_the_hub_and_not_to_its_store(
    found: Repository, hub_here: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hub_server import User

    hub_here.users["hf_made_up_secret"] = User()
    monkeypatch.setenv("HF_TOKEN", "hf_made_up_secret")
    fetch(found, SHARDS)
    asked = {(one.server, one.token is not None) for one in hub_here.asked if one.path.endswith(SHARDS[1])}
    assert asked == {("hub", True), ("store", False)}


def test_what_is_not_as_described_is_removed(found: Repository, hub_here: Hub) -> None:
    hub_here.faults.corrupt.add(SHARDS[1])
    with pytest.raises(CorruptDownloadError, match=SHARDS[1]):
        fetch(found, SHARDS)
    hub_here.faults.corrupt.clear()
    snapshot = fetch(repository("ada/smol"), SHARDS)
    assert (snapshot / SHARDS[1]).read_bytes() == FILES[SHARDS[1]]
    assert hub_here.sent(SHARDS[0]) == len(FILES[SHARDS[0]])


def test_too_little_room_is_told_before_anything_comes(found: Repository, hub_here: Hub) -> None:
    with pytest.raises(DiskFullError, match=r"needs 19\.\d+ MB on the disk; 5\.00 MB are free"):
        fetch(found, SHARDS, free_bytes=lambda _: 5 * MB)
    assert hub_here.sent("config.json") == 0


def test_a_file_that_vanished_since_is_told(found: Repository, hub_here: Hub) -> None:
    del hub_here.repos["ada/smol"].branches["main"][1][SHARDS[1]]
    with pytest.raises(ModelNotFoundError, match="not there any more"):
        fetch(found, SHARDS)


def test_a_connection_that_never_holds_for_ten_megabytes_brings_a_file_all_the_same(
    hub_here: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)  # the library's pauses between attempts
    content = bytes(range(256)) * 90_000
    hub_here.add("ada/large", {"large.Q8_0.gguf": content})
    hub_here.faults.drop_after["large.Q8_0.gguf"] = [4 * MB, -4 * MB] * 5
    snapshot = fetch(repository("ada/large"), ["large.Q8_0.gguf"])
    assert (snapshot / "large.Q8_0.gguf").read_bytes() == content


def test_a_file_that_is_longer_than_described_is_cut_off(found: Repository, hub_here: Hub) -> None:
    hub_here.add("ada/smol", {**FILES, SHARDS[1]: b"2" * (40 * MB)})
    hub_here.repos["ada/smol"].branches["main"] = (
        found.commit,
        hub_here.repos["ada/smol"].branches["main"][1],
    )
    with pytest.raises(CorruptDownloadError, match=SHARDS[1]):
        fetch(found, SHARDS)
    assert hub_here.sent(SHARDS[1]) < 30 * MB  # what the sockets held included


@pytest.mark.parametrize("header", ["ETag", "X-Linked-Etag"])
@pytest.mark.parametrize("etag", ["../../../../outside", 'W/"/outside"', "..", "", "a b", "x" * 300])
def test_a_file_is_written_nowhere_but_into_the_cache(
    found: Repository, hub_here: Hub, tmp_path: Path, header: str, etag: str
) -> None:
    hub_here.faults.headers[SHARDS[1]] = {header: etag}
    with pytest.raises(FetchError, match="ETag that none has"):
        fetch(found, SHARDS)
    assert list(tmp_path.rglob("*outside*")) == []


def test_a_file_of_another_commit_is_refused(found: Repository, hub_here: Hub) -> None:
    hub_here.faults.headers["config.json"] = {"X-Repo-Commit": "d" * 40}
    with pytest.raises(FetchError, match="another commit"):
        fetch(found, SHARDS)


def test_a_transfer_by_xet_is_counted_once(found: Repository) -> None:
    """The library's own reporter of such transfers is run: no server here speaks the protocol."""
    from huggingface_hub.utils._xet_progress_reporting import XetDownloadProgressReporter

    seen: list[FetchProgress] = []
    file = RemoteFile("large.gguf", 10 * MB)
    bar = _Count(found, file.size_bytes, seen.append).bar(file)
    reporter = XetDownloadProgressReporter(
        reconstruction_desc="", total=file.size_bytes, log_level=30, tqdm_class=bar
    )
    with reporter:
        for travelled, written in ((3 * MB, 0), (6 * MB, 5 * MB), (7 * MB, 10 * MB)):
            reporter.update_progress(
                SimpleNamespace(
                    total_bytes=file.size_bytes,
                    total_bytes_completed=written,
                    total_bytes_completion_rate=1.0,
                    total_transfer_bytes_completed=travelled,
                    total_transfer_bytes_completion_rate=1.0,
                )
            )
    assert [now.done_bytes for now in seen] == [5 * MB, 10 * MB]
