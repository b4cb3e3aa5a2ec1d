"""`materialise`: a hub model's files, brought here for a load."""

from __future__ import annotations

from dataclasses import replace

from shoestring.models.facts import ModelFacts
from shoestring.models.progress import Progress


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
