"""What the cache holds: list it, fill it, check it, empty it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoestring.errors import CorruptDownloadError, ModelError, ModelNotFoundError
from shoestring.models.progress import FetchProgress, Progress
from shoestring.models.reference import Reference, Resolved, is_hub_name, resolve, starter_named
from shoestring.models.starters import MANIFEST, STARTERS, Starter, folder_of, installed

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class CachedModel:
    """A model that is on this machine, or a starter that could be.

    Attributes:
        id: what users call it.
        description: what it is.
        present: whether it is on this machine.
        files: absolute paths; empty where it is not present.
        size_bytes: on the disk, or what it will take there.
        download_bytes: what fetching it transfers.
        fetched: when it came, ISO 8601 in UTC; None where it is not present.
        source, license: where it comes from, and under which licence (its text: `license_url`); None: what is here
            of a model of the hub does not say.
        commit: of a model of the hub, which an offline load takes; else None.
        last_used: when a file of a model of the hub was last read, as far as the file system tells, as `fetched`.
    """

    id: str
    description: str
    present: bool
    files: tuple[Path, ...]
    size_bytes: int
    download_bytes: int
    fetched: str | None
    source: str
    license: str | None
    license_url: str | None
    commit: str | None = None
    last_used: str | None = None


def list_models() -> tuple[CachedModel, ...]:
    """Every starter, present or not, and the models of the hub that are here. Touches no network.

    Raises:
        AccessError: the cache of the hub's files may not be read.
    """
    from shoestring.models.hub import cached

    return (*list_starters(), *cached.list_models())


def list_starters(starters: Mapping[str, Starter] = STARTERS) -> tuple[CachedModel, ...]:
    """Every starter, present or not, in the order of their table. Touches no network."""
    return tuple(_describe(starter) for starter in starters.values())


def pull(
    reference: Reference,
    progress: Progress | None = None,
    *,
    code: bool = False,
    starters: Mapping[str, Starter] = STARTERS,
) -> Resolved:
    """Make sure that a model is here and whole.

    What is missing is fetched, what is here is hashed again, what is damaged is fetched anew.

    Args:
        progress: told of bytes.
        code: fetch a hub model's own Python modules, too: with the user's consent only.

    Raises:
        As `reference.resolve`.
    """
    starter = starter_named(reference, starters) if isinstance(reference, str) else None
    if starter and installed(starter):
        try:
            verify(starter.name, progress, starters=starters)
        except CorruptDownloadError:
            remove(starter.name, starters=starters)
    resolved = resolve(reference, progress=progress, starters=starters)
    if resolved.repository is None:
        return resolved
    from shoestring.models.hub.materialise import pulled

    return pulled(resolved, progress, code=code)


def verify(
    name: str, progress: Progress | None = None, *, starters: Mapping[str, Starter] = STARTERS
) -> None:
    """Hash a fetched starter again.

    Raises:
        CorruptDownloadError: it has changed since it was fetched.
        ModelNotFoundError: it is unknown or not here.
    """
    import hashlib

    starter = _starter(name, starters)
    path = installed(starter)
    if path is None:
        raise _not_here(starter)
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
            done += len(chunk)
            if progress:
                progress(FetchProgress(f"Checking {name}", done, starter.size_bytes))
    if digest.hexdigest() != starter.sha256:
        raise CorruptDownloadError(
            f"{path} has changed since it was fetched: its sha256 is not the pinned one.",
            "Remove it and fetch it again.",
        )


def remove(name: str, *, starters: Mapping[str, Starter] = STARTERS) -> int:
    """Remove a starter, or all of a model of the hub (`org/name`), what interrupted fetches left included.

    A process that is using the model keeps it until it ends (on Windows the removal is refused).

    Returns:
        Bytes freed.

    Raises:
        ModelNotFoundError: it is unknown, or nothing of it is here.
        ModelError: another process is fetching it, or the system refuses to remove it.
        AccessError: the cache of the hub's files may not be read.
    """
    if is_hub_name(name):
        from shoestring.models.hub import cached

        return cached.remove(name)
    from shoestring.models.fetch import discard_leftovers, locked

    def busy(_: FetchProgress) -> None:
        raise ModelError(f"Another process is fetching {name}.", "Remove it when that is done.")

    starter = _starter(name, starters)
    home = folder_of(starter).parent
    if not home.is_dir():
        raise _not_here(starter)
    try:
        with locked(starter, busy):
            _retire_versions(home)
            freed = discard_leftovers(home)
            home.rmdir()
    except OSError as error:
        raise ModelError(
            f"{name} cannot be removed from {home}: {error.strerror}.", "Is a program still using it?"
        ) from error
    if not freed:
        raise _not_here(starter)
    return freed


def _retire_versions(home: Path) -> None:
    """Make leftovers of all versions of a starter, one rename each: a kill leaves no half a model in sight."""
    import tempfile

    from shoestring.models.fetch import STAGING

    for folder in [path for path in home.iterdir() if not path.name.startswith(STAGING)]:
        folder.replace(Path(tempfile.mkdtemp(prefix=STAGING, dir=home)) / folder.name)


def _describe(starter: Starter) -> CachedModel:
    path = installed(starter)
    return CachedModel(
        id=starter.name,
        description=starter.description,
        present=path is not None,
        files=(path,) if path else (),
        size_bytes=starter.size_bytes,
        download_bytes=starter.download_bytes,
        fetched=_fetched(path.parent / MANIFEST) if path else None,
        source=starter.source,
        license=starter.license,
        license_url=starter.license_url,
    )


def _fetched(manifest: Path) -> str | None:
    """When a model came, as its manifest tells; None where the manifest cannot be read."""
    try:
        found: Any = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    when = found.get("fetched") if isinstance(found, dict) else None
    return when if isinstance(when, str) else None


def _starter(name: str, starters: Mapping[str, Starter]) -> Starter:
    if starter := starter_named(name, starters):
        return starter
    raise ModelNotFoundError(
        f"{name!r} is not a model of the cache.",
        f"The cache keeps starters ({', '.join(starters)}) and models of the hub (org/name).",
    )


def _not_here(starter: Starter) -> ModelNotFoundError:
    return ModelNotFoundError(
        f"{starter.name} is not on this machine.", "There is nothing of it in the cache."
    )
