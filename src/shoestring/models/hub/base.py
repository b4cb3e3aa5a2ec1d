"""What passes between the hub's modules: a repository at one commit, its files by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RemoteFile:
    """One file of a repository.

    Attributes:
        name: its path inside the repository, with `/`.
        size_bytes: its length.
        sha256: of its content, where the hub keeps one (large files); else None.
    """

    name: str
    size_bytes: int
    sha256: str | None = None


@dataclass(frozen=True)
class Repository:
    """A model's repository at one commit; what is read and fetched later is of that commit alone.

    Attributes:
        id: `org/name`, as the hub spells it.
        commit: the full commit hash that the wanted revision names now.
        revision: the branch, tag or commit that was wanted.
        files: every file, sorted by name.
        gated: whether access has to be granted by its owner; `private`: whether it is hidden from others.
        license: as its card says, or None.
        downloads: in the last 30 days; None offline.
        last_modified: ISO 8601, in UTC; None offline.
        local: whether this was read from the cache of this machine, without asking the hub.
        snapshot: the folder of the cache that holds the files of this commit that were fetched; None: none were.
        notes: what a user has to know of how it was found, one sentence each.
    """

    id: str
    commit: str
    files: tuple[RemoteFile, ...]
    gated: bool = False
    private: bool = False
    license: str | None = None
    downloads: int | None = None
    last_modified: str | None = None
    local: bool = False
    snapshot: Path | None = None
    revision: str = "main"
    notes: tuple[str, ...] = ()

    def file(self, name: str) -> RemoteFile | None:
        """The file of this name, or None."""
        return next((file for file in self.files if file.name == name), None)


@dataclass(frozen=True)
class Origin:
    """Where a model of the hub comes from, and which of the repository's files it is.

    Attributes:
        repository: at the commit that was read.
        weights: names of its weights in the repository: the GGUF file or all parts of one, or the safetensors files.
        notes: what a user has to know of the choice, one sentence each.
    """

    repository: Repository
    weights: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a user has to know of how the repository was found and of the choice."""
        return self.repository.notes + self.notes
