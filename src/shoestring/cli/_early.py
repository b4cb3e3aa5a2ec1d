"""Which engine a command line will need, guessed before it is parsed: a worker may start now, and a wrong one is ended."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

_KNOWN = ("llama_cpp", "transformers")
_HUB = re.compile(r"(?P<repo>[\w-][\w.-]*/[\w-][\w.-]*)(@[\w.-]+)?")


def likely_engine(arguments: Sequence[str]) -> str:
    """The engine asked for; else transformers where some word is a folder with a config, or a hub model that is here."""
    for word, following in zip(arguments, [*arguments[1:], ""], strict=True):
        named = following if word == "--engine" else word.removeprefix("--engine=")
        if named in _KNOWN and named != word:
            return named
    words = [word for word in arguments[1:] if not word.startswith("-") and len(word) < 1000]
    is_checkpoint = any(
        os.path.isfile(os.path.join(word, "config.json")) or _is_cached(word) for word in words
    )  # noqa: PTH113, PTH118
    return "transformers" if is_checkpoint else "llama_cpp"


def _is_cached(word: str) -> bool:
    """Whether a checkpoint of this hub model was fetched: where huggingface_hub keeps it, which is not imported here."""
    named = _HUB.fullmatch(word)
    if named is None:
        return False
    import glob

    folder = f"models--{named['repo'].replace('/', '--')}"
    return bool(glob.glob(os.path.join(glob.escape(_hub_cache()), folder, "snapshots", "*", "config.json")))  # noqa: PTH118, PTH207


def _hub_cache() -> str:
    """As in huggingface_hub's `constants.py`."""
    environment = os.environ
    home = environment.get("HF_HOME") or os.path.join(  # noqa: PTH118
        environment.get("XDG_CACHE_HOME") or "~/.cache", "huggingface"
    )
    cache = (
        environment.get("HF_HUB_CACHE")
        or environment.get("HUGGINGFACE_HUB_CACHE")
        or os.path.join(home, "hub")
    )  # noqa: PTH118
    return os.path.expanduser(cache)  # noqa: PTH111
