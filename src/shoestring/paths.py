"""Where Shoestring keeps things. Overridable by `SHOESTRING_HOME`, else the platform's own folders.

The platform's rules are the few lines below rather than the `platformdirs` package: this is on
the way to every cached model, and importing that package costs more than all the rest of it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Literal

_Kind = Literal["cache", "state", "data"]
_XDG = {
    "cache": ("XDG_CACHE_HOME", ".cache"),
    "state": ("XDG_STATE_HOME", ".local/state"),
    "data": ("XDG_DATA_HOME", ".local/share"),
}


def _platform_root(kind: _Kind) -> Path:
    """XDG base directories on Linux, `~/Library` on macOS, `%LOCALAPPDATA%` on Windows."""
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
        return Path(local) / "shoestring" / kind
    if sys.platform == "darwin":
        library = Path.home() / "Library"
        return library / ("Caches" if kind == "cache" else "Application Support") / "shoestring"
    variable, default = _XDG[kind]
    configured = os.environ.get(variable, "")
    # The XDG specification: a relative path there is invalid and must be ignored.
    root = Path(configured) if Path(configured).is_absolute() else Path.home() / default
    return root / "shoestring"


def _root(kind: _Kind) -> Path:
    home = os.environ.get("SHOESTRING_HOME")
    return Path(home).expanduser().absolute() / kind if home else _platform_root(kind)


def models_dir() -> Path:
    """Where fetched models lie (not created here)."""
    return _root("cache") / "models"


def state_dir() -> Path:
    """Where the ledger and the logs lie (not created here)."""
    return _root("state")


def data_dir() -> Path:
    """Where what the user made lies, such as tasks (not created here)."""
    return _root("data")
