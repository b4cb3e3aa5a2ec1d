"""What of an engine's libraries is installed: looked up, never imported."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

from shoestring.errors import EngineError

_NEEDED: dict[str, tuple[str, ...]] = {"transformers": ("torch", "transformers", "accelerate")}
_QUANTISED = ("int8", "nf4", "nf4-dq", "fp4", "fp4-dq")
_EXTRA = {"transformers": "pip install 'shoestring[transformers]'"}
_CUDA = re.compile(r"^cuda\b[^=]*=\s*(?P<version>.*)$", re.MULTILINE)


def require(engine: str, precision: str | None = None) -> None:
    """Refuse an engine whose libraries are not here.

    Args:
        precision: of the weights, where it is known already; some need a library more.

    Raises:
        EngineError: some are missing; the hint has the line that installs them.
    """
    needed = _NEEDED.get(engine, ())
    if needed and precision in _QUANTISED:
        needed += ("bitsandbytes",)
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        names = " and ".join(missing) if len(missing) < 3 else ", ".join(missing[:-1]) + f" and {missing[-1]}"
        raise EngineError(
            f"This model needs {engine}, and {names} {'is' if len(missing) == 1 else 'are'} not installed.",
            f"Install it: {_EXTRA[engine]}",
        )


def torch_has_cuda() -> bool:
    """Whether the torch that is installed was built for GPUs: what `torch.version.cuda` would say."""
    source = _source("torch", "version.py")
    found = _CUDA.search(source)
    return found is not None and found["version"].strip() != "None"


def knows_class(class_name: str) -> bool:
    """Whether the transformers that is installed has a model class of this name to generate with."""
    return f'"{class_name}"' in _source("transformers", "models/auto/modeling_auto.py")


def _source(package: str, name: str) -> str:
    """The text of a package's module; empty where there is none."""
    spec = find_spec(package)
    places = spec.submodule_search_locations if spec else None
    file = next((path for place in places or () if (path := Path(place) / name).is_file()), None)
    return file.read_text(encoding="utf-8") if file else ""
