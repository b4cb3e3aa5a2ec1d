"""What lies in a checkpoint's folder: its config and class, its tokenizer, its tensors.

No pickle is ever read, and code that lies beside the weights runs with consent alone.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from shoestring.engines.transformers.failures import first_line
from shoestring.engines.transformers.heap import give_back
from shoestring.errors import EngineError

CONFIG = "config.json"


def read_config(folder: Path, *, own_code: bool = False) -> Any:
    """The config of a checkpoint, of a class that transformers has.

    Args:
        own_code: whether the user consents to running the Python files beside the weights. The library's own class
            is preferred where there is one.

    Raises:
        EngineError: transformers has no such class, and there is none beside the weights or no consent to run it.
    """
    import transformers
    from huggingface_hub.errors import StrictDataclassError

    stated = _stated(folder)
    known = stated.get("model_type") in transformers.models.auto.configuration_auto.CONFIG_MAPPING
    beside = _code_beside(stated) if not known else {}
    if beside and not own_code:
        raise _no_consent(folder, stated, beside)
    elsewhere = sorted({value.partition("--")[0] for value in beside.values() if "--" in value})
    if elsewhere:  # `other/repository--file.Class`
        raise EngineError(
            f"This model's code lies in another repository ({', '.join(elsewhere)}), and only code beside the weights is run."
        )
    if not known and not beside:
        raise EngineError(
            f"transformers {transformers.__version__} does not know the architecture {_name(stated)!r}.",
            "A newer version of transformers may.",
        )
    try:
        return transformers.AutoConfig.from_pretrained(
            folder, trust_remote_code=bool(beside), local_files_only=True
        )
    except (OSError, ValueError, KeyError, TypeError, ImportError, StrictDataclassError) as error:
        # One error may wrap another; the inner one says what is wrong, and advice follows its first sentence.
        said = first_line(error.__cause__ or error).partition(". ")[0].rstrip(".")
        raise EngineError(f"transformers cannot read this model's config: {said}.") from error


def is_own(config: Any) -> bool:
    """Whether a config's class came from the files beside the weights."""
    return type(config).__module__.startswith("transformers_modules")


def class_of(config: Any, folder: Path | None = None) -> tuple[Any, Any]:
    """The class that generates text with a config, and the config that this class takes.

    That is the class that the config names where transformers has it, else the one for text, images with it or not.
    Of a model that reads images this may be the text part's class, with the text part's config.

    Args:
        folder: where its own code lies, for a config that came from there with consent.

    Raises:
        EngineError: there is none.
    """
    import transformers

    for name in getattr(config, "architectures", None) or ():
        found: Any = getattr(transformers, name, None)
        is_model = isinstance(found, type) and issubclass(found, transformers.PreTrainedModel)
        if is_model and found.config_class is type(config) and found.can_generate():
            return found, config
    auto = transformers.models.auto.modeling_auto
    for mapping in (auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING, auto.MODEL_FOR_CAUSAL_LM_MAPPING):
        if type(config) in mapping:
            found = mapping[type(config)]
            is_whole = found.config_class is type(config)
            return found, config if is_whole else config.get_text_config()
    own = (getattr(config, "auto_map", None) or {}).get("AutoModelForCausalLM")
    if folder is not None and own and is_own(config):
        return _class_beside(own, folder), config
    raise EngineError(f"transformers has no model that generates text for {config.model_type!r}.")


def read_tokenizer(folder: Path, *, own_code: bool = False) -> Any:
    """The fast tokenizer of a checkpoint.

    Raises:
        EngineError: there is none, or it is one of transformers' slow ones.
    """
    import transformers

    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            folder, trust_remote_code=own_code, local_files_only=True
        )
    except (OSError, ValueError, KeyError, TypeError, ImportError, AttributeError) as error:
        raise EngineError(
            f"transformers cannot read this model's tokenizer: {first_line(error)}",
            "It needs a tokenizer.json beside its weights.",
        ) from error
    if not tokenizer.is_fast:
        raise EngineError(
            f"The tokenizer of this model ({type(tokenizer).__name__}) is written in Python, "
            "and only fast ones (tokenizer.json) are supported."
        )
    return tokenizer


