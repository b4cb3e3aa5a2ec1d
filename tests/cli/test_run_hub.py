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
    options = ["--ram", "620MB", "--precision", "bf16", "--context", "256"]
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
