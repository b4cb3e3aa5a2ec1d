"""Which engine a command line will need, guessed before it is parsed: a worker may start now, and a wrong one is ended."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

_KNOWN = ("llama_cpp", "transformers")
_HUB = re.compile(r"(?P<repo>[\w-][\w.-]*/[\w-][\w.-]*)(@[\w.-]+)?")


def likely_engine(arguments: Sequence[str]) -> str:
    """The engine asked for; else transformers where some word is a folder with a config, or a hub model that is here."""
    for word, following in zip(arguments, [*arguments[1:], ""], strict=True):
        named = following if word == "--engine" else word.removeprefix("--engine=")
        if named in _KNOWN and named != word:
            return named
    words = [word for word in arguments[1:] if not word.startswith("-")]
    return "transformers" if any(_is_checkpoint(word) or _is_cached(word) for word in words) else "llama_cpp"


def _is_checkpoint(word: str) -> bool:
    try:
        return Path(word, "config.json").is_file()
    except (OSError, ValueError):  # a prompt may be longer than any path, or no path at all
        return False


def _is_cached(word: str) -> bool:
    """Whether a checkpoint of this hub model was fetched: where huggingface_hub keeps it, which is not imported here."""
    named = _HUB.fullmatch(word)
    if named is None:
        return False
    snapshots = _hub_cache() / f"models--{named['repo'].replace('/', '--')}" / "snapshots"
    return any(snapshots.glob("*/config.json"))


def _hub_cache() -> Path:
    """As in huggingface_hub's `constants.py`."""
    known = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    home = os.environ.get("HF_HOME") or f"{os.environ.get('XDG_CACHE_HOME') or '~/.cache'}/huggingface"
    return Path(known or f"{home}/hub").expanduser()
