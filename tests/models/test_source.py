"""A folder as a source of files: plain names, bounded reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from shoestring.errors import InvalidModelFileError, ModelNotFoundError
from shoestring.models.source import FolderSource, read_whole


@pytest.fixture
def source(tmp_path: Path) -> FolderSource:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "hidden.json").touch()
    (tmp_path / "b.json").write_bytes(b"12345")
    (tmp_path / "a.json").touch()
    return FolderSource(tmp_path)


def test_files_are_listed_in_order_without_those_in_folders_below(source: FolderSource) -> None:
    assert source.names() == ("a.json", "b.json")


def test_a_file_is_read_in_ranges_and_lies_here(source: FolderSource, tmp_path: Path) -> None:
    with source.open("b.json") as file:
        assert (file.size_bytes, file.read(1, 2)) == (5, b"23")
    assert source.path("b.json") == tmp_path / "b.json"


@pytest.mark.parametrize("name", ["c.json", "below/hidden.json", "../b.json", ""])
def test_only_listed_names_are_opened(name: str, source: FolderSource) -> None:
    with pytest.raises(ModelNotFoundError):
        source.open(name)


def test_a_small_file_is_read_whole_and_a_large_one_refused(source: FolderSource) -> None:
    assert read_whole(source, "b.json", at_most=5) == b"12345"
    with pytest.raises(InvalidModelFileError, match="exceeds 4"):
        read_whole(source, "b.json", at_most=4)


@pytest.mark.parametrize("name", ["missing", "b.json"])
def test_what_is_no_folder_is_not_found(name: str, source: FolderSource, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError):
        FolderSource(tmp_path / name)
