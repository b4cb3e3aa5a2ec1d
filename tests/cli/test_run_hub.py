"""`shoestring run org/name` through a hub on loopback: what does not fit is refused before a byte of weights is fetched."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import Command
from hub_server import Hub

pytestmark = pytest.mark.model
MB = 10**6


@pytest.fixture
def hub(loopback_hub: Hub, smollm2_checkpoint: Path) -> Hub:
    """The hub with a real checkpoint."""
    loopback_hub.add("ada/smol", smollm2_checkpoint)
    return loopback_hub


def test_what_does_not_fit_is_refused_before_its_weights_are_fetched(
    shoestring: Command, hub: Hub, tmp_path: Path
) -> None:
    options = ["--ram", "100MB", "--context", "256"]
    result = shoestring("run", "ada/smol", "Hi", *options, **hub.environment(tmp_path / "hf"))
    assert result.returncode == 3
    assert "ada/smol with a context of 256 tokens does not fit" in result.stderr
    assert 0 < hub.sent() < 2 * MB


def test_what_fits_less_well_is_named_before_its_weights_are_fetched(
    shoestring: Command, hub: Hub, tmp_path: Path
) -> None:
    options = ["--ram", "580MB", "--precision", "bf16", "--context", "256"]
    result = shoestring("run", "ada/smol", "Hi", *options, **hub.environment(tmp_path / "hf"))
    assert result.returncode == 3
    assert "--precision nf4-dq" in result.stderr
    assert hub.sent() < 2 * MB


@pytest.mark.parametrize("command", [["run", "ada/smol", "Hi"], ["plan", "ada/smol"]])
def test_offline_nobody_is_asked(shoestring: Command, hub: Hub, tmp_path: Path, command: list[str]) -> None:
    result = shoestring(*command, "--offline", **hub.environment(tmp_path / "hf"))
    assert result.returncode == 1
    assert result.stderr.startswith("error: ada/smol")
    assert hub.asked == []


def test_a_checkpoint_by_its_name_is_fetched_once_and_answers_offline_too(
    shoestring: Command, hub: Hub, tmp_path: Path
) -> None:
    asked = ["run", "ada/smol", "What is the capital of France?", "--temperature", "0", "--context", "256"]
    environment = hub.environment(tmp_path / "hf")
    first = shoestring(*asked, "--max-tokens", "12", **environment)
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("The capital of France is Paris")
    assert "Fetching ada/smol (27" in first.stderr
    hub.asked.clear()
    again = shoestring(*asked, "--max-tokens", "12", "--offline", **environment)
    assert (again.stdout, hub.asked) == (first.stdout, [])


def test_one_gguf_of_many_is_fetched_and_answers(
    shoestring: Command, loopback_hub: Hub, smollm2_files: tuple[Path, ...], tmp_path: Path
) -> None:
    files = {"smol.Q4_1.gguf": smollm2_files[0], "smol.Q8_0.gguf": smollm2_files[0], "notes.bin": b"x" * MB}
    loopback_hub.add("ada/smol-GGUF", files)
    result = shoestring(
        *("run", "ada/smol-GGUF:Q4_1", "Say hi", "--max-tokens", "3", "--context", "256"),
        **loopback_hub.environment(tmp_path / "hf"),
    )
    assert result.returncode == 0, result.stderr
    assert loopback_hub.sent("Q8_0.gguf") == loopback_hub.sent("notes.bin") == 0
