"""What a reference means, and what is said when it means nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shoestring.errors import (
    AccessError,
    InvalidModelFileError,
    ModelError,
    ModelNotFoundError,
    ShoestringError,
    UsageError,
)
from shoestring.models.reference import Resolved, resolve
from shoestring.models.starters import STARTERS, folder_of


@pytest.fixture(autouse=True)
def somewhere(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, and a working directory of its own."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def gguf(path: Path | str) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"GGUF")
    return path


def refusal(reference: str, **options: bool) -> ShoestringError:
    with pytest.raises(ShoestringError) as caught:
        resolve(reference, **options)
    return caught.value


def test_a_path_works_as_it_is(tmp_path):
    gguf("model.gguf")
    assert resolve("model.gguf") == Resolved(
        "model.gguf", (tmp_path / "work" / "model.gguf",), None, "a local file"
    )


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    path = gguf(tmp_path / "models" / "model.gguf")
    assert resolve("~/models/model.gguf").files == (path,)


def test_a_gguf_file_needs_no_suffix():
    path = gguf("blobs/sha256-0123")
    assert resolve("blobs/sha256-0123").files == (path.absolute(),)


def test_any_part_of_a_split_model_means_the_whole_in_order(tmp_path):
    parts = [gguf(f"big-0000{n}-of-00003.gguf").absolute() for n in (3, 1, 2)]
    for part in parts:
        assert resolve(part.name).files == tuple(sorted(parts))


def test_a_missing_part_is_named():
    for n in (1, 2, 4):
        gguf(f"big-0000{n}-of-00005.gguf")
    error = refusal("big-00002-of-00005.gguf")
    assert isinstance(error, ModelNotFoundError)
    assert "big-00003-of-00005.gguf and 1 more is missing" in error.message


@pytest.mark.parametrize("name", ["big-00004-of-00003.gguf", "big-00000-of-00003.gguf"])
def test_a_part_that_cannot_exist_is_refused(name):
    gguf(name)
    assert isinstance(refusal(name), InvalidModelFileError)


def test_a_starters_name_means_the_starter_even_beside_a_file_of_that_name():
    gguf("smollm2")
    assert "offline" in refusal("smollm2", offline=True).message
    assert resolve("./smollm2", offline=True).files == (Path("smollm2").absolute(),)


def test_a_starters_capitals_do_not_matter_unless_a_file_is_called_so():
    assert "offline" in refusal("SmolLM2", offline=True).message
    gguf("SmolLM2")
    assert resolve("SmolLM2").files == (Path("SmolLM2").absolute(),)


def test_a_path_object_means_a_file_even_where_a_starter_has_its_name(tmp_path):
    with pytest.raises(ModelNotFoundError, match="no file smollm2"):
        resolve(Path("smollm2"))
    path = gguf(tmp_path / "smollm2")
    assert resolve(path) == Resolved(str(path), (path,), None, "a local file")


@pytest.mark.parametrize("nothing", [None, 3, b"model.gguf", ["smollm2"]])
def test_what_is_neither_text_nor_a_path_is_a_usage_error(nothing):
    with pytest.raises(UsageError, match=type(nothing).__name__):
        resolve(nothing)


def test_a_cached_starter_resolves_at_once_and_imports_nothing_heavy():
    starter = STARTERS["smollm2"]
    folder = folder_of(starter)
    folder.mkdir(parents=True)
    (folder / "manifest.json").touch()
    with (folder / starter.file).open("wb") as stream:
        stream.truncate(starter.size_bytes)
    script = (
        "import sys; from shoestring.models.reference import resolve; r = resolve('smollm2', offline=True);"
        "print(r.id, r.license, *r.files);"
        "print({'subprocess', 'hashlib', 'zipfile', 'json', 'platformdirs', 'pip', 'difflib'} & set(sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert answer.splitlines() == [f"smollm2 Apache-2.0 {folder / starter.file}", "set()"]


@pytest.mark.parametrize("name", ["smolm2", "SmolM2", "smollm"])
def test_an_unknown_name_gets_the_nearest_starter(name):
    error = refusal(name)
    assert isinstance(error, ModelNotFoundError)
    assert error.hint is not None
    assert error.hint.startswith("Did you mean smollm2?")
    assert "gemma3-270m" in error.hint


@pytest.mark.parametrize(
    ("reference", "kind", "message"),
    [
        ("", UsageError, "No model is named"),
        ("  ", UsageError, "No model is named"),
        ("no-such-thing-at-all", ModelNotFoundError, "no model called 'no-such-thing-at-all'"),
        ("missing.gguf", ModelNotFoundError, "no file missing.gguf"),
        ("/no/such/place/model.bin", ModelNotFoundError, "no file /no/such/place/model.bin"),
        ("./folder/model", ModelNotFoundError, "no file ./folder/model"),
        ("~no-such-user/model.gguf", ModelNotFoundError, "no file ~no-such-user/model.gguf"),
        ("https://example.org/model.gguf", ModelNotFoundError, "is an address, not a model's name"),
        ("datasets/org/name", ModelNotFoundError, "names a dataset of the hub, not a model"),
        ("spaces/org/name", ModelNotFoundError, "names a space of the hub, not a model"),
        ("folder/missing.gguf", ModelNotFoundError, "no file folder/missing.gguf"),
        ("a\0b", ModelNotFoundError, "no file"),
        ("What is the capital of France? " * 400, ModelNotFoundError, "no model called"),
        ("x/" * 5000, ModelNotFoundError, "no file"),
    ],
)
def test_what_means_nothing_is_said_in_a_sentence(reference, kind, message):
    error = refusal(reference)
    assert type(error) is kind
    assert message in error.message
    assert error.hint
    assert len(error.message) < 400


def test_a_folder_offers_the_models_in_it():
    for name in ("a.gguf", "big-00001-of-00002.gguf", "big-00002-of-00002.gguf", "notes.txt"):
        gguf(f"folder/{name}")
    error = refusal("folder")
    assert isinstance(error, ModelNotFoundError)
    assert error.hint == "Give one of the files in it: a.gguf, big-00001-of-00002.gguf."
    assert isinstance(refusal("."), ModelNotFoundError)


def checkpoint(folder: str, *names: str) -> Path:
    Path(folder).mkdir()
    for name in names:
        (Path(folder) / name).write_bytes(b"{}")
    return Path(folder)


def test_a_folder_with_a_config_and_safetensors_is_a_model():
    folder = checkpoint("mine", "config.json", "model.safetensors")
    found = resolve("mine", starters={})
    assert found.folder == folder.absolute()
    assert found.files == (folder.absolute() / "model.safetensors",)


def test_the_shards_of_a_folder_come_in_order():
    folder = checkpoint("mine", "config.json", "b.safetensors", "a.safetensors")
    index = {"weight_map": {"x": "b.safetensors", "y": "a.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert [file.name for file in resolve("mine", starters={}).files] == ["a.safetensors", "b.safetensors"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("config.json", "pytorch_model.bin"), "can run any code"),
        (("config.json", "model.gguf"), "GGUF files"),
        (("config.json",), "no weights"),
        (("model.safetensors",), "without their config.json"),
        (("config.json", "model-00001-of-00002.safetensors"), "not their model.safetensors.index.json"),
    ],
)
def test_a_folder_that_cannot_be_read_says_why(names, message):
    checkpoint("mine", *names)
    error = refusal("mine")
    assert isinstance(error, ModelNotFoundError)
    assert message in error.message
    assert error.hint


def test_a_safetensors_file_alone_asks_for_its_folder():
    checkpoint("mine", "config.json", "model.safetensors")
    error = refusal("mine/model.safetensors")
    assert isinstance(error, InvalidModelFileError)
    assert "folder" in error.message


def test_a_file_that_is_not_gguf_is_refused():
    Path("notes.txt").write_text("hello")
    for reference in ("notes.txt", "./notes.txt"):
        assert isinstance(refusal(reference), InvalidModelFileError)


def test_a_link_to_nothing_is_named():
    Path("gone.gguf").symlink_to("nowhere.gguf")
    error = refusal("gone.gguf")
    assert isinstance(error, ModelNotFoundError)
    assert "link" in error.message


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_refused_without_waiting_for_it():
    os.mkfifo("pipe.gguf")
    assert isinstance(refusal("pipe.gguf"), ModelError)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_an_access_error():
    gguf("locked.gguf").chmod(0)
    assert isinstance(refusal("locked.gguf"), AccessError)


@pytest.fixture
def nobody_special():
    """A user who may not do everything, even where root runs the tests."""
    if not hasattr(os, "geteuid"):
        pytest.skip("folders have no permissions here")
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield
    os.seteuid(user)


@pytest.mark.parametrize("reference", ["locked/model.gguf", "link.gguf"])
def test_a_folder_that_may_not_be_searched_is_an_access_error(reference, request):
    gguf("locked/model.gguf")
    Path("link.gguf").symlink_to("locked/model.gguf")
    Path("locked").chmod(0)
    request.getfixturevalue("nobody_special")
    error = refusal(reference)
    assert isinstance(error, AccessError)
    assert reference in error.message


def test_no_message_names_a_command_line_flag():
    for reference in ("", "unknown", "missing.gguf", "org/name", "."):
        error = refusal(reference, offline=True)
        assert "--" not in f"{error.message} {error.hint}"
