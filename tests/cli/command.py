"""The real command, as tests start it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

Command = Callable[..., subprocess.CompletedProcess[str]]
COMMAND = [sys.executable, "-W", "error", "-m", "shoestring"]
