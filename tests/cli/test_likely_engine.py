"""Which engine a command line will need is guessed before it is parsed."""

from __future__ import annotations

from pathlib import Path

import pytest

from shoestring.cli._early import likely_engine


@pytest.fixture
def checkpoint(tmp_path: Path) -> str:
    (tmp_path / "config.json").write_text("{}")
    return str(tmp_path)


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A hub model that was fetched."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--org--name" / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    return "org/name"


def test_a_starter_is_run_by_llama_cpp() -> None:
    assert likely_engine(["run", "smollm2", "Hi"]) == "llama_cpp"


def test_a_folder_with_a_config_is_run_by_transformers(checkpoint: str) -> None:
    assert likely_engine(["run", "--max-tokens", "3", checkpoint, "Hi"]) == "transformers"


def test_a_hub_model_that_is_here_is_run_by_transformers(cached: str) -> None:
    assert likely_engine(["run", cached]) == "transformers"
    assert likely_engine(["run", f"{cached}@v1.0"]) == "transformers"
    assert likely_engine(["run", "org/other"]) == "llama_cpp"


@pytest.mark.parametrize("option", [["--engine", "llama_cpp"], ["--engine=llama_cpp"]])
def test_an_engine_that_is_named_is_taken(checkpoint: str, option: list[str]) -> None:
    assert likely_engine(["run", checkpoint, *option]) == "llama_cpp"


@pytest.mark.parametrize("word", ["x" * 100_000, "a\0b", "--engine", "../../..", "*/*"])
def test_nothing_that_is_typed_breaks_the_guess(word: str) -> None:
    assert likely_engine(["run", word]) == "llama_cpp"


def test_an_engine_of_another_name_is_not_started() -> None:
    assert likely_engine(["run", "smollm2", "--engine", "vllm"]) == "llama_cpp"
