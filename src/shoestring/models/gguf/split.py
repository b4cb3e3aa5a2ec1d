"""Split models: `name-00001-of-00003.gguf` and its siblings are one model.

The naming and the `split.*` keys are llama.cpp's (`llama_split_path`, tools/gguf-split).
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from shoestring.errors import InvalidModelFileError, ModelNotFoundError
from shoestring.models.gguf.reader import GgufHeader

_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE | re.DOTALL)
_DAMAGED = "Download all parts of the model again."


def part_number(name: str) -> int | None:
    """Which part of a split model a file of this name is, counted from 1; None for a model in one file."""
    match = _PART.fullmatch(name)
    return int(match["number"]) if match else None


def part_of(name: str) -> tuple[str, int, int]:
    """What a file of this name is part of: the model's name without numbers, which part, of how many."""
    match = _PART.fullmatch(name)
    return (match["stem"], int(match["number"]), int(match["count"])) if match else (name, 1, 1)


def find_parts(path: Path) -> tuple[Path, ...]:
    """All files of the model that `path` belongs to, in order; just `path` for a model in one file.

    Raises:
        ModelNotFoundError: a part is missing; the message names it.
        InvalidModelFileError: the file's name counts more parts than it says there are.
    """
    match = _PART.fullmatch(path.name)
    if not match:
        return (path,)
    count, number = int(match["count"]), int(match["number"])
    if not 1 <= number <= count:
        raise InvalidModelFileError(f"{path} is named as part {number} of {count}.", _DAMAGED)
    stem, suffix = match["stem"], path.suffix
    parts = tuple(path.with_name(f"{stem}-{i:05}-of-{count:05}{suffix}") for i in range(1, count + 1))
    if missing := [part.name for part in parts if not os.path.lexists(part)]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ModelNotFoundError(
            f"{path.name} is one of {count} parts, and {missing[0]}{more} is missing from {path.parent}.",
            "Put all parts of a split model into one folder.",
        )
    return parts


def merge(headers: Sequence[GgufHeader]) -> GgufHeader:
    """One header for all parts: the first one's metadata, everyone's tensors with their part's index.

    Raises:
        InvalidModelFileError: the parts do not belong together.
    """
    first = headers[0]
    count = first.metadata.get("split.count", 1)
    if count not in (0, 1, len(headers)) or (len(headers) > 1 and count != len(headers)):
        raise InvalidModelFileError(
            f"{first.name} says that its model has {_shown(count)} parts, but {len(headers)} came with it.",
            "Keep all parts in one folder under the names they were published with.",
        )
    if len(headers) == 1:
        return first
    tensors = []
    for part, header in enumerate(headers):
        if header.metadata.get("split.no") != part:
            raise InvalidModelFileError(
                f"{header.name} says that it is part number {_shown(header.metadata.get('split.no'))}, "
                f"counted from 0, where part {part} was expected.",
                _DAMAGED,
            )
        tensors += [replace(tensor, part=part) for tensor in header.tensors]
    _check_all_there(first, [tensor.name for tensor in tensors])
    return replace(first, tensors=tuple(tensors), size_bytes=sum(header.size_bytes for header in headers))


def _check_all_there(first: GgufHeader, names: list[str]) -> None:
    expected = first.metadata.get("split.tensors.count")
    if expected is not None and expected != len(names):
        raise InvalidModelFileError(
            f"The parts of {first.name} hold {len(names):,} tensors together instead of {_shown(expected)}.",
            _DAMAGED,
        )
    if len(set(names)) != len(names):
        raise InvalidModelFileError(f"Two parts of {first.name} hold a tensor of the same name.", _DAMAGED)


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else "no" if value is None else repr(value)[:40]
