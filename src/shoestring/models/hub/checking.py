"""Whether a file of the cache is the one that the hub describes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from shoestring.models.hub.base import RemoteFile, Repository
from shoestring.models.progress import FetchProgress, Progress
from shoestring.units import MiB


def is_sound(path: Path, file: RemoteFile, tell: Callable[[int], None] | None = None) -> bool:
    """Whether a file has the length that the hub states, and the sha256 where it states one.

    Args:
        tell: called with the number of bytes of each piece that was hashed.
    """
    if path.stat().st_size != file.size_bytes:
        return False
    if file.sha256 is None:
        return True
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(4 * MiB):
            digest.update(block)
            if tell is not None:
                tell(len(block))
    return digest.hexdigest() == file.sha256


def discard(path: Path) -> None:
    """Remove a file from the cache: its content, and the name that it has in its snapshot."""
    for part in (path.resolve(), path):
        part.unlink(missing_ok=True)


def discard_damaged(repository: Repository, names: Sequence[str], progress: Progress | None = None) -> None:
    """Hash those of these files that are here again, and remove what is not as the hub describes it.

    Args:
        progress: told of bytes as they are hashed.
    """
    snapshot = repository.snapshot
    if snapshot is None:
        return
    files = [file for file in repository.files if file.name in names and file.sha256]
    here = [file for file in files if (snapshot / file.name).is_file()]
    total, done = sum(file.size_bytes for file in here), 0

    def tell(length: int) -> None:
        nonlocal done
        done += length
        if progress is not None:
            progress(FetchProgress(f"Checking {repository.id}", done, total))

    for file in here:
        if not is_sound(snapshot / file.name, file, tell):
            discard(snapshot / file.name)
