"""The GGUF models that a repository holds, by the quantisation type that their names state."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from shoestring.models.gguf.split import part_of
from shoestring.models.hub.base import RemoteFile

_NOT_MODELS = re.compile(r"(^|[._/-])(mmproj|imatrix)([._/-]|$)", re.IGNORECASE)
_TYPE = re.compile(
    r"(?<![A-Za-z0-9])((?:UD-)?(?:I?Q\d(?:_(?:K|NL|XXS|XS|XL|S|M|L|\d)){0,3}|TQ\d_\d|MXFP4(?:_MOE)?|NVFP4|BF16|FP?16|FP?32))(?![A-Za-z0-9])",
    re.IGNORECASE,
)
PREFERRED = (
    *(
        "Q4_K_M",
        "Q4_K_XL",
        "Q4_K_L",
        "Q4_K_S",
        "Q4_K",
        "Q4_1",
        "Q4_0",
        "IQ4_NL",
        "IQ4_XS",
        "MXFP4",
        "MXFP4_MOE",
    ),
    *(
        "Q5_K_M",
        "Q5_K_S",
        "Q5_K_XL",
        "Q5_K_L",
        "Q5_K",
        "Q5_1",
        "Q5_0",
        "Q6_K",
        "Q6_K_XL",
        "Q6_K_L",
        "Q8_0",
        "Q8_K_XL",
    ),
    *("Q3_K_L", "Q3_K_XL", "Q3_K_M", "IQ3_M", "Q3_K_S", "IQ3_S", "IQ3_XS", "IQ3_XXS", "BF16", "F16", "F32"),
    *("Q2_K_L", "Q2_K", "Q2_K_XL", "Q2_K_S", "IQ2_M", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_M", "IQ1_S"),
)
"""Which type to take where none is asked for: four bits of the K-quants, whose loss llama.cpp's own tables call small
(`tools/quantize/README.md`); then what is near in size, larger first; then what loses more."""


@dataclass(frozen=True)
class Variant:
    """One GGUF model of a repository.

    Attributes:
        type: as its name states it, upper case (`Q4_K_M`, `UD-Q4_K_XL`); None: it states none.
        names: its files in order: all parts of a split one.
        size_bytes: of them together.
        missing: parts that its name counts and the repository does not hold.
    """

    type: str | None
    names: tuple[str, ...]
    size_bytes: int
    missing: int = 0


def variants(files: Sequence[RemoteFile]) -> tuple[Variant, ...]:
    """The GGUF models among a repository's files, sorted by name; projectors and importance matrices are none."""
    groups: dict[tuple[str, int], dict[int, RemoteFile]] = defaultdict(dict)
    for file in files:
        if file.name.lower().endswith(".gguf") and not _NOT_MODELS.search(file.name):
            stem, number, count = part_of(file.name)
            groups[stem, count][number] = file
    return tuple(_variant(stem, count, parts) for (stem, count), parts in sorted(groups.items()))


def _variant(stem: str, count: int, parts: dict[int, RemoteFile]) -> Variant:
    ordered = [parts[number] for number in sorted(parts)]
    return Variant(
        stated_type(stem),
        tuple(file.name for file in ordered),
        sum(file.size_bytes for file in ordered),
        count - len(ordered),
    )


def stated_type(name: str) -> str | None:
    """The quantisation type that a file's name states, or else its folder's."""
    for part in reversed(name.split("/")):
        if found := _TYPE.findall(part):
            return normal(found[-1])
    return None


def normal(kind: str) -> str:
    """A type as it is compared: `fp16` is `F16`."""
    return re.sub(r"^FP(?=16|32)", "F", kind.upper())


def best(found: Sequence[Variant]) -> Variant:
    """The one to take where none is asked for: by preference, then the smallest."""

    def rank(variant: Variant) -> tuple[int, int]:
        kind = (variant.type or "").removeprefix("UD-")
        return PREFERRED.index(kind) if kind in PREFERRED else len(PREFERRED), variant.size_bytes

    return min(found, key=rank)


def references(repo_id: str, found: Sequence[Variant]) -> tuple[str, ...]:
    """How each is asked for: by its type where no other has the same, else by its file."""
    types = [variant.type for variant in found]
    return tuple(
        f"{repo_id}:{variant.type}"
        if variant.type and types.count(variant.type) == 1
        else f"{repo_id}/{variant.names[0]}"
        for variant in found
    )
