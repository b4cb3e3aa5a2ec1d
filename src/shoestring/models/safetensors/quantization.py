"""How a checkpoint is quantised already, and how many weights its packed tensors stand for.

From transformers' `utils/quantization_config.py` (the keys) and the libraries that write such files (the layouts).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from shoestring.models.facts import QuantizationFacts, TensorInfo
from shoestring.models.safetensors.config import Json, Section

MAX_SKIPPED = 100_000

_STATISTIC = re.compile(
    r"\.(qzeros|scales|g_idx|SCB|weight_format|weight_shape|weight_scale(_inv|_2)?|weight_zero_point|weight_g_idx"
    r"|weight_global_scale|input_(global_)?scale|[kqv]_scale|activation_scale|(gate_up|down)_proj_scales"
    r"|(gate_up|down)_proj_scale(_inv)?|weight\.(absmax|quant_map|nested_absmax|nested_quant_map|quant_state\.\w+))$"
)
_TYPES = frozenset({"nf4", "fp4"})


def read_quantization(config: Section) -> tuple[QuantizationFacts | None, tuple[str, ...]]:
    """What `quantization_config` says, and what of it is not understood, one sentence each.

    Bits are 0 where an unknown method does not state them.

    Raises:
        InvalidModelFileError: a value in it is absurd.
    """
    section = config.section("quantization_config")
    if section is None:
        return None, ()
    method = section.name("quant_method") or _bitsandbytes_of_old(section)
    if method is None:
        raise section.wrong("does not state quant_method")
    read = _READERS.get(method)
    if read is not None:
        return read(section, method)
    facts = QuantizationFacts(
        method, _bits(section, "bits", "nbits", "w_bit") or 0, skipped=_skipped(section)
    )
    return facts, (f"Weights quantised with {method} are packed in a way that this version cannot count.",)


def logical_elements(tensor: TensorInfo, quantization: QuantizationFacts | None) -> int:
    """How many weights of the model a stored tensor stands for: 0 for scales and other statistics.

    Layouts: bitsandbytes packs two 4-bit weights in a byte, AWQ, GPTQ and compressed-tensors 32 / bits in a 32-bit
    word (GPTQ's 3-bit rows: 32 in three words), MXFP4 32 in 16 bytes (`*_blocks`).
    """
    n = tensor.n_elements
    if quantization is None:
        return n
    if _STATISTIC.search(tensor.name):
        return 0
    bits = quantization.bits
    last = tensor.name.rpartition(".")[2]
    if last in ("qweight", "weight_packed") and bits:
        return n * 8 * (tensor.n_bytes // max(n, 1)) // bits
    if last.endswith("_blocks") and tensor.dtype == "U8":
        return 2 * n
    if (
        quantization.method == "bitsandbytes"
        and bits == 4
        and len(tensor.shape) == 2
        and tensor.shape[1] == 1
    ):
        return 2 * tensor.n_bytes  # a column, of bytes or of a wider type (`bnb_4bit_quant_storage`)
    return n


Read = Callable[[Section, str], "tuple[QuantizationFacts, tuple[str, ...]]"]


def _bitsandbytes_of_old(section: Section) -> str | None:
    if section.flag("load_in_4bit", "_load_in_4bit") or section.flag("load_in_8bit", "_load_in_8bit"):
        return "bitsandbytes"
    return None


def _bits(section: Section, *keys: str) -> int | None:
    return section.integer(*keys, most=16)


def _group(section: Section, *keys: str) -> int | None:
    """Weights that share a scale; −1 means a whole row."""
    size = section.integer(*keys, least=-1, most=2**20)
    return size if size is not None and size > 0 else None


def _skipped(section: Section, *keys: str) -> tuple[str, ...]:
    value = section.value(*(keys or ("modules_to_not_convert",)))
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_SKIPPED:
        raise section.wrong("does not list the modules that are not quantised")
    return tuple(name for name in value if isinstance(name, str) and len(name) <= 512)


def _bitsandbytes(section: Section, method: str) -> tuple[QuantizationFacts, tuple[str, ...]]:
    skipped = _skipped(section, "llm_int8_skip_modules")
    if not section.flag("load_in_4bit", "_load_in_4bit"):
        return QuantizationFacts(method, 8, skipped=skipped), ()
    kind = section.name("bnb_4bit_quant_type") or "fp4"
    if kind not in _TYPES:
        raise section.wrong(f"has the unknown bnb_4bit_quant_type {kind}")
    double = section.flag("bnb_4bit_use_double_quant") or False
    return QuantizationFacts(method, 4, 64, kind, double, skipped), ()


def _packed(section: Section, method: str) -> tuple[QuantizationFacts, tuple[str, ...]]:
    bits = _bits(section, "bits", "w_bit") or 4
    if bits not in (2, 3, 4, 8):
        raise section.wrong(f"has {bits} bits, which {method} cannot pack")
    notes: tuple[str, ...] = ()
    if section.value("dynamic"):
        notes = (
            f"This {method} file quantises some layers in another way, which this version does not read.",
        )
    return QuantizationFacts(
        method, bits, _group(section, "group_size", "q_group_size"), skipped=_skipped(section)
    ), notes


def _fp8(section: Section, method: str) -> tuple[QuantizationFacts, tuple[str, ...]]:
    block = section.integers("weight_block_size", least=1, length=2)
    skipped = _skipped(section) or _skipped(section, "ignored_layers")
    facts = QuantizationFacts(method, 8, block[1] if block else None, "e4m3", skipped=skipped)
    if section.name("expert_dtype") == "fp4":
        return facts, ("The experts are packed as 4-bit floats, which this version cannot count.",)
    return facts, ()


def _mxfp4(section: Section, method: str) -> tuple[QuantizationFacts, tuple[str, ...]]:
    return QuantizationFacts(method, 4, 32, "e2m1", skipped=_skipped(section)), ()


def _compressed(section: Section, method: str) -> tuple[QuantizationFacts, tuple[str, ...]]:
    groups = section.section("config_groups")
    weights = [
        scheme
        for key in (groups.values if groups else ())
        if groups and (group := groups.section(key)) and (scheme := group.section("weights"))
    ]
    skipped = _skipped(section, "ignore")
    if not weights:
        what = "This compressed-tensors file does not say how its weights are quantised."
        return QuantizationFacts(method, 0, skipped=skipped), (what,)
    schemes = {(_bits(w, "num_bits") or 8, _group(w, "group_size"), w.name("type")) for w in weights}
    bits, group_size, kind = min(schemes, key=str)
    notes: tuple[str, ...] = ()
    if len({scheme[0] for scheme in schemes}) > 1:
        notes = (
            "Groups of this checkpoint's layers have different bits, which this version cannot tell apart.",
        )
    return QuantizationFacts(method, bits, group_size, kind, skipped=skipped), notes


_READERS: Mapping[str, Read] = {
    "awq": _packed,
    "bitsandbytes": _bitsandbytes,
    "compressed-tensors": _compressed,
    "fbgemm_fp8": _fp8,
    "fp8": _fp8,
    "gptq": _packed,
    "mxfp4": _mxfp4,
}

DTYPES: Mapping[str, str] = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}


def stated_dtype(*sections: Section | None) -> str | None:
    """The precision that a config states, in our words; None where it states none of ours."""
    for section in sections:
        value: Json = section.value("dtype", "torch_dtype") if section else None
        if isinstance(value, str):
            return DTYPES.get(value.removeprefix("torch."))
    return None
