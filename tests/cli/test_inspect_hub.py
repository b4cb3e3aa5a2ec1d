"""`shoestring inspect org/name` and `plan org/name`, over a hub on loopback: where a model comes from, what else is there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import Shell
from header_checkpoint import write_tensors

CARD = b"---\nlicense: mit\n---\n"


@pytest.fixture
def two(shell: Shell, smollm2_files: tuple[Path, ...]) -> Shell:
    """A repository with two GGUF models, one of a type that suits more."""
    data = smollm2_files[0]
    shell.hub.add("ada/two", {"m-Q4_K_M.gguf": data, "m-Q8_0.gguf": data, "README.md": CARD})
    return shell


def test_a_report_says_where_the_model_comes_from_and_what_else_is_there(two: Shell) -> None:
    status, out, err = two("inspect", "ada/two")
    assert (status, err) == (0, "")
    assert "Repository     ada/two, commit" in out
    assert "Last change    2026-11-01" in out
    assert "Downloads      1,234 in 30 days" in out
    assert "Files          3, of which 1 holds its weights (not fetched yet)" in out
    assert "ada/two:Q8_0" in out
    assert "! Of 2 GGUF files Q4_K_M was taken" in out


def test_the_document_says_the_same(two: Shell) -> None:
    status, out, _ = two("inspect", "ada/two:Q8_0", "--json")
    hub = json.loads(out)["hub"]
    assert status == 0
    assert (hub["repository"], hub["gated"], hub["downloads"], hub["fetched"]) == (
        "ada/two",
        False,
        1234,
        False,
    )
    assert len(hub["commit"]) == 40
    assert hub["weights"] == ["m-Q8_0.gguf"]
    assert [variant["model"] for variant in hub["variants"]] == ["ada/two:Q4_K_M", "ada/two:Q8_0"]
    assert hub["notes"] == []


def test_a_plan_says_which_of_several_was_taken(two: Shell) -> None:
    status, out, _ = two("plan", "ada/two")
    assert status == 0
    assert "! Of 2 GGUF files Q4_K_M was taken" in " ".join(out.split())


def test_without_a_network_what_was_fetched_is_used_and_said(two: Shell) -> None:
    assert two("models", "pull", "ada/two:Q8_0")[0] == 0
    status, out, _ = two("inspect", "ada/two:Q8_0", HF_ENDPOINT="http://127.0.0.1:9")
    assert status == 0
    assert "(fetched)" in out
    assert "cannot be reached. This is what was fetched earlier, of commit" in " ".join(out.split())


def test_an_encoder_is_described_and_neither_planned_nor_run(shell: Shell) -> None:
    folder = shell.home / "encoder"
    config = {"model_type": "bert", "architectures": ["BertModel"], "hidden_size": 8, "num_hidden_layers": 1}
    write_tensors(folder, config, {"embeddings.word_embeddings.weight": ("F32", (10, 8))})
    shell.hub.add("ada/encoder", folder)
    assert "not a generator of text" in shell("inspect", "ada/encoder")[1]
    for command in (["plan", "ada/encoder"], ["run", "ada/encoder", "Hi"]):
        status, out, err = shell(*command)
        assert (status, out) == (1, "")
        assert "an encoder is not a generator" in err
