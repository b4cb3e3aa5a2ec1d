"""Renders a chat template in a process of its own, where the operating system bounds its time and memory.

`python -m shoestring.chat.template_process`: one JSON job on stdin, one JSON result on stdout. It costs a
start of Python (about 0.1 s), so only templates that cannot be counted in the parent come here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2.sandbox import ImmutableSandboxedEnvironment

from shoestring.chat.sandbox import (
    TEMPLATE_FAULTS,
    RefusalError,
    UntameError,
    Variables,
    environment,
    faulty,
    refused,
)
from shoestring.errors import TemplateError
from shoestring.units import MiB

_SECONDS = 5
_MEMORY_BYTES = 512 * MiB  # address space
_OUTPUT_BYTES = 64 * MiB

# What Python needs to start and to find installed packages, and the time zone for `strftime_now`.
_KEPT = frozenset(
    """PATH HOME USERPROFILE APPDATA SYSTEMROOT TMPDIR TMP TEMP TZ VIRTUAL_ENV PYTHONHOME
    LD_LIBRARY_PATH DYLD_LIBRARY_PATH""".split()  # noqa: SIM905
)


def render_apart(template: str, variables: Sequence[Variables]) -> list[str]:
    """Render once for each set of variables.

    Raises:
        TemplateError: the template fails, refuses the conversation, or needs more time or memory than it may.
    """
    job = json.dumps({"template": template, "variables": list(variables)}).encode()
    command = [sys.executable, "-m", "shoestring.chat.template_process"]
    try:
        # `-m` puts the working directory on the import path: it must be one where nothing of anyone's lies.
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                command,
                input=job,
                capture_output=True,
                timeout=_SECONDS,
                check=False,
                cwd=folder,
                env=_environment(),
            )
    except subprocess.TimeoutExpired:
        raise _too_costly() from None
    if done.returncode != 0:
        raise _too_costly()
    result: dict[str, Any] = json.loads(done.stdout)
    if "refused" in result:
        raise refused(result["refused"])
    if "failed" in result:
        raise faulty(ValueError(result["failed"]))
    return list(result["texts"])


def _environment() -> dict[str, str]:
    """The little of this process's environment that the other needs: no secrets, no relative import paths."""
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    paths = [path for path in inherited if Path(path).is_absolute()] + [str(Path(__file__).parents[2])]
    kept = {key: value for key, value in os.environ.items() if key in _KEPT}
    return kept | {"PYTHONPATH": os.pathsep.join(paths)}


def _too_costly() -> TemplateError:
    return TemplateError(
        f"The model's chat template wanted more than {_SECONDS} s or {_MEMORY_BYTES // MiB} MiB.",
        "A template like this is broken or hostile; the model can still complete plain text.",
    )


def _limit_this_process() -> None:
    if sys.platform == "win32":
        return  # the parent's time limit still holds
    import resource

    for limit, value in ((resource.RLIMIT_AS, _MEMORY_BYTES), (resource.RLIMIT_CPU, _SECONDS)):
        resource.setrlimit(limit, (value, value))


def _main() -> None:
    _limit_this_process()
    job = json.loads(sys.stdin.buffer.read())
    result: dict[str, Any]
    try:
        compiled = environment(ImmutableSandboxedEnvironment).from_string(job["template"])
        texts = [compiled.render(**each) for each in job["variables"]]
        result = {"texts": texts}
        if sum(map(len, texts)) > _OUTPUT_BYTES:
            sys.exit(1)
    except RefusalError as refusal:
        result = {"refused": str(refusal)}
    except MemoryError:
        sys.exit(1)
    except (*TEMPLATE_FAULTS, UntameError) as fault:
        result = {"failed": str(fault) or type(fault).__name__}
    sys.stdout.buffer.write(json.dumps(result).encode())


if __name__ == "__main__":
    _main()
