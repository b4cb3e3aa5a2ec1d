"""`choose`: which of a repository's files are the model that is meant."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from shoestring.errors import ModelNotFoundError, UsageError
from shoestring.models.hub.base import Repository
from shoestring.models.hub.variants import Variant, best, normal, references, variants
from shoestring.units import format_bytes

_SINGLE, _INDEX, _CONFIG = "model.safetensors", "model.safetensors.index.json", "config.json"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_ELSEWHERE = "Look for a repository with its safetensors or GGUF files."


@dataclass(frozen=True)
class Choice:
    """The model that is meant.

    Attributes:
        format: what its weights are.
        weights: the GGUF file or all parts of one, in order; of a checkpoint empty until its index is read.
        notes: what a user has to know of the choice, one sentence each.
    """

    format: Literal["gguf", "safetensors"]
    weights: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def choose(repository: Repository, wanted: str | None = None) -> Choice:
    """Pick a model's files from its repository.

    Args:
        wanted: a `.gguf` file's path in the repository, or a quantisation type; None: the checkpoint if there is one,
            else the GGUF file that suits most.

    Raises:
        ModelNotFoundError: there is none, or not the one that is wanted; the hint names what there is.
        UsageError: several are of the wanted type.
    """
    found = variants(repository.files)
    if wanted is not None:
        variant = (
            _by_name(repository, found, wanted)
            if wanted.lower().endswith(".gguf")
            else _by_type(repository, found, wanted)
        )
        return Choice("gguf", _whole(repository, variant))
    if _has_checkpoint(repository):
        notes = (f"{repository.id} holds GGUF files, too: {_named(repository, found)}.",) if found else ()
        return Choice("safetensors", notes=notes)
    if not found:
        raise _nothing_to_load(repository)
    whole = [variant for variant in found if not variant.missing] or found
    variant = best(whole)
    weights = _whole(repository, variant)
    others = [other for other in whole if other is not variant]
    if not others:
        return Choice("gguf", weights)
    taken = f"{variant.type or variant.names[0]} was taken ({format_bytes(variant.size_bytes)})"
    return Choice(
        "gguf", weights, (f"Of {len(whole)} GGUF files {taken}; also there: {_named(repository, others)}.",)
    )


def _has_checkpoint(repository: Repository) -> bool:
    has = repository.file
    return has(_CONFIG) is not None and (has(_SINGLE) is not None or has(_INDEX) is not None)


def _by_name(repository: Repository, found: Sequence[Variant], name: str) -> Variant:
    for variant in found:
        if name in variant.names:
            return variant
    if repository.file(name) is not None:
        raise ModelNotFoundError(
            f"{name} of {repository.id} belongs to a model and is none itself.", _offer(repository, found)
        )
    near = difflib.get_close_matches(name, [names for v in found for names in v.names[:1]], n=2, cutoff=0.5)
    hint = (
        f"Did you mean {' or '.join(f'{repository.id}/{n}' for n in near)}?"
        if near
        else _offer(repository, found)
    )
    raise ModelNotFoundError(f"There is no file {name[:200]} in {repository.id}.", hint)


def _by_type(repository: Repository, found: Sequence[Variant], wanted: str) -> Variant:
    kind = normal(wanted)
    alike = [variant for variant in found if variant.type == kind]
    alike = alike or [variant for variant in found if variant.type == f"UD-{kind}"]
    if len(alike) == 1:
        return alike[0]
    if alike:
        names = ", ".join(f"{repository.id}/{variant.names[0]}" for variant in alike[:4])
        raise UsageError(
            f"{repository.id} holds {len(alike)} models of type {kind}.", f"Name the file: {names}."
        )
    types = [variant.type for variant in found if variant.type]
    near = difflib.get_close_matches(kind, types, n=2)
    hint = f"Did you mean {' or '.join(f'{repository.id}:{n}' for n in near)}? " if near else ""
    raise ModelNotFoundError(
        f"{repository.id} holds no GGUF file of type {kind[:40]}.", hint + _offer(repository, found)
    )


def _whole(repository: Repository, variant: Variant) -> tuple[str, ...]:
    if variant.missing:
        parts = len(variant.names) + variant.missing
        raise ModelNotFoundError(
            f"{variant.names[0]} of {repository.id} is one of {parts} parts, of which {variant.missing} "
            f"{'is' if variant.missing == 1 else 'are'} not there.",
            "Fetch the rest with a network."
            if repository.local
            else "Look for a repository with all of them.",
        )
    return variant.names


def _named(repository: Repository, found: Sequence[Variant]) -> str:
    """What else there is, as it would be asked for."""
    names = references(repository.id, found)
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _offer(repository: Repository, found: Sequence[Variant]) -> str:
    if not found:
        has = (
            "Its safetensors checkpoint is there: name it without a type."
            if _has_checkpoint(repository)
            else ""
        )
        return has or _ELSEWHERE
    return f"There are {_named(repository, found)}."


def _nothing_to_load(repository: Repository) -> ModelNotFoundError:
    """Why none of the files is a model that can be read."""
    names = [file.name for file in repository.files]
    what, hint = _what_it_is(names, local=repository.local)
    return ModelNotFoundError(f"{repository.id} {what}", hint)


def _what_it_is(names: Sequence[str], *, local: bool) -> tuple[str, str]:
    there = frozenset(names)
    weights = [name for name in names if name.endswith(".safetensors")]
    pickled = next((name for name in names if name.endswith(_PICKLES)), None)
    if "adapter_config.json" in there:
        return "is an adapter: it changes another model, and holds none itself.", "Name the model it is for."
    if "model_index.json" in there:
        return "is a pipeline for images (diffusers), not a language model.", _ELSEWHERE
    if any(name.lower().endswith(".gguf") for name in names):
        return "holds only parts that belong to other GGUF models.", _ELSEWHERE
    if local and (weights or _CONFIG in there):
        return (
            "was fetched in part only, and nothing may be fetched offline.",
            "Fetch the rest with a network.",
        )
    if pickled and not weights:
        return (
            f"holds its weights as pickles only ({pickled}): a pickle can run code when it is opened, so they are refused.",
            "Look for a copy of the model in safetensors files.",
        )
    if weights and _CONFIG not in there:
        return f"holds weights ({weights[0]}) without a config.json that says of what.", _ELSEWHERE
    if weights:
        return f"holds weights ({weights[0]}) that are not named as a model's are.", _ELSEWHERE
    for ending, kind in (
        (".onnx", "ONNX"),
        (".mlmodel", "Core ML"),
        (".tflite", "TensorFlow Lite"),
        (".h5", "TensorFlow"),
    ):
        if any(name.endswith(ending) for name in names):
            return f"holds a model for another engine only ({kind}).", _ELSEWHERE
    return "holds no weights.", _ELSEWHERE
