"""`read`: the facts of a hub model, from some hundred kilobytes of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from shoestring.errors import ModelNotFoundError
from shoestring.models.facts import ModelFacts
from shoestring.models.gguf.reader import GgufHeader, read_header
from shoestring.models.hub.base import Origin, Repository
from shoestring.models.hub.choice import Choice
from shoestring.models.hub.source import AT_ONCE, HubSource

FIRST_CHUNK_BYTES, LATER_CHUNK_BYTES = 2 * 2**20, 256 * 1024
"""Pieces of a GGUF header: the first file's holds the vocabulary (2 to 17 MB), those of later parts tensors alone."""


def read(repository: Repository, choice: Choice, *, id: str) -> ModelFacts:
    """Read and check a model's headers and small files; no weights.

    Args:
        id: what the user calls the model.

    Raises:
        ModelNotFoundError, InvalidModelFileError: as `read_checkpoint` and `gguf_facts.facts_of`.
        AccessError, NetworkError, FetchError: as `RemoteRange.read`.
    """
    with HubSource(repository) as source:
        if choice.format == "gguf":
            return _read_gguf(source, choice, id)
        return _read_checkpoint(source, choice, id)


def _read_gguf(source: HubSource, choice: Choice, id: str) -> ModelFacts:
    from shoestring.models.gguf.split import merge
    from shoestring.models.gguf_facts import facts_of

    with ThreadPoolExecutor(min(AT_ONCE, len(choice.weights))) as pool:
        headers = list(pool.map(lambda i: _header(source, choice.weights[i], i), range(len(choice.weights))))
    paths = [path for name in choice.weights if (path := source.path(name)) is not None]
    files = tuple(paths) if len(paths) == len(choice.weights) else ()
    facts = facts_of(merge(headers), id=id, files=files, license=source.repository.license)
    return replace(facts, origin=Origin(source.repository, choice.weights, choice.notes))


def _header(source: HubSource, name: str, part: int) -> GgufHeader:
    chunk = LATER_CHUNK_BYTES if part else FIRST_CHUNK_BYTES
    shown = f"{source.repository.id}/{name}"
    with source.open(name) as file:
        return read_header(file, name=shown, chunk_bytes=None if source.path(name) else chunk)


def _read_checkpoint(source: HubSource, choice: Choice, id: str) -> ModelFacts:
    from shoestring.models.safetensors.index import checkpoint_files
    from shoestring.models.safetensors_facts import read_checkpoint

    repository = source.repository
    try:
        facts = read_checkpoint(source, id=id, license=repository.license)
    except ModelNotFoundError as error:
        if repository.local:
            raise ModelNotFoundError(
                f"{repository.id} was fetched in part only: {error.message}", "Fetch the rest with a network."
            ) from error
        raise
    weights, _ = checkpoint_files(source)
    return replace(facts, origin=Origin(repository, weights, choice.notes))