def read_generation_config(folder: Path) -> Any:
    """What the checkpoint says of generating (its end tokens above all), or None where it says nothing.

    Raises:
        EngineError: the file is not valid.
    """
    from transformers import GenerationConfig

    if not (folder / "generation_config.json").is_file():
        return None
    try:
        return GenerationConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise EngineError(f"generation_config.json is not valid: {first_line(error)}") from error


def tensors(files: Sequence[Path]) -> dict[str, Any]:
    """Every tensor of a checkpoint, to be read when it is asked for, and only it.

    Mapped into memory, as the library does by itself, every page that was read stays resident while one tensor
    still points into its file: a 4-bit model would hold the whole 16-bit file by its embedding.

    Raises:
        EngineError: a file is no safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    slices: dict[str, Any] = {}
    read = itertools.count(1)
    for file in files:
        try:
            pointer: Any = safe_open(file, framework="pt", device="cpu", backend="pread")
        except (SafetensorError, OSError) as error:
            raise EngineError(f"{file.name} cannot be read: {first_line(error)}") from error
        names = pointer.keys()
        slices.update((name, _Tensor(pointer.get_slice(name), read)) for name in names)
    return slices


_READ_BETWEEN_TRIMS = 16
"""Tensors: what quantising frees between the small blocks that stay would add up to 16 MB of holes in smollm2, and
giving it back takes a few milliseconds."""


class _Tensor:
    """A tensor in its file, as `safe_open` gives it; the heap is trimmed as the file is read."""

    def __init__(self, stored: Any, read: Iterator[int]) -> None:
        self._stored = stored
        self._read = read

    def __getitem__(self, index: Any) -> Any:
        if next(self._read) % _READ_BETWEEN_TRIMS == 0:
            give_back()
        return self._stored[index]

    def get_dtype(self) -> Any:
        return self._stored.get_dtype()

    def get_shape(self) -> Any:
        return self._stored.get_shape()


def _stated(folder: Path) -> dict[str, Any]:
    try:
        stated = json.loads((folder / CONFIG).read_bytes())
    except (OSError, ValueError) as error:
        raise EngineError(f"{CONFIG} cannot be read: {first_line(error)}") from error
    if not isinstance(stated, dict):
        raise EngineError(f"{CONFIG} does not describe a model.")
    return stated


def _name(stated: dict[str, Any]) -> str:
    return str(stated.get("model_type") or (stated.get("architectures") or ["without a name"])[0])


def _code_beside(stated: dict[str, Any]) -> dict[str, str]:
    """The classes that a config takes from files of its own: auto class → `file.Class`."""
    found = stated.get("auto_map")
    if not isinstance(found, dict):
        return {}
    return {str(key): str(value) for key, value in found.items() if isinstance(value, str)}


def _no_consent(folder: Path, stated: dict[str, Any], beside: dict[str, str]) -> EngineError:
    files = sorted({f"{value.rpartition('--')[2].partition('.')[0]}.py" for value in beside.values()})
    return EngineError(
        f"The architecture {_name(stated)!r} is no part of transformers: loading it runs Python code that came with "
        f"the model ({', '.join(files)} in {folder}).",
        "Read that code, and consent to running it if you trust it (trust_remote_code).",
    )


def _class_beside(reference: str, folder: Path) -> Any:
    from transformers.dynamic_module_utils import get_class_from_dynamic_module

    try:
        return get_class_from_dynamic_module(reference, folder, local_files_only=True)
    except Exception as error:  # whatever that code raises, or a library it lacks
        raise EngineError(f"The model's own code cannot be imported: {first_line(error)}") from error
