"""Which files hold a checkpoint's weights, and whether the index and the files agree.

The names are those transformers looks for (`modeling_utils.py`, `_get_resolved_checkpoint_files`): one
`model.safetensors`, else the shards that `model.safetensors.index.json` lists.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from shoestring.errors import InvalidModelFileError, ModelNotFoundError
from shoestring.models.safetensors.header import FIRST_READ, SafetensorsHeader
from shoestring.models.source import Source, read_whole

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
MAX_INDEX_BYTES = 64 * 2**20
MAX_SHARDS = 4096

_ENTRY_BYTES, _SPARE_BYTES = 120, 1024
"""Of a header's entry all but its name (`{"dtype":"BF16","shape":[4096,4096],"data_offsets":[1000000,2000000]},`, with
room for larger numbers); of what is not an entry."""

_SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_HINT = "Look for a copy of the model with all its safetensors files."


class _Index(msgspec.Struct):
    weight_map: dict[str, str]


def checkpoint_files(source: Source) -> tuple[tuple[str, ...], dict[str, str]]:
    """The safetensors files that hold a checkpoint, in order, and what the index says is where (empty without one).

    Raises:
        ModelNotFoundError: there are none that can be read, and why, or one is missing.
        InvalidModelFileError: the index is malformed.
    """
    names = source.names()
    if SINGLE in names:
        return (SINGLE,), {}
    if INDEX not in names:
        raise _no_weights(names)
    weight_map = _read_weight_map(source)
    return tuple(sorted(set(weight_map.values()))), weight_map


def _read_weight_map(source: Source) -> dict[str, str]:
    data = read_whole(source, INDEX, at_most=MAX_INDEX_BYTES)
    try:
        weight_map = msgspec.json.decode(data, type=_Index).weight_map
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidModelFileError(f"{INDEX} is malformed: {error}.", "Download it again.") from error
    shards = set(weight_map.values())
    if not shards or len(shards) > MAX_SHARDS:
        raise InvalidModelFileError(f"{INDEX} names {len(shards):,} files.", "Download it again.")
    there = frozenset(source.names())
    for shard in sorted(shards):
        if not re.fullmatch(r"[\w.+-]{1,200}\.safetensors", shard):
            raise InvalidModelFileError(
                f"{INDEX} names {shard[:100]!r}, which is not a safetensors file beside it.",
                "Do not trust this copy of the model.",
            )
        if shard not in there:
            raise ModelNotFoundError(f"{shard} is missing, one of {len(shards)} files of weights.", _HINT)
    return weight_map


def header_lengths(files: Sequence[str], weight_map: Mapping[str, str]) -> dict[str, int]:
    """About how long the headers are, rather too long than too short, by the names that the index lists."""
    lengths = dict.fromkeys(files, _SPARE_BYTES)
    for tensor, file in weight_map.items():
        lengths[file] += len(tensor) + _ENTRY_BYTES
    return {name: max(length, FIRST_READ) for name, length in lengths.items()}


def check_agreement(weight_map: Mapping[str, str], headers: Sequence[SafetensorsHeader]) -> None:
    """Raise InvalidModelFileError where a tensor is not where the index says, or stored twice.

    Tensors that the index leaves out are no contradiction: transformers reads whole files.
    """
    stored: dict[str, str] = {}
    for header in headers:
        for tensor in header.tensors:
            if tensor.name in stored:
                raise InvalidModelFileError(
                    f"{tensor.name[:80]} is stored twice, in {stored[tensor.name]} and {header.name}.", _HINT
                )
            stored[tensor.name] = header.name
    for name, listed in weight_map.items():
        if stored.get(name) != listed:
            raise InvalidModelFileError(
                f"{INDEX} says that {name[:80]} is in {listed}, but it is in {stored.get(name, 'no file')}.",
                "Download the index and the files again, from one version of the model.",
            )


def _no_weights(names: Sequence[str]) -> ModelNotFoundError:
    if any(_SHARD.fullmatch(name) for name in names):
        return ModelNotFoundError(f"The shards of a model are here, but not their {INDEX}.", _HINT)
    if "adapter_model.safetensors" in names:
        return ModelNotFoundError(
            "This is an adapter: it changes another model, and holds none itself.",
            "Name the model it is for.",
        )
    if any(name.endswith(".gguf") for name in names):
        return ModelNotFoundError("The weights here are GGUF files.", "Give the path of one of them.")
    pickled = next((name for name in names if name.endswith(_PICKLES)), None)
    if pickled:
        return ModelNotFoundError(
            f"The weights here are pickled ({pickled}): opening them can run any code, so they are refused.",
            "Look for a copy of the model in safetensors files.",
        )
    other = next((name for name in names if name.endswith(".safetensors")), None)
    if other:
        return ModelNotFoundError(f"There is no {SINGLE} here; {other} is not named as a model is.", _HINT)
    return ModelNotFoundError(f"There are no weights here: neither {SINGLE} nor {INDEX}.", _HINT)
