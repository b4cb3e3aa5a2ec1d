"""Where Shoestring keeps things. Overridable by `SHOESTRING_HOME`, else the platform's own folders."""

from __future__ import annotations

import os
from pathlib import Path


def _root(kind: str) -> Path:
    home = os.environ.get("SHOESTRING_HOME")
    if home:
        return Path(home).expanduser() / kind
    import platformdirs

    found = {
        "cache": platformdirs.user_cache_path,
        "state": platformdirs.user_state_path,
    }[kind]
    return found("shoestring", appauthor=False)


def models_dir() -> Path:
    """Where fetched models lie (not created here)."""
    return _root("cache") / "models"


def state_dir() -> Path:
    """Where the ledger and the logs lie (not created here)."""
    return _root("state")
