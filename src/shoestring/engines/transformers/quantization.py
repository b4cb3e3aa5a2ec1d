"""How weights are held: what the library is told, and what it needs for it."""

from __future__ import annotations

from typing import Any

from shoestring.errors import EngineError
from shoestring.planning.base import ComputeDtype, TransformersSettings

DTYPE_NAMES: dict[ComputeDtype, str] = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
PLAIN = frozenset(DTYPE_NAMES)
INSTALL = "Install it: pip install 'shoestring[transformers]'"

_PACKAGE_OF = {
    "awq": ("gptqmodel", "gptqmodel"),
    "gptq": ("gptqmodel", "gptqmodel"),
    "compressed-tensors": ("compressed_tensors", "compressed-tensors"),
    "bitsandbytes": ("bitsandbytes", "bitsandbytes"),
    "hqq": ("hqq", "hqq"),
    "quanto": ("optimum.quanto", "optimum-quanto"),
    "torchao": ("torchao", "torchao"),
    "eetq": ("eetq", "eetq"),
    "aqlm": ("aqlm", "aqlm"),
    "vptq": ("vptq", "vptq"),
    "higgs": ("flute", "flute-kernel"),
}
"""Of each method, what has to be importable, and what pip calls it (`transformers/quantizers/quantizer_*.py`)."""


def dtype_of(settings: TransformersSettings) -> Any:
    """The torch dtype of what is not quantised."""
    import torch

    name = settings.precision if settings.precision in PLAIN else settings.compute_dtype
    return getattr(torch, DTYPE_NAMES[name])


def quantization_config(settings: TransformersSettings) -> Any:
    """What from_pretrained is told about quantising; None where it quantises nothing.

    Raises:
        EngineError: bitsandbytes is missing.
    """
    if settings.precision in PLAIN or settings.precision == "stored":
        return None
    import_or_explain("bitsandbytes", "bitsandbytes", f"{settings.precision} weights")
    from transformers import BitsAndBytesConfig

    if settings.precision == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    kind, _, double = settings.precision.partition("-")
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=kind,
        bnb_4bit_use_double_quant=bool(double),
        bnb_4bit_compute_dtype=dtype_of(settings),
    )


def settle(config: Any, settings: TransformersSettings) -> None:
    """Make the config of a checkpoint and the settings agree on how its weights are stored.

    Raises:
        EngineError: a checkpoint that is quantised is asked for at another precision, or the other way round; the
            library that unpacks it is missing.
    """
    stored = _stored(config)
    if stored is None:
        if settings.precision == "stored":
            raise EngineError("This checkpoint is not quantised, so there is no stored precision to keep.")
        return
    method = str(stored.get("quant_method") or ("bitsandbytes" if _is_bitsandbytes(stored) else "unknown"))
    if settings.precision != "stored":
        raise EngineError(
            f"This checkpoint is quantised already ({method}) and cannot be loaded as {settings.precision}.",
            "Leave the precision open, or take the original checkpoint.",
        )
    module, package = _PACKAGE_OF.get(method, (None, method))
    if module is not None:
        import_or_explain(module, package, f"{method} weights")
    if _is_bitsandbytes(stored) and stored.get("load_in_4bit"):
        # What the weights are multiplied in is this device's affair, not that of the machine they were made on.
        stored["bnb_4bit_compute_dtype"] = DTYPE_NAMES[settings.compute_dtype]
    config.quantization_config = stored


def import_or_explain(module: str, package: str, what: str) -> None:
    """Import a library that only some models need.

    Raises:
        EngineError: it is missing, or does not work here.
    """
    import importlib

    try:
        importlib.import_module(module)
    except ImportError as error:
        if (error.name or "").partition(".")[0] != module.partition(".")[0]:
            raise EngineError(f"{package} does not work here: {error}.") from error
        hint = INSTALL if package == "bitsandbytes" else f"Install it: pip install {package}"
        raise EngineError(f"{what} need {package}, which is not installed.", hint) from error


def _stored(config: Any) -> dict[str, Any] | None:
    found = getattr(config, "quantization_config", None)
    if found is None:
        return None
    return dict(found if isinstance(found, dict) else found.to_dict())


def _is_bitsandbytes(stored: dict[str, Any]) -> bool:
    return stored.get("quant_method") == "bitsandbytes" or bool(
        stored.get("load_in_4bit") or stored.get("load_in_8bit")
    )
