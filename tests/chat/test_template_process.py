"""The process that renders a template sees only its job: not the user's files, not the user's secrets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shoestring.chat.rendering import render_text
from shoestring.chat.template_process import _environment, render_apart


@pytest.mark.parametrize("import_path", [None, "", ".", f".{os.pathsep}", f"{os.pathsep}here"])
def test_no_module_of_the_working_directory_is_imported(
    import_path: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = f"open({str(tmp_path / 'sprung')!r}, 'w').close()\n"
    (tmp_path / "here").mkdir()
    for name in ("json", "jinja2", "msgspec", "shoestring", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text(trap)
        (tmp_path / "here" / f"{name}.py").write_text(trap)
    monkeypatch.chdir(tmp_path)
    if import_path is not None:
        monkeypatch.setenv("PYTHONPATH", import_path)
    assert render_text("{{ lipsum(1) | length > 0 }}", [{}]) == ["True"]
    assert not (tmp_path / "sprung").exists()


def test_secrets_stay_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("PYTHONSTARTUP", "secret")
    assert "secret" not in _environment().values()


def test_its_folder_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    render_apart("{{ lipsum(1) }}", [{}])
    assert list(tmp_path.iterdir()) == []
