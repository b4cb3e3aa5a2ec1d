"""What is installed is looked up without importing it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from shoestring.engines import installed
from shoestring.errors import EngineError


def test_what_is_here_is_no_problem() -> None:
    installed.require("transformers", "nf4")
    installed.require("llama_cpp")


def test_four_bits_need_a_library_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "find_spec", lambda name: None if name == "bitsandbytes" else object())
    installed.require("transformers", "bf16")
    with pytest.raises(EngineError, match="bitsandbytes is not installed") as caught:
        installed.require("transformers", "nf4")
    assert caught.value.hint == "Install it: pip install 'shoestring[transformers]'"


def test_classes_of_the_library_are_known_and_others_not() -> None:
    assert installed.knows_class("LlamaForCausalLM")
    assert not installed.knows_class("SomebodysForCausalLM")


def test_whether_torch_has_cuda_is_what_torch_says() -> None:
    import torch

    assert installed.torch_has_cuda() == (torch.version.cuda is not None)


@pytest.mark.parametrize(
    ("line", "has"),
    [
        ("cuda: Optional[str] = None", False),
        ("cuda: Optional[str] = '12.8'", True),
        ("cuda = '12.8'", True),
        ("", False),
    ],
)
def test_the_line_is_read_as_torch_writes_it(line: str, has: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "_source", lambda package, name: f"__version__ = '2.13.0'\n{line}\n")
    assert installed.torch_has_cuda() is has


def test_looking_imports_nothing() -> None:
    program = (
        "import sys; from shoestring.engines import installed\n"
        "installed.require('transformers', 'nf4'); installed.torch_has_cuda(); installed.knows_class('X')\n"
        "print([name for name in ('torch', 'transformers', 'accelerate') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
