"""A saved conversation is written whole or not at all, and read as the untrusted text it is."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoestring.chat.saved import SavedConversation, SavedMessage, load, save
from shoestring.errors import UsageError

TALK = SavedConversation(
    model="smollm2",
    system="Be brief.",
    messages=(SavedMessage("user", "Hi"), SavedMessage("assistant", "Hello")),
    sampling={"temperature": 0.2, "stop": ["END"]},
)


def _document(**changed: Any) -> bytes:
    written = {
        "format": "shoestring conversation",
        "version": 1,
        "model": "smollm2",
        "messages": [{"role": "user", "content": "Hi"}],
    }
    return json.dumps(written | changed).encode()


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    save(TALK, tmp_path / "talk.json")
    assert load(tmp_path / "talk.json") == TALK


@given(st.lists(st.text(st.characters(codec="utf-8"))))
def test_any_text_survives(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    path = tmp_path_factory.mktemp("saved") / "talk.json"
    talk = SavedConversation(model="m", messages=tuple(SavedMessage("user", text) for text in texts))
    save(talk, path)
    assert load(path) == talk


def test_it_is_json_that_a_person_can_read(tmp_path: Path) -> None:
    save(TALK, tmp_path / "talk.json")
    assert json.loads((tmp_path / "talk.json").read_text(encoding="utf-8"))["messages"][0]["content"] == "Hi"
    assert "\n" in (tmp_path / "talk.json").read_text(encoding="utf-8")


@pytest.mark.skipif(os.name == "nt", reason="no modes")
def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    save(TALK, tmp_path / "talk.json")
    assert stat.S_IMODE((tmp_path / "talk.json").stat().st_mode) == 0o600


def test_saving_replaces_and_leaves_nothing_beside(tmp_path: Path) -> None:
    (tmp_path / "talk.json").write_text("old", encoding="utf-8")
    save(TALK, tmp_path / "talk.json")
    assert [path.name for path in tmp_path.iterdir()] == ["talk.json"]
    assert load(tmp_path / "talk.json") == TALK


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(TALK, tmp_path / "talk.json")

    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UsageError, match="Input/output error"):
        save(SavedConversation(model="m", messages=()), tmp_path / "talk.json")
    assert [path.name for path in tmp_path.iterdir()] == ["talk.json"]
    assert load(tmp_path / "talk.json") == TALK


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_link_goes_on_pointing_where_it_does(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text("old", encoding="utf-8")
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    save(TALK, tmp_path / "link.json")
    assert (tmp_path / "link.json").is_symlink()
    assert load(tmp_path / "real.json") == TALK


@pytest.mark.parametrize("target", ["missing/talk.json", "."])
def test_where_nothing_can_be_written_is_said(tmp_path: Path, target: str) -> None:
    with pytest.raises(UsageError, match="cannot be saved"):
        save(TALK, tmp_path / target)


@pytest.mark.parametrize("target", ["talk.json", "."])
def test_what_is_no_file_is_said(tmp_path: Path, target: str) -> None:
    with pytest.raises(UsageError, match="no saved conversation"):
        load(tmp_path / target)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a conversation"),
        (b"{", "not a conversation"),
        (b"[]", "not a conversation"),
        (b"\xff\xfe", "not a conversation"),
        (b'{"format": "another", "version": 1}', "not a conversation"),
        (b"[" * 100_000, "not a conversation"),
        (_document(version=2), "newer version"),
        (_document(messages=[{"role": "tool", "content": "x"}]), "damaged"),
        (_document(messages=[{"role": "user", "content": 3}]), "damaged"),
        (_document(messages=[{"role": "user"}]), "damaged"),
        (_document(messages=[{"role": "user", "content": "\ud800"}]), "damaged|cannot be used|not a conv"),
        (_document(sampling={"temperature": "hot"}), "temperature"),
        (_document(sampling={"colour": 1}), "no sampling parameter"),
        (_document()[:-20], "not a conversation|damaged"),
    ],
)
def test_a_broken_file_is_an_error_that_says_so(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "talk.json").write_bytes(content)
    with pytest.raises(UsageError, match=said):
        load(tmp_path / "talk.json")


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("saved") / "talk.json"
    path.write_bytes(content)
    with pytest.raises(UsageError):
        load(path)


def test_a_file_of_a_later_version_may_hold_more(tmp_path: Path) -> None:
    (tmp_path / "talk.json").write_bytes(_document(mood="good"))
    assert load(tmp_path / "talk.json").model == "smollm2"
