"""The transformers engine's door: what it needs, and how a checkpoint becomes a model that generates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from shoestring.engines.base import LoadedModel
from shoestring.errors import EngineError
from shoestring.planning.base import TransformersSettings


class TransformersEngine:
    """Loads safetensors checkpoints that `shoestring.models` has already validated."""

    name = "transformers"
    settings_type = TransformersSettings

    def version(self) -> str:
        from importlib.metadata import version

        return version("transformers")

    def preload(self) -> None:
        import torch  # noqa: F401
        import transformers  # noqa: F401

    def load(self, files: Sequence[Path], settings: TransformersSettings, scratch: Path) -> LoadedModel:
        raise EngineError("Not built yet.")
