"""The models of the hub that lie in the Hugging Face cache of this machine: which there are, and removing one.

The cache is shared with every other tool: what is listed need not have been fetched by us, and what is removed is gone for
all of them. huggingface_hub scans it and removes from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from shoestring.errors import AccessError, ModelError, ModelNotFoundError
from shoestring.models.cache import CachedModel
from shoestring.models.hub.quiet import quiet
from shoestring.models.hub.snapshots import cached, home

if TYPE_CHECKING:
    from huggingface_hub import CachedRepoInfo, HFCacheInfo

    from shoestring.models.hub.base import Repository

_ID = re.compile(r"[\w-][\w.-]{0,95}/[\w-][\w.-]{0,95}", re.ASCII)


def list_models() -> tuple[CachedModel, ...]:
    """The models whose weights are here, whole, and of a kind that this version loads; by name. Asks no network.

    Raises:
        AccessError: the cache may not be read.
    """
    found = (_described(repo) for repo in _scan().repos if repo.repo_type == "model")
    return tuple(sorted((model for model in found if model is not None), key=lambda model: model.id))


def remove(repo_id: str) -> int:
    """Remove everything of a repository from the cache: every revision, and what interrupted fetches left.

    Returns:
        Bytes freed.

    Raises:
        ModelNotFoundError: nothing of it is here, or this names no repository.
        ModelError: a process is fetching it, or the system refuses to remove it.
        AccessError: the cache may not be read.
    """
    if not _ID.fullmatch(repo_id):
        raise ModelNotFoundError(
            f"{repo_id!r} names no repository: what is fetched of one is removed as a whole.",
            "Name it as org/name.",
        )
    folder = home(repo_id)
    if not folder.is_dir():
        raise ModelNotFoundError(f"{repo_id} is not on this machine.", "There is nothing of it in the cache.")
    with _nobody_fetches(repo_id):
        freed = sum(path.stat().st_size for path in folder.glob("blobs/*.incomplete"))
        freed += _remove(_scan(), repo_id, folder)
    return freed


def _remove(cache: HFCacheInfo, repo_id: str, folder: Path) -> int:
    """Remove one repository; bytes freed. The scan is narrowed to it: copies of a repository share its commits' names."""
    import shutil

    repos = frozenset(repo for repo in cache.repos if repo.repo_path == folder)
    strategy = replace(cache, repos=repos).delete_revisions(
        *(revision.commit_hash for repo in repos for revision in repo.revisions)
    )
    try:
        with quiet():
            strategy.execute()
        if folder.exists():  # nothing that the library takes for a repository: a first fetch was killed
            shutil.rmtree(folder)
    except OSError as error:
        raise ModelError(
            f"{repo_id} cannot be removed from {folder}: {error.strerror}.", "Is a program still using it?"
        ) from error
    return strategy.expected_freed_size


def _scan() -> HFCacheInfo:
    from huggingface_hub import HFCacheInfo, constants, scan_cache_dir

    cache = Path(constants.HF_HUB_CACHE)
    if not cache.is_dir():
        return HFCacheInfo(0, frozenset(), frozenset(), [], cache)
    try:
        with quiet():
            return scan_cache_dir(cache)
    except OSError as error:
        raise AccessError(
            f"The cache of the hub's files in {cache} cannot be read: {error.strerror}.",
            "Make that folder readable, or set HF_HOME to one that is.",
        ) from error


def _described(repo: CachedRepoInfo) -> CachedModel | None:
    """A repository of the cache as a model; None where this version loads nothing of it."""
    found = cached(repo.repo_id)
    weights = None if found is None else _weights(found)
    if found is None or found.snapshot is None or weights is None:
        return None
    names, description = weights
    return CachedModel(
        id=repo.repo_id,
        description=description,
        present=True,
        files=tuple(found.snapshot / name for name in names),
        size_bytes=repo.size_on_disk,
        download_bytes=repo.size_on_disk,
        fetched=_moment(repo.last_modified),
        source="the Hugging Face hub",
        license=None,
        license_url=None,
        commit=found.commit,
        last_used=_moment(repo.last_accessed),
    )


def _weights(found: Repository) -> tuple[tuple[str, ...], str] | None:
    """The files that hold weights, and what they are; None: there are none that can be loaded."""
    from shoestring.models.hub.choice import choose
    from shoestring.models.hub.variants import variants

    try:
        if choose(found).format == "safetensors":
            return _checkpoint(found)
    except ModelError:
        return None
    whole = [variant for variant in variants(found.files) if not variant.missing]
    types = ", ".join(variant.type or variant.names[0] for variant in whole)
    return tuple(name for variant in whole for name in variant.names), f"GGUF {types}"


def _checkpoint(found: Repository) -> tuple[tuple[str, ...], str] | None:
    from shoestring.models.generators import why_no_generator
    from shoestring.models.hub.source import HubSource
    from shoestring.models.safetensors.config import MAX_CONFIG_BYTES, Section, parse_object
    from shoestring.models.safetensors.index import checkpoint_files
    from shoestring.models.source import read_whole

    with HubSource(found) as source:
        weights, _ = checkpoint_files(source)
        if any(source.path(name) is None for name in weights):
            return None
        config = Section(
            parse_object(read_whole(source, "config.json", at_most=MAX_CONFIG_BYTES), "config.json")
        )
    architecture, classes = config.value("model_type"), config.value("architectures")
    class_name = classes[0] if isinstance(classes, list) and classes else None
    class_name = class_name[:100] if isinstance(class_name, str) else None
    if not isinstance(architecture, str) or why_no_generator(architecture, class_name):
        return None
    return weights, f"checkpoint, {class_name or architecture[:100]}"


@contextmanager
def _nobody_fetches(repo_id: str) -> Iterator[None]:
    """Hold the locks of a repository's files, those that were ever fetched.

    Raises:
        ModelError: another process holds one.
    """
    import filelock

    locks = home(repo_id).parent / ".locks" / home(repo_id).name
    with ExitStack() as held:
        for path in locks.glob("*.lock"):
            try:
                held.enter_context(filelock.FileLock(path, timeout=0))
            except filelock.Timeout as error:
                raise ModelError(
                    f"Another process is fetching {repo_id}.", "Remove it when that is done."
                ) from error
        yield


def _moment(seconds: float) -> str:
    """ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(int(seconds), timezone.utc).isoformat()
