"""A checkpoint becomes a model: read tensor by tensor, quantised as they arrive, never held twice."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoestring.engines.base import LoadReport
from shoestring.engines.transformers import checkpoint, devices
from shoestring.engines.transformers.failures import as_our_error
from shoestring.engines.transformers.heap import give_back
from shoestring.engines.transformers.held import offloaded
from shoestring.engines.transformers.quantization import dtype_of, quantization_config, settle
from shoestring.engines.transformers.quiet import quietly
from shoestring.engines.transformers.report import report
from shoestring.errors import EngineError, OutOfMemoryError
from shoestring.planning.base import DISK, TransformersSettings
from shoestring.planning.transformers.modules import tower
from shoestring.planning.transformers.weights import can_pack, why_not_quantized

OFFLOAD = "offload"
_NAMES_SHOWN = 3


@dataclass(frozen=True)
class Loaded:
    """A model in evaluation mode with its tokenizer, and what loading them brought.

    Attributes:
        settings: what it was really loaded with; of a plan for a GPU that lacks bf16 that is another dtype.
    """

    model: Any
    tokenizer: Any
    settings: TransformersSettings
    report: LoadReport


def load(files: Sequence[Path], settings: TransformersSettings, scratch: Path) -> Loaded:
    """Load a checkpoint; its config and tokenizer lie beside the first of its files.

    Args:
        scratch: a private folder; what a plan leaves on the disk is written there, in the dtype it is computed in.

    Raises:
        EngineError: the checkpoint does not make a model with these settings.
        OutOfMemoryError: a device had no memory left for it.
    """
    with quietly() as said:
        try:
            return _load(files, settings, scratch, said)
        except EngineError:
            raise
        except Exception as error:  # noqa: BLE001  (a library's own code raises whatever it likes)
            failure = as_our_error(error, "loading the model")
        raise failure


def _load(files: Sequence[Path], settings: TransformersSettings, scratch: Path, said: list[str]) -> Loaded:
    import torch

    settings, notes = devices.checked(settings, devices.visible_gpus() if devices.gpus_of(settings) else ())
    torch.set_num_threads(settings.threads)
    folder = files[0].parent
    config = checkpoint.read_config(folder, own_code=settings.trust_remote_code)
    start = time.perf_counter()
    tokenizer = checkpoint.read_tokenizer(folder, own_code=checkpoint.is_own(config))
    give_back()
    middle = time.perf_counter()
    model = _read_model(config, files, settings, scratch, said)
    give_back()
    end = time.perf_counter()
    told = report(
        model,
        devices.gpus_of(settings),
        tokenizer_s=middle - start,
        weights_s=end - middle,
        notes=notes,
    )
    return Loaded(model, tokenizer, settings, told)


def _read_model(
    config: Any, files: Sequence[Path], settings: TransformersSettings, scratch: Path, said: list[str]
) -> Any:
    settle(config, settings)
    refused = why_not_quantized(config.get_text_config().model_type, settings.precision)
    if refused:
        raise EngineError(
            f"This model cannot be loaded as {settings.precision}: {refused}", "Load it in 16 bits."
        )
    model_class, config = checkpoint.class_of(config, files[0].parent)
    options: dict[str, Any] = {
        "dtype": dtype_of(settings),
        "attn_implementation": _attention(model_class, config, settings),
        "quantization_config": quantization_config(settings),
        "generation_config": checkpoint.read_generation_config(files[0].parent),
    }
    if settings.device_map:
        options["device_map"] = _device_map(model_class, config, settings)
        if DISK in options["device_map"].values():
            folder = scratch / OFFLOAD
            folder.mkdir(mode=0o700, exist_ok=True)
            options["offload_folder"] = folder
    try:
        model, info = model_class.from_pretrained(
            None,
            config=config,
            state_dict=checkpoint.tensors(files),
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # looked at below, with names
            **options,
        )
    except RuntimeError as error:
        raise _conversion_error(said) or error from None
    _refuse_incomplete(info, type(model).__name__)
    _tie_on_disk(model)
    leave_unpacked_where_needed(model)
    return model


def _attention(model_class: Any, config: Any, settings: TransformersSettings) -> str:
    from importlib.util import find_spec

    return devices.attention_for(
        settings.attention,
        attends=hasattr(config.get_text_config(), "num_attention_heads"),
        has_sdpa=bool(getattr(model_class, "_supports_sdpa", True)),
        has_flash=bool(getattr(model_class, "_supports_flash_attn", False)),
        installed=find_spec("flash_attn") is not None,
    )


def _device_map(model_class: Any, config: Any, settings: TransformersSettings) -> dict[str, devices.Place]:
    """The plan's places as accelerate takes them, by the names of the real class: built once without memory."""
    import torch

    with torch.device("meta"):
        empty = model_class(config)
    places = devices.places_of(
        settings.device_map,
        [name for name, _ in empty.named_parameters(remove_duplicate=False)],
        [name for name, _ in empty.named_buffers()],
        getattr(empty, "all_tied_weights_keys", {}),
    )
    return devices.by_module(places)


def leave_unpacked_where_needed(model: Any) -> None:
    """Keep bitsandbytes from rearranging 4-bit weights for this CPU where a matrix has a shape at which it stops."""
    layers = [
        m for name, m in model.named_modules() if type(m).__name__ == "Linear4bit" and tower(name) is None
    ]
    if not all(can_pack(layer.out_features, layer.in_features) for layer in layers):
        for layer in layers:
            layer.support_avx512bf16_for_cpu = False


def _tie_on_disk(model: Any) -> None:
    """Let a head that is the embedding be found where that lies on the disk: the library writes it under one name."""
    for other, name in getattr(model, "all_tied_weights_keys", {}).items():
        for loader in offloaded(model):
            if name in loader.index and other not in loader.index:
                loader.index[other] = loader.index[name]


def _refuse_incomplete(info: dict[str, Any], name: str) -> None:
    """A model with weights that were made up answers with garbage, so there is none."""
    mismatched = [
        f"{key} {tuple(stored)} instead of {tuple(wanted)}" for key, stored, wanted in info["mismatched_keys"]
    ]
    if mismatched:
        raise EngineError(
            f"Tensors of this checkpoint have another shape than {name} needs: {_some(mismatched)}."
        )
    if info["missing_keys"]:
        raise EngineError(
            f"This checkpoint lacks weights that {name} needs: {_some(sorted(info['missing_keys']))}.",
            "Files of it may be missing; fetch it again.",
        )
    if info["unexpected_keys"]:
        raise EngineError(
            f"This checkpoint has weights that {name} has no place for: {_some(sorted(info['unexpected_keys']))}.",
            "A newer version of transformers may know them.",
        )


def _conversion_error(said: Sequence[str]) -> EngineError | None:
    """What a weight could not be converted for: the library raises without a reason, which it logs."""
    reports = [line for line in "\n".join(said).splitlines() if "Error" in line or "can't allocate" in line]
    if not reports:
        return None
    if any("can't allocate memory" in line or "OutOfMemoryError" in line for line in reports):
        return OutOfMemoryError("There was not enough memory while loading the model: a tensor had no room.")
    return EngineError(f"A weight could not be converted: {reports[-1].strip()}")


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more:,} more" if more > 0 else "")
