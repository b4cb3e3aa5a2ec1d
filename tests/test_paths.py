"""Where things are kept, on each platform and when told otherwise."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from shoestring import paths


@pytest.fixture
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    for name in ("SHOESTRING_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    return monkeypatch


def test_one_variable_moves_everything(nothing_set, tmp_path):
    nothing_set.setenv("SHOESTRING_HOME", str(tmp_path / "here"))
    assert paths.models_dir() == tmp_path / "here" / "cache" / "models"
    assert paths.state_dir() == tmp_path / "here" / "state"
    assert paths.data_dir() == tmp_path / "here" / "data"


def test_a_relative_home_means_the_same_after_a_change_of_directory(nothing_set, tmp_path):
    nothing_set.setenv("SHOESTRING_HOME", "here")
    assert paths.models_dir().is_absolute()


@pytest.mark.parametrize(
    ("platform", "models", "state"),
    [
        ("linux", ".cache/shoestring/models", ".local/state/shoestring"),
        ("darwin", "Library/Caches/shoestring/models", "Library/Application Support/shoestring"),
        ("win32", "AppData/Local/shoestring/cache/models", "AppData/Local/shoestring/state"),
    ],
)
def test_else_each_platforms_own_folders(nothing_set, tmp_path, platform, models, state):
    nothing_set.setattr(sys, "platform", platform)
    assert paths.models_dir() == tmp_path / models
    assert paths.state_dir() == tmp_path / state


def test_xdg_folders_are_honoured_when_absolute(nothing_set, tmp_path):
    nothing_set.setattr(sys, "platform", "linux")
    nothing_set.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    nothing_set.setenv("XDG_STATE_HOME", "relative/is/invalid")
    assert paths.models_dir() == tmp_path / "elsewhere" / "shoestring" / "models"
    assert paths.state_dir() == tmp_path / ".local" / "state" / "shoestring"


@pytest.mark.parametrize(
    ("platform", "data"),
    [
        ("linux", ".local/share/shoestring"),
        ("darwin", "Library/Application Support/shoestring"),
        ("win32", "AppData/Local/shoestring/data"),
    ],
)
def test_what_the_user_made_lies_among_the_users_data(nothing_set, tmp_path, platform, data):
    nothing_set.setattr(sys, "platform", platform)
    assert paths.data_dir() == tmp_path / data
