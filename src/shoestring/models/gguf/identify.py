"""Tells what a file is that is not the GGUF it was taken for, so that the message can say so."""

from __future__ import annotations

import struct

from shoestring.errors import InvalidModelFileError

_AGAIN = "Download it again from where the model is published."


def check_magic(start: bytes, size_bytes: int, name: str) -> int:
    """The format version, 2 or 3, from the first bytes of a file.

    Raises:
        InvalidModelFileError: it is empty, something else, or a version or byte order that cannot be read.
    """
    if size_bytes == 0:
        raise InvalidModelFileError(f"{name} is empty.", _AGAIN)
    if not start.startswith(b"GGUF"):
        raise _something_else(start, name)
    if size_bytes < 24:
        raise InvalidModelFileError(f"{name} is cut off after {size_bytes} bytes.", _AGAIN)
    (version,) = struct.unpack_from("<I", start, 4)
    if version in (2, 3):
        return int(version)
    if version and version & 0xFFFF == 0:
        raise InvalidModelFileError(
            f"{name} is a big-endian GGUF file, made for another kind of processor.",
            "Look for the little-endian file of the same model.",
        )
    hint = (
        "Look for a newer conversion of the model."
        if version < 2
        else "Update Shoestring, or look for an older file."
    )
    raise InvalidModelFileError(
        f"{name} is a GGUF file of version {version:,}; versions 2 and 3 can be read.", hint
    )


def _something_else(start: bytes, name: str) -> InvalidModelFileError:
    head = start.lstrip().lower()
    if head.startswith(b"version https://git-lfs"):
        return InvalidModelFileError(
            f"{name} is a Git LFS pointer: it stands for the model without holding it.",
            "Fetch the real file, with git lfs pull or from the model's page.",
        )
    if head.startswith((b"<!doctype html", b"<html", b"<?xml")):
        return InvalidModelFileError(
            f"{name} is a web page, not a model: the download fetched an error or login page.", _AGAIN
        )
    if start.startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x04")):
        return InvalidModelFileError(
            f"{name} is a PyTorch checkpoint or a zip archive, not a GGUF file.",
            "Look for a GGUF conversion of the model.",
        )
    if len(start) > 8 and start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 2**32:
        return InvalidModelFileError(
            f"{name} is a safetensors file, not a GGUF file.", "Look for a GGUF conversion of the model."
        )
    if _is_text(start):
        return InvalidModelFileError(
            f"{name} is a text file, not a model.", "Give the path of a real .gguf file."
        )
    return InvalidModelFileError(f"{name} is not a GGUF file: it does not begin with 'GGUF'.", _AGAIN)


def _is_text(start: bytes) -> bool:
    try:
        text = start.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(start) - 3:  # only a character cut by the window may fail
            return False
        text = start[: error.start].decode("utf-8")
    return all(character.isprintable() or character in "\r\n\t\f" for character in text)
