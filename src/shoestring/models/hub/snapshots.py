"""Repositories that lie in the Hugging Face cache of this machine, read without a network.

The layout is huggingface_hub's (`models--org--name/refs/main` holds a commit, `snapshots/<commit>/` its files); it is
shared with every other tool on the machine.
"""

from __future__ import annotations

import re
from pathlib import Path

from shoestring.models.hub.base import RemoteFile, Repository

_COMMIT = re.compile(r"[0-9a-f]{40}")
_MAX_REF_BYTES = 200


def snapshot_folder(repo_id: str, commit: str) -> Path | None:
    """The folder with the files of a commit that were fetched; None: none were."""
    folder = home(repo_id) / "snapshots" / commit
    return folder if folder.is_dir() else None


def cached(repo_id: str, revision: str | None = None) -> Repository | None:
    """A repository as far as it was fetched; None where nothing of this revision was.

    Args:
        revision: a branch, a tag or a commit; None: the main branch, else what was fetched last.
    """
    folder = _revision_folder(home(repo_id), revision)
    if folder is None:
        return None
    files = tuple(
        RemoteFile(path.relative_to(folder).as_posix(), path.stat().st_size)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    )
    return Repository(
        id=repo_id,
        commit=folder.name,
        files=tuple(sorted(files, key=lambda file: file.name)),
        local=True,
        snapshot=folder,
        revision=revision or "main",
    )


def home(repo_id: str) -> Path:
    """Where the cache keeps everything of a repository (not created here)."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{repo_id.replace('/', '--')}"


def _revision_folder(home: Path, revision: str | None) -> Path | None:
    snapshots = home / "snapshots"
    commit = revision if revision and _COMMIT.fullmatch(revision) else _ref(home / "refs", revision or "main")
    if commit is not None and (snapshots / commit).is_dir():
        return snapshots / commit
    if revision is not None or not snapshots.is_dir():
        return None
    found = [path for path in snapshots.iterdir() if _COMMIT.fullmatch(path.name) and path.is_dir()]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def _ref(refs: Path, revision: str) -> str | None:
    path = refs / revision
    if ".." in path.parts or not path.is_file():
        return None
    with path.open(encoding="ascii", errors="replace") as file:
        text = file.read(_MAX_REF_BYTES).strip()
    return text if _COMMIT.fullmatch(text) else None
