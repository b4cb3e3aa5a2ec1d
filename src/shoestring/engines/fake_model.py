"""A transformers model of any size without its memory: real modules over fake tensors, quantised as when loaded.

From `config.json` alone; no code that lies beside it is ever run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from shoestring.engines.transformers.checkpoint import class_of
from shoestring.engines.transformers.held import is_packed
from shoestring.errors import EngineError
from shoestring.planning.base import Precision, TransformersSettings

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_CPU = "cpu"


def read_config(folder: Path) -> Any:
    """The config of a checkpoint's folder, of a class that transformers itself has.

    Raises:
        EngineError: it has none, or the model's code would have to come from elsewhere.
    """
    from huggingface_hub.errors import StrictDataclassError

    try:
        return transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError, StrictDataclassError) as error:
        raise EngineError(f"transformers does not know this model: {_sentence(error)}") from error


def _sentence(error: Exception) -> str:
    """What a library says, without the advice that follows; of one error that wraps another, the inner."""
    first = str(error.__cause__ or error).strip().partition("\n")[0].partition(". ")[0]
    return f"{first.rstrip('.')}."


def build(config: Any, settings: TransformersSettings, mode: FakeTensorMode) -> Any:
    """The model in evaluation mode, its parameters and buffers fake tensors of `mode` on the CPU.

    Raises:
        EngineError: it cannot be built with these settings.
    """
    dtype = DTYPES[settings.compute_dtype if _is_quantized(settings.precision) else _plain(settings)]
    quantizer = _quantizer(settings.precision, dtype)
    if getattr(config, "quantization_config", None) is not None:
        del config.quantization_config  # the settings' precision rules
    model_class, config = class_of(config)
    attends = hasattr(config.get_text_config(), "num_attention_heads")
    attention = settings.attention if attends else "eager"  # what has none refuses every other name
    try:
        with torch.device("meta"):
            model = model_class._from_config(config, dtype=dtype, attn_implementation=attention)
    except (ValueError, ImportError) as error:
        raise EngineError(f"transformers cannot build this model: {_sentence(error)}") from error
    _keep_in_fp32(model, dtype)
    if quantizer is not None:
        with _default_dtype(dtype):
            quantizer.preprocess_model(model=model, dtype=dtype, device_map={"": _CPU})
    with mode, torch.no_grad():
        _materialize(model)
        _quantize(model, dtype)
    return model.eval()


def _plain(settings: TransformersSettings) -> str:
    if settings.precision not in DTYPES:
        raise EngineError(
            f"A dry run of {settings.precision} weights is not possible.",
            "Plan by formula, or name the precision: fp32, bf16, fp16, int8, nf4 or fp4.",
        )
    return settings.precision


def _is_quantized(precision: Precision) -> bool:
    return precision == "int8" or precision.startswith(("nf4", "fp4"))


def _quantizer(precision: Precision, dtype: torch.dtype) -> Any:
    if not _is_quantized(precision):
        return None
    from transformers.quantizers import AutoHfQuantizer

    if precision == "int8":
        config = transformers.BitsAndBytesConfig(load_in_8bit=True)
    else:
        config = transformers.BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=precision[:3],
            bnb_4bit_use_double_quant=precision.endswith("-dq"),
            bnb_4bit_compute_dtype=dtype,
        )
    return AutoHfQuantizer.from_config(config, pre_quantized=False)


def _keep_in_fp32(model: Any, dtype: torch.dtype) -> None:
    """The modules that transformers keeps in fp32 whatever the dtype (`_get_dtype_plan`; globs of names)."""
    from transformers.core_model_loading import build_glob_alternation

    plan = model._get_dtype_plan(dtype)
    if not plan:
        return
    pattern, _ = build_glob_alternation(list(plan))[:2]
    for name, parameter in model.named_parameters():
        if pattern.search(name):
            parameter.data = parameter.data.to(torch.float32)


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _materialize(model: nn.Module) -> None:
    """Fake tensors on the CPU in place of those on the meta device; what was tied stays tied."""
    made: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def fake(tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) not in made:
            new = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=_CPU)
            if isinstance(tensor, nn.Parameter):
                new = nn.Parameter(new, requires_grad=False)
            made[id(tensor)] = (tensor, new)  # the old one is kept: its id must not be used again
        return made[id(tensor)][1]

    for module in model.modules():
        for held in (module._parameters, module._buffers):
            for name, tensor in held.items():
                if tensor is not None and not (name == "weight" and is_packed(module)):
                    held[name] = fake(tensor)


def _quantize(model: nn.Module, dtype: torch.dtype) -> None:
    """As bitsandbytes does with each weight once transformers has read it.

    Its own parameter classes cannot hold a fake tensor, so a plain parameter carries their attributes.
    """
    packed = [module for module in model.modules() if is_packed(module)]
    with _fake_code() if packed else nullcontext():
        for module in packed:
            old = module._parameters["weight"]
            value = torch.empty(old.shape, dtype=dtype, device=_CPU)
            pack = _eight_bits if type(module).__name__ == "Linear8bitLt" else _four_bits
            module._parameters["weight"] = pack(value, old)


@contextmanager
def _fake_code() -> Iterator[None]:
    """bitsandbytes computes the code of its scales from numbers, once; fake tensors have none."""
    from bitsandbytes.functional import name2qmap

    before = name2qmap.get("dynamic")
    name2qmap["dynamic"] = torch.empty(256, device=_CPU)
    try:
        yield
    finally:
        del name2qmap["dynamic"]
        if before is not None:
            name2qmap["dynamic"] = before


def _four_bits(value: torch.Tensor, old: Any) -> nn.Parameter:
    from bitsandbytes.functional import quantize_4bit

    data, state = quantize_4bit(
        value,
        blocksize=old.blocksize,
        compress_statistics=old.compress_statistics,
        quant_type=old.quant_type,
        quant_storage=old.quant_storage,
    )
    return _with(nn.Parameter(data, requires_grad=False), quant_state=state)


def _eight_bits(value: torch.Tensor, old: Any) -> nn.Parameter:
    data = torch.empty(value.shape, dtype=torch.int8, device=_CPU)
    scales = torch.empty(value.shape[0], dtype=torch.float32, device=_CPU)
    return _with(
        nn.Parameter(data, requires_grad=False), CB=data, SCB=scales, has_fp16_weights=old.has_fp16_weights
    )


def _with(parameter: nn.Parameter, **attributes: object) -> nn.Parameter:
    vars(parameter).update(attributes)
    return parameter


def leave_as_on_a_gpu(model: nn.Module) -> None:
    """Keep bitsandbytes from rearranging 4-bit weights, as it does at first use on CPUs with bf16 instructions."""
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
