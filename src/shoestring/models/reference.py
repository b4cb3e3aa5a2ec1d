"""From what a user calls a model to where it is.

A reference is a starter's name (`smollm2`), the path of a `.gguf` file, where any part of a split model
(`…-00001-of-00003.gguf`) means all of it, a folder with a `config.json` and safetensors files, or a model of the hub
(`org/name`, `org/name:Q4_K_M`, `org/name/file.gguf`, each also with a revision: `org/name@v1.0`). What is here wins.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shoestring.errors import AccessError, InvalidModelFileError, ModelNotFoundError, UsageError
from shoestring.models.progress import Progress
from shoestring.models.starters import STARTERS, Starter, installed

if TYPE_CHECKING:
    from shoestring.models.hub.base import Repository
    from shoestring.models.hub.choice import Choice

_HUB = re.compile(
    r"(?P<id>[\w-][\w.-]{0,95}/[\w-][\w.-]{0,95})"
    r"(?:@(?P<revision>refs/pr/\d{1,9}|[\w][\w.-]{0,199}))?"
    r"(?:/(?P<file>[^\x00-\x1f\x7f\\]{1,900}\.gguf)|:(?P<type>[\w.-]{1,40}))?",
    re.ASCII | re.IGNORECASE,
)
_OTHER_KIND = re.compile(r"(datasets|spaces)/[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)
_MAGIC = b"GGUF"


@dataclass(frozen=True)
class Resolved:
    """A model that was found: on this machine, or on the hub, of which nothing but a description is fetched yet.

    Attributes:
        id: what the user calls it: the starter's name, or the path as it was given.
        files: absolute paths of the `.gguf`, or of all parts of a split one in order; of a checkpoint its
            safetensors files.
        license: of a starter; None for a file, whose own header may tell.
        source: where it came from, for people.
        system: the system message that suits a starter, or None.
        folder: absolute path of a checkpoint's folder (`safetensors_facts.read_checkpoint` reads it); None: GGUF.
        repository, choice: of a model of the hub (`hub.reading.read` reads it), which has no `files` here; else None.
    """

    id: str
    files: tuple[Path, ...]
    license: str | None
    source: str
    system: str | None = None
    folder: Path | None = None
    repository: Repository | None = None
    choice: Choice | None = None


Reference = str | os.PathLike[str]
"""What a user calls a model; a path object always means a file."""


def resolve(
    reference: Reference,
    *,
    progress: Progress | None = None,
    offline: bool = False,
    starters: Mapping[str, Starter] = STARTERS,
) -> Resolved:
    """Find a model, fetching a starter on first use. A cached one costs no import and no network; of a model of the
    hub, no weights are fetched.

    A starter's name means the starter, even where a file has the same name (write `./smollm2` for it, or
    give a path object). Spelt with other capitals (`SmolLM2`) it still does, unless a file is called so.
    The content of weights is not looked at here; reading their headers does that.

    Args:
        reference: a starter's name, a path (`~` allowed) or a name of the hub, as text; or a path object.
        progress: told of bytes while a starter is fetched.
        offline: never use the network.
        starters: those to choose from, by name.

    Raises:
        UsageError: the reference is empty, or neither text nor a path.
        ModelNotFoundError: no such starter or file, a part of a split model is missing, a folder holds no
            model that can be read, the hub has no such model, or (offline) the model is not here yet.
        InvalidModelFileError: the file is not GGUF, or a folder's index is malformed.
        AccessError: the file cannot be read, or its folder not be searched; the hub keeps the model to itself.
        NetworkError, FetchError, DiskFullError: as `fetch.fetch` and `hub.repository.repository`.
    """
    name = _text(reference, starters)
    if not name.strip():
        raise UsageError("No model is named.", _offer(starters))
    is_path = not isinstance(reference, str)
    if not is_path and name in starters:
        return _resolve_starter(starters[name], progress, offline)
    path = os.path.expanduser(name)  # noqa: PTH111 (pathlib raises where there is no such user)
    try:
        if _is_there(path):
            return _resolve_path(name, Path(path))
    except PermissionError as error:
        raise AccessError(
            f"{path} may not be reached by this user.", "Change the permissions of its folder, or copy it."
        ) from error
    if not is_path and (starter := starter_named(name, starters)):
        return _resolve_starter(starter, progress, offline)
    if not is_path and (match := _HUB.fullmatch(name)) and not _looks_like_a_path(name):
        return _resolve_hub(name, match, offline)
    raise _not_found(name, starters, is_path=is_path)


def starter_named(name: str, starters: Mapping[str, Starter] = STARTERS) -> Starter | None:
    """The starter of this name, whatever its capitals; None where there is none, or more than one."""
    if name in starters:
        return starters[name]
    alike = [starter for known, starter in starters.items() if known.casefold() == name.casefold()]
    return alike[0] if len(alike) == 1 else None


def is_hub_name(name: str) -> bool:
    """Whether this has the form of a model of the hub, with or without what is meant of it."""
    return _HUB.fullmatch(name) is not None


def _text(reference: object, starters: Mapping[str, Starter]) -> str:
    try:
        text = os.fspath(reference)  # type: ignore[call-overload]
    except TypeError:
        text = None
    if not isinstance(text, str):
        raise UsageError(
            f"A model is named by text or a path, not by {type(reference).__name__}.", _offer(starters)
        )
    return text


def _is_there(path: str) -> bool:
    """Whether something has this path, be it a link to nothing.

    Raises:
        PermissionError: a folder on the way may not be searched.
    """
    try:
        os.lstat(path)
    except PermissionError:
        raise
    except (OSError, ValueError):  # ValueError: a NUL character
        return False
    return True


def _resolve_starter(starter: Starter, progress: Progress | None, offline: bool) -> Resolved:
    path = installed(starter)
    if path is None and offline:
        raise ModelNotFoundError(
            f"{starter.name} is not on this machine yet, and nothing may be fetched offline.",
            "Fetch it once with a network; after that it needs none.",
        )
    if path is None:
        from shoestring.models.fetch import fetch

        path = fetch(starter, progress)
    return Resolved(starter.name, (path,), starter.license, starter.source, starter.system)


def _looks_like_a_path(name: str) -> bool:
    """Whether a name that could be one of the hub is meant as a path: `models/tiny.gguf`, of which there is none."""
    return name.count("/") == 1 and name.lower().endswith(".gguf")


def _resolve_hub(name: str, match: re.Match[str], offline: bool) -> Resolved:
    from shoestring.models.hub.choice import choose
    from shoestring.models.hub.repository import repository

    try:
        found = repository(match["id"], revision=match["revision"], offline=offline)
    except ModelNotFoundError as error:
        raise ModelNotFoundError(
            f"{error.message} There is no file of this name here, either.", error.hint
        ) from error
    choice = choose(found, match["file"] or match["type"])
    return Resolved(name, (), found.license, "the Hugging Face hub", repository=found, choice=choice)


def _resolve_path(name: str, path: Path) -> Resolved:
    if not path.is_dir():
        return Resolved(name, _files_at(path), None, "a local file")
    return Resolved(name, _checkpoint_at(path), None, "a local folder", folder=path.absolute())


def _checkpoint_at(folder: Path) -> tuple[Path, ...]:
    """The safetensors files of a folder with a config, each readable."""
    from shoestring.models.safetensors.index import checkpoint_files
    from shoestring.models.source import FolderSource

    source = FolderSource(folder)
    if "config.json" not in source.names():
        weights = any(name.endswith(".safetensors") for name in source.names())
        what = "holds weights without their config.json" if weights else "is a folder, not a model file"
        raise ModelNotFoundError(f"{folder} {what}.", _hint_for_folder(folder))
    files = tuple(source.folder / name for name in checkpoint_files(source)[0])
    for file in files:
        _check_readable(file)
    return files


def _check_readable(file: Path) -> None:
    if not os.access(file, os.R_OK):
        raise AccessError(f"{file} may not be read by this user.", "Change its permissions, or copy it.")


def _files_at(path: Path) -> tuple[Path, ...]:
    """The file, or all parts of the split model it belongs to; readable, and GGUF by name or content."""
    from shoestring.models.gguf.split import find_parts

    files = find_parts(path.absolute())
    for file in files:
        if not file.exists():
            raise ModelNotFoundError(f"{file} is a link to something that is not there.", _HINT_PATH)
        if not file.is_file():
            raise InvalidModelFileError(f"{file} is not a regular file.", _HINT_PATH)
        _check_readable(file)
    if path.suffix.lower() == ".safetensors":
        raise InvalidModelFileError(
            f"{path} holds weights alone; a checkpoint is a folder with its config.json.", "Give the folder."
        )
    if path.suffix.lower() != ".gguf":
        with path.open("rb") as stream:
            if stream.read(len(_MAGIC)) != _MAGIC:
                raise InvalidModelFileError(f"{path} is not a GGUF file.", _HINT_PATH)
    return files


def _not_found(reference: str, starters: Mapping[str, Starter], *, is_path: bool) -> ModelNotFoundError:
    shown = reference if len(reference) <= 200 else f"{reference[:200]}…"
    if is_path:
        return ModelNotFoundError(f"There is no file {shown}.", _HINT_PATH)
    if "://" in reference:
        return ModelNotFoundError(f"{shown} is an address, not a model's name.", _HINT_HUB)
    if not reference.lower().endswith(".gguf"):
        if _OTHER_KIND.fullmatch(reference):
            kind = reference.partition("s/")[0]
            return ModelNotFoundError(f"{shown} names a {kind} of the hub, not a model.", _HINT_HUB)
        if not {os.sep, os.altsep} & set(reference) and "\0" not in reference:
            return ModelNotFoundError(f"There is no model called {shown!r}.", _nearest(reference, starters))
    return ModelNotFoundError(f"There is no file {shown}.", _HINT_PATH)


def _nearest(name: str, starters: Mapping[str, Starter]) -> str:
    import difflib

    near = difflib.get_close_matches(name.lower(), list(starters), n=1)
    return f"Did you mean {near[0]}? {_offer(starters)}" if near else _offer(starters)


def _offer(starters: Mapping[str, Starter]) -> str:
    return (
        f"Name a starter ({', '.join(starters)}), a model of the hub (org/name), or the path of a .gguf file."
    )


def _hint_for_folder(folder: Path) -> str:
    """The models inside, first parts only; a folder that cannot be listed has none to offer."""
    try:
        names = sorted(path.name for path in folder.iterdir() if path.suffix.lower() == ".gguf")
    except OSError:
        names = []
    from shoestring.models.gguf.split import part_number

    first_parts = [name for name in names if part_number(name) in (None, 1)]
    if not first_parts:
        return _HINT_PATH
    more = f" and {len(first_parts) - 3} more" if len(first_parts) > 3 else ""
    return f"Give one of the files in it: {', '.join(first_parts[:3])}{more}."


_HINT_PATH = "Give the path of a .gguf file, or of a folder with config.json and safetensors."
_HINT_HUB = (
    "Name a model of the hub as org/name, with a type (org/name:Q4_K_M) or a file (org/name/file.gguf)."
)
