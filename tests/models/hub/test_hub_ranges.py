"""Parts of a remote file: only what was asked for is taken, and a signed address is used again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from reading_hub import COMMIT, ReadingHub, Reply, hub

from shoestring.errors import CorruptDownloadError, FetchError, ModelNotFoundError
from shoestring.models.hub import client
from shoestring.models.hub.base import RemoteFile, Repository
from shoestring.models.hub.ranges import RemoteRange

__all__ = ["hub"]

DATA = bytes(range(256)) * 16


@pytest.fixture
def file(hub: ReadingHub) -> RemoteRange:
    hub.files["o/n"] = {"sub/file.bin": DATA}
    found = RemoteFile("sub/file.bin", len(DATA))
    return RemoteRange(Repository("o/n", COMMIT, (found,)), found)


def test_a_part_is_what_a_local_file_would_give(file: RemoteRange) -> None:
    assert file.read(100, 50) == DATA[100:150]
    assert file.read(len(DATA) - 10, 50) == DATA[-10:]
    assert file.read(0, len(DATA)) == DATA


def test_beyond_the_end_is_nothing_and_asks_nobody(hub: ReadingHub, file: RemoteRange) -> None:
    assert file.read(len(DATA), 10) == b""
    assert hub.asked == []


def test_a_part_moves_no_more_than_the_part(hub: ReadingHub, file: RemoteRange) -> None:
    file.read(100, 50)
    assert hub.bytes_sent == 50


def test_a_commit_is_named_so_that_a_push_in_between_changes_nothing(
    hub: ReadingHub, file: RemoteRange
) -> None:
    file.read(0, 10)
    assert hub.asked[0].path == f"/o/n/resolve/{COMMIT}/sub/file.bin"


def test_a_signed_address_is_fetched_once_and_used_again(hub: ReadingHub, file: RemoteRange) -> None:
    hub.redirects.add("sub/file.bin")
    parts = [file.read(start, 10) for start in (0, 100, 200)]
    assert parts == [DATA[0:10], DATA[100:110], DATA[200:210]]
    assert len(hub.asked) == 4


def test_a_signed_address_that_expired_is_fetched_anew(hub: ReadingHub, file: RemoteRange) -> None:
    hub.redirects.add("sub/file.bin")
    file.read(0, 10)
    refusals = [Reply(403)]
    hub.lie = lambda path, headers, honest: refusals.pop() if refusals else honest
    assert file.read(100, 10) == DATA[100:110]


def test_the_store_of_large_files_gets_no_token(
    hub: ReadingHub, file: RemoteRange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_madeup")
    hub.redirects.add("sub/file.bin")
    file.read(0, 10)
    file.read(100, 10)
    assert [request.token for request in hub.asked] == ["Bearer hf_madeup", None, None]


def test_a_missing_file_is_said_to_be_missing(hub: ReadingHub, file: RemoteRange) -> None:
    hub.files["o/n"].clear()
    with pytest.raises((ModelNotFoundError, FetchError)):
        file.read(0, 10)


def changed(reply: Reply, **headers: str) -> Reply:
    return replace(reply, headers=reply.headers | {key.replace("_", "-"): v for key, v in headers.items()})


@pytest.mark.parametrize(
    "where",
    [
        "bytes 0-49/4096",
        "bytes 100-148/4096",
        "bytes 100-150/4096",
        "bytes */4096",
        "100-149",
        "bytes 100-149/*",
        "",
    ],
)
def test_another_part_than_was_asked_for_is_refused(hub: ReadingHub, file: RemoteRange, where: str) -> None:
    hub.lie = lambda path, headers, honest: changed(honest, Content_Range=where)
    with pytest.raises(FetchError, match="another part"):
        file.read(100, 50)


def test_a_file_of_another_length_than_described_is_refused(hub: ReadingHub, file: RemoteRange) -> None:
    hub.lie = lambda path, headers, honest: changed(honest, Content_Range="bytes 100-149/4097")
    with pytest.raises(CorruptDownloadError, match="4,097 bytes"):
        file.read(100, 50)


def test_a_part_with_too_few_bytes_is_refused(hub: ReadingHub, file: RemoteRange) -> None:
    hub.lie = lambda path, headers, honest: replace(honest, body=honest.body[:-1])
    with pytest.raises(FetchError, match="ended early"):
        file.read(100, 50)


def test_a_part_with_too_many_bytes_is_refused(hub: ReadingHub, file: RemoteRange) -> None:
    hub.lie = lambda path, headers, honest: replace(honest, body=honest.body + b"!")
    with pytest.raises(FetchError, match="more than"):
        file.read(100, 50)


def test_a_server_that_gives_no_parts_is_not_read_to_the_end(hub: ReadingHub, file: RemoteRange) -> None:
    hub.lie = lambda path, headers, honest: Reply(body=b"\0" * 65536, endless=True)
    with pytest.raises(FetchError, match="more than the 50 bytes"):
        file.read(100, 50)


def test_the_start_of_the_file_in_place_of_a_part_is_refused(hub: ReadingHub, file: RemoteRange) -> None:
    hub.lie = lambda path, headers, honest: Reply(body=DATA[:50])
    with pytest.raises(FetchError, match="only the whole file"):
        file.read(100, 50)


def test_a_web_page_in_place_of_a_whole_file_is_refused(hub: ReadingHub, file: RemoteRange) -> None:
    hub.lie = lambda path, headers, honest: Reply(body=b"<!doctype html>")
    with pytest.raises(CorruptDownloadError, match="15 bytes"):
        file.read(0, len(DATA))


def test_more_than_is_ever_read_at_once_is_not_asked_for(hub: ReadingHub) -> None:
    found = RemoteFile("f", 10**12)
    with pytest.raises(FetchError, match="too large a piece"):
        RemoteRange(Repository("o/n", COMMIT, (found,)), found).read(0, 10**12)
    assert hub.asked == []


def test_names_are_quoted(hub: ReadingHub) -> None:
    assert client.file_address("o/n", COMMIT, "a b/c?d#e.gguf").endswith("/a%20b/c%3Fd%23e.gguf")
