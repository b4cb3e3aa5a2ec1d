"""`materialise`: a hub model's files, brought here for a load."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from shoestring.models.facts import ModelFacts
from shoestring.models.progress import Progress

if TYPE_CHECKING:
    from shoestring.models.reference import Resolved


def materialise(facts: ModelFacts, progress: Progress | None = None, *, code: bool = False) -> ModelFacts:
    """The same model with its files on this machine, fetched as far as they are not; a local one as it is.

    What was extrapolated for the plan is counted now, from the files themselves.

    Args:
        progress: told of bytes while they are fetched.
        code: fetch the model's own Python modules, too: with the user's consent only.

    Raises:
        AccessError, FetchError, DiskFullError: as `pull.fetch`.
        ModelNotFoundError, InvalidModelFileError: what came is not a whole, sound model.
    """
    origin = facts.origin
    if origin is None:
        return facts
    from shoestring.models.hub.choice import Choice
    from shoestring.models.hub.pull import fetch
    from shoestring.models.hub.reading import read

    snapshot = fetch(origin.repository, origin.weights, progress, code=code)
    here = replace(origin.repository, snapshot=snapshot)
    weights = origin.weights if facts.format == "gguf" else ()
    choice = Choice("gguf" if facts.format == "gguf" else "safetensors", weights, origin.notes)
    return replace(read(here, choice, id=facts.id), system=facts.system)


def pulled(resolved: Resolved, progress: Progress | None = None, *, code: bool = False) -> Resolved:
    """A model of the hub with its files on this machine: weights that are here are hashed again, what is missing or
    damaged is fetched. Another model as it is.

    Args:
        progress: told of bytes.
        code: as for `materialise`.

    Raises as `materialise`.
    """
    if resolved.repository is None or resolved.choice is None:
        return resolved
    from shoestring.models.hub.checking import discard_damaged
    from shoestring.models.hub.reading import read

    names = [file.name for file in resolved.repository.files if file.name.endswith(".safetensors")]
    discard_damaged(resolved.repository, resolved.choice.weights or names, progress)
    facts = materialise(read(resolved.repository, resolved.choice, id=resolved.id), progress, code=code)
    folder = facts.config_file.parent if facts.config_file else None
    return replace(resolved, files=facts.files, folder=folder, license=facts.license)
