"""Conversations as files: one JSON document, written whole or not at all, read as untrusted."""

from __future__ import annotations

import errno
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import msgspec

from shoestring.chat.messages import Message, Role
from shoestring.chat.sampling import choose
from shoestring.errors import DiskFullError, UsageError
from shoestring.units import MiB

_VERSION = 1
_LARGEST_BYTES = 64 * MiB


class SavedMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One turn."""

    role: Role
    content: str


class SavedConversation(msgspec.Struct, frozen=True, kw_only=True):
    """What a file holds. Fields that a later version may add are passed over.

    Attributes:
        format: says what the file is.
        version: of this format.
        model: what the user called the model.
        system: the instructions in front, None if there were none.
        messages: the turns after them, in order.
        sampling: the settings that were asked for, by the names of `SamplingOptions`.
    """

    format: Literal["shoestring conversation"] = "shoestring conversation"
    version: int = _VERSION
    model: str
    system: str | None = None
    messages: tuple[SavedMessage, ...]
    sampling: dict[str, Any] = {}

    def turns(self) -> tuple[Message, ...]:
        """The turns after the instructions."""
        return tuple(Message(message.role, message.content) for message in self.messages)


def save(conversation: SavedConversation, path: Path) -> None:
    """Write a conversation; what was at the path before is replaced in one step, or left as it was.

    The file is readable by its owner alone.

    Raises:
        DiskFullError: there is no room for it.
        UsageError: it cannot be written there.
    """
    content = msgspec.json.format(msgspec.json.encode(conversation), indent=1) + b"\n"
    target = Path(os.path.realpath(path))  # a link goes on pointing where it does
    try:
        _replace(target, content)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(f"There is no room to save the conversation as {path}.") from error
        raise UsageError(
            f"The conversation cannot be saved as {path}: {error.strerror}.", "Choose another place."
        ) from error


def _replace(target: Path, content: bytes) -> None:
    handle, beside = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:100]}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(beside).replace(target)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(beside).unlink()
        raise


def load(path: Path) -> SavedConversation:
    """Read a conversation back.

    Raises:
        UsageError: there is no such file, it is no conversation, or it holds what can never be one.
    """
    saved = _decode(_read(path), path)
    try:
        saved.turns()
        if saved.system is not None:
            Message("system", saved.system)
        choose(None, saved.sampling)
    except UsageError as error:
        raise UsageError(f"The conversation in {path} cannot be used: {error.message}", error.hint) from error
    return saved


def _read(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise UsageError(f"There is no saved conversation {path}.")
        with path.open("rb") as file:
            content = file.read(_LARGEST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"The conversation {path} cannot be read: {error.strerror}.") from error
    if len(content) > _LARGEST_BYTES:
        raise UsageError(f"{path} is larger than {_LARGEST_BYTES // MiB} MiB: that is no saved conversation.")
    return content


def _decode(content: bytes, path: Path) -> SavedConversation:
    try:
        head = msgspec.json.decode(content, type=_Head)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{path} is not a conversation that was saved here: {error}.") from error
    if head.version > _VERSION:
        raise UsageError(
            f"The conversation in {path} was saved by a newer version (its format is {head.version}, known is "
            f"{_VERSION}).",
            "Update Shoestring.",
        )
    try:
        return msgspec.json.decode(content, type=SavedConversation)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"The conversation in {path} is damaged: {error}.") from error


class _Head(msgspec.Struct, frozen=True):
    """What is read first: whether the rest can be."""

    format: Literal["shoestring conversation"]
    version: int
