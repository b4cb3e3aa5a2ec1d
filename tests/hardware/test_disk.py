"""Room where models go, whether or not the folder is there yet."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shoestring.errors import UsageError
from shoestring.hardware import disk as disk_module
from shoestring.hardware.disk import is_writable, read_disk


def test_free_space_of_a_folder_that_does_not_exist_yet_is_its_parents(tmp_path: Path) -> None:
    disk = read_disk(tmp_path / "not" / "there")

    assert disk.path == str(tmp_path / "not" / "there")
    assert disk.free_bytes > 0


def test_a_disk_that_is_not_there_is_a_usage_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def gone(path: Path) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(disk_module.shutil, "disk_usage", gone)

    with pytest.raises(UsageError, match="cannot be reached"):
        read_disk(tmp_path)


def test_a_folder_that_can_be_made_is_writable(tmp_path: Path) -> None:
    assert is_writable(tmp_path / "not" / "there")


def test_a_path_below_a_file_is_not_writable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    assert not is_writable(tmp_path / "file" / "models")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_not_writable(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)

    assert not is_writable(tmp_path / "models")
