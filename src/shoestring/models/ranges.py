"""Random access to bytes wherever they lie: the only thing a header reader needs of a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from shoestring.errors import InvalidModelFileError, ModelNotFoundError


class RangeReader(Protocol):
    """Reads any range of a file, local or remote."""

    @property
    def size_bytes(self) -> int:
        """Length of the whole file."""

    def read(self, offset: int, length: int) -> bytes:
        """The `length` bytes from `offset` on; fewer only where the file ends sooner."""


class FileRange:
    """A local file as a `RangeReader`. Close it, or use it in a `with` statement.

    Raises:
        ModelNotFoundError: nothing lies at `path`, or it may not be read.
        InvalidModelFileError: it is a folder or a device.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise ModelNotFoundError(f"There is no file at {path}.", "Check the path for a typing mistake.")
        if not path.is_file():
            what = "a folder" if path.is_dir() else "not a regular file"
            raise InvalidModelFileError(f"{path} is {what}.", "Give the path of the .gguf file itself.")
        try:
            self._file = path.open("rb", buffering=0)
        except OSError as error:
            raise ModelNotFoundError(
                f"{path} cannot be opened: {error.strerror}.", "Check the file's permissions."
            ) from error
        self._size_bytes = os.fstat(self._file.fileno()).st_size

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    def read(self, offset: int, length: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(length)

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._file.close()

    def __enter__(self) -> FileRange:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class BytesRange:
    """Bytes in memory as a `RangeReader`."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size_bytes(self) -> int:
        return len(self._data)

    def read(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length]
