"""Where a checkpoint's files lie: a folder here, or a repository elsewhere, behind one interface."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from shoestring.errors import AccessError, InvalidModelFileError, ModelNotFoundError
from shoestring.models.ranges import FileRange, RangeReader


class Source(Protocol):
    """A checkpoint's files by name."""

    def names(self) -> tuple[str, ...]:
        """The files at hand, sorted; none in folders below."""

    def open(self, name: str) -> AbstractContextManager[RangeReader]:
        """One of them, to be read in ranges.

        Raises:
            ModelNotFoundError: there is no such file.
        """

    def path(self, name: str) -> Path | None:
        """Where it lies on this machine; None: elsewhere."""

    def ahead(self, lengths: Mapping[str, int]) -> None:
        """Say which files will be opened next and how many of their first bytes read, so that a repository elsewhere
        can be asked for all of them at once. Files that are not there are passed over."""

    def parts(self, name: str, lengths: Mapping[int, int]) -> dict[int, bytes]:
        """Some parts of a file, asked for at once: bytes by where they start, for lengths by where they start.

        Raises:
            ModelNotFoundError: there is no such file.
        """


class FolderSource:
    """A folder on this machine.

    Raises:
        ModelNotFoundError: nothing lies there, or no folder.
        AccessError: it may not be listed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        try:
            self._names = tuple(sorted(path.name for path in self.folder.iterdir() if path.is_file()))
        except PermissionError as error:
            raise AccessError(
                f"{folder} may not be listed by this user.", "Change its permissions, or copy it."
            ) from error
        except OSError as error:
            raise ModelNotFoundError(f"There is no folder {folder}.", "Check the path.") from error

    def names(self) -> tuple[str, ...]:
        return self._names

    def open(self, name: str) -> FileRange:
        if name not in self._names:
            raise ModelNotFoundError(f"There is no file {name} in {self.folder}.", "Check the folder.")
        return FileRange(self.folder / name)

    def path(self, name: str) -> Path | None:
        return self.folder / name

    def ahead(self, lengths: Mapping[str, int]) -> None:
        """Nothing is gained: the files are here."""

    def parts(self, name: str, lengths: Mapping[int, int]) -> dict[int, bytes]:
        with self.open(name) as file:
            return read_parts(file, lengths)


def read_parts(file: RangeReader, lengths: Mapping[int, int]) -> dict[int, bytes]:
    """Some parts of a file, one after the other: bytes by where they start, for lengths by where they start."""
    return {start: file.read(start, length) for start, length in lengths.items()}


def read_whole(source: Source, name: str, *, at_most: int) -> bytes:
    """A small file's bytes.

    Args:
        at_most: bytes; a larger file is refused.

    Raises:
        InvalidModelFileError: it is larger, or ends sooner than it says.
        ModelNotFoundError: there is no such file.
    """
    with source.open(name) as file:
        size = file.size_bytes
        if size > at_most:
            raise InvalidModelFileError(
                f"{name} is {size:,} bytes long; none that is real exceeds {at_most:,}.",
                "Download it again from where the model is published.",
            )
        data = file.read(0, size)
    if len(data) != size:
        raise InvalidModelFileError(
            f"{name} ends after {len(data):,} of {size:,} bytes.", "Download it again."
        )
    return data
