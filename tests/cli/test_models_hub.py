"""`models list` and `models rm`, with a model of the hub in the cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command import Command
from hub_server import Hub

CONFIG = b'{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}'


@pytest.fixture
def environment(loopback_hub: Hub, tmp_path: Path, home: Path) -> dict[str, str]:
    """A cache into which huggingface_hub itself has brought a model."""
    loopback_hub.add("ada/smol", {"config.json": CONFIG, "model.safetensors": b"1" * 1000})
    environment = {
        **loopback_hub.environment(tmp_path / "hf"),
        "SHOESTRING_HOME": str(home),
        "COLUMNS": "160",
    }
    script = "from huggingface_hub import snapshot_download; snapshot_download('ada/smol')"
    subprocess.run(
        [sys.executable, "-c", script], env=os.environ | environment, check=True, capture_output=True
    )
    return environment


def test_a_model_that_another_tool_fetched_is_listed(
    shoestring: Command, environment: dict[str, str]
) -> None:
    model = json.loads(shoestring("models", "list", "--json", **environment).stdout)[-1]
    assert (model["id"], model["present"], model["size_bytes"]) == ("ada/smol", True, 1000 + len(CONFIG))
    shown = shoestring("models", "list", **environment).stdout
    assert f"commit {model['commit'][:7]}, last used {model['last_used'][:10]}" in " ".join(shown.split())


def test_it_is_removed_by_its_name(shoestring: Command, environment: dict[str, str], tmp_path: Path) -> None:
    removed = shoestring("models", "rm", "ada/smol", "--json", **environment)
    assert json.loads(removed.stdout) == {"model": "ada/smol", "freed_bytes": 1000 + len(CONFIG)}
    assert not list((tmp_path / "hf" / "hub").glob("models--*"))
    again = shoestring("models", "rm", "ada/smol", **environment)
    assert (again.returncode, "ada/smol is not on this machine" in again.stderr) == (1, True)
