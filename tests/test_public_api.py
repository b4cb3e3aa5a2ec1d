"""The public names are pinned, and importing them costs next to nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

import shoestring

PUBLIC = [
    "Answer",
    "Message",
    "Model",
    "Sampling",
    "Stream",
    "__version__",
    "doctor",
    "errors",
    "inspect",
    "load",
    "login",
    "logout",
    "plan",
    "probe",
    "pull",
    "whoami",
]
HEAVY = ["torch", "xllamacpp", "numpy", "pydantic", "rich", "jinja2", "psutil", "transformers"]


def test_the_public_names_are_these() -> None:
    assert sorted(shoestring.__all__) == PUBLIC
    assert dir(shoestring) == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(shoestring, name) is not None


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        _ = shoestring.lod  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "statement", ["import shoestring", "import shoestring.cli; shoestring.cli.main(['--help'])"]
)
def test_nothing_heavy_is_imported(statement: str) -> None:
    check = (
        f"import sys\ntry:\n    {statement}\nexcept SystemExit:\n    pass\n"
        f"print(*[name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert result.stderr.strip() == ""
