"""Ranges of a file are read exactly, and what is not a file is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from shoestring.errors import InvalidModelFileError, ModelNotFoundError
from shoestring.models.ranges import BytesRange, FileRange


def test_a_file_and_its_bytes_read_alike(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(bytes(range(100)))
    with FileRange(path) as file:
        memory = BytesRange(path.read_bytes())
        assert file.size_bytes == memory.size_bytes == 100
        assert file.read(7, 3) == memory.read(7, 3) == bytes([7, 8, 9])


def test_a_range_over_the_end_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"abc")
    with FileRange(path) as file:
        assert file.read(2, 10) == BytesRange(b"abc").read(2, 10) == b"c"


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"no file at .*gone\.gguf"):
        FileRange(tmp_path / "gone.gguf")


def test_a_folder_is_no_model_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidModelFileError, match="is a folder"):
        FileRange(tmp_path)
