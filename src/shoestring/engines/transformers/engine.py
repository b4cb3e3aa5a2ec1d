"""The transformers engine's door: what it needs, and how a checkpoint becomes a model that generates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from shoestring.engines.base import LoadedModel
from shoestring.errors import EngineError
from shoestring.planning.base import TransformersSettings

INSTALL_HINT = "Install it: pip install 'shoestring[transformers]'"


class TransformersEngine:
    """Loads safetensors checkpoints that `shoestring.models` has already validated."""

    name = "transformers"
    settings_type = TransformersSettings

    def version(self) -> str:
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("transformers")
        except PackageNotFoundError as error:
            raise EngineError(
                "The transformers engine needs transformers, which is not installed.", INSTALL_HINT
            ) from error

    def preload(self) -> None:
        """What every load imports but the model's own class, which its config names; bitsandbytes where it is used."""
        import tokenizers  # noqa: F401
        import torch  # noqa: F401
        import transformers.generation.utils
        import transformers.masking_utils
        import transformers.modeling_layers
        import transformers.models.auto.modeling_auto
        import transformers.models.auto.tokenization_auto
        import transformers.processing_utils  # noqa: F401

        import shoestring.engines.transformers.load
        import shoestring.engines.transformers.model  # noqa: F401

    def load(self, files: Sequence[Path], settings: TransformersSettings, scratch: Path) -> LoadedModel:
        try:
            from shoestring.engines.transformers.load import load
            from shoestring.engines.transformers.model import TransformersModel

            loaded = load(files, settings, scratch)
        except ModuleNotFoundError as error:
            raise EngineError(
                f"The transformers engine needs {error.name}, which is not installed.", INSTALL_HINT
            ) from error
        return TransformersModel(loaded.model, loaded.tokenizer, loaded.settings, loaded.report)
