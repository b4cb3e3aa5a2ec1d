"""`HubSource`: a repository as a checkpoint's `Source`. What is in the cache is read there, the rest by range."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from shoestring.errors import ModelNotFoundError
from shoestring.models.hub.base import Repository
from shoestring.models.hub.ranges import RemoteRange
from shoestring.models.ranges import FileRange
from shoestring.models.source import read_parts

AT_ONCE = 8
"""Requests at the same time. One connection's answers are a tenth of a second apart; the hub limits what one user asks."""


class HubSource:
    """The files at the top of a repository. Close it, or use it in a `with` statement.

    The model card is left out: the hub has told its licence already.
    """

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self._files = {file.name: file for file in repository.files}
        self._names = tuple(name for name in self._files if "/" not in name and name != "README.md")
        self._heads: dict[str, Future[bytes]] = {}
        self._pool: ThreadPoolExecutor | None = None

    def names(self) -> tuple[str, ...]:
        return self._names

    def path(self, name: str) -> Path | None:
        """Where the cache has it; None where it does not."""
        snapshot = self.repository.snapshot
        if snapshot is None or name not in self._files:
            return None
        path = snapshot / name
        same = path.is_file() and path.stat().st_size == self._files[name].size_bytes
        return path if same else None

    def open(self, name: str) -> FileRange | RemoteRange:
        """A file, also one in a folder below.

        Raises:
            ModelNotFoundError: there is no such file, or (without a network) it was not fetched.
        """
        if name not in self._files:
            raise ModelNotFoundError(
                f"There is no file {name} in {self.repository.id}.", "Look at the model's page."
            )
        if (path := self.path(name)) is not None:
            return FileRange(path)
        return self._remote(name)

    def ahead(self, lengths: Mapping[str, int]) -> None:
        for name, length in lengths.items():
            if name in self._files and name not in self._heads and self.path(name) is None:
                end = min(length, self._files[name].size_bytes)
                reader = RemoteRange(self.repository, self._files[name])
                if end:
                    self._heads[name] = self._workers().submit(reader.fetch, 0, end)

    def parts(self, name: str, lengths: Mapping[int, int]) -> dict[int, bytes]:
        with self.open(name) as file:
            if isinstance(file, FileRange):
                return read_parts(file, lengths)
            pending = {start: self._workers().submit(file.read, start, n) for start, n in lengths.items()}
            return {start: part.result() for start, part in pending.items()}

    def _remote(self, name: str) -> RemoteRange:
        return RemoteRange(self.repository, self._files[name], self._heads.get(name))

    def _workers(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="hub")
        return self._pool

    def close(self) -> None:
        """Ask for nothing more, and wait for the answers that are on their way. Idempotent."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def __enter__(self) -> HubSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
