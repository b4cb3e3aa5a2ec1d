"""Bytes of weights as transformers holds them, at every precision it can load.

Two figures: what is really held, and what `model.get_memory_footprint()` prints, which counts parameters and
buffers and so leaves out the scales that bitsandbytes keeps beside its packed weights.

Sources: `transformers/quantizers/base.py` (`get_keys_to_not_convert`), `integrations/bitsandbytes.py`
(`replace_with_bnb_linear`), `modeling_utils.py` (`_get_dtype_plan`, `get_memory_footprint`) of transformers 5.24,
`bitsandbytes/functional.py` (`quantize_4bit`, `quantize_blockwise`) and `nn/modules.py` of bitsandbytes 0.50.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from shoestring.models.facts import ModelFacts
from shoestring.planning.base import ComputeDtype, Precision
from shoestring.planning.identity import Identity
from shoestring.planning.transformers.modules import Module, loaded_tensors, modules

BLOCK, NESTED_BLOCK = 64, 256
"""Weights that share a 4-bit scale; scales that share a scale where they are quantised again."""

_CODE_4BIT = 16 * 4  # the sixteen values of nf4 or fp4, a table a module
_CODE_NESTED = 256 * 4  # the 8-bit values of quantised scales, copied for every module
_OFFSET = 4  # the mean of a module's scales, kept apart
_DTYPE_BYTES: dict[str, int] = {"fp32": 4, "bf16": 2, "fp16": 2}

_ROUTER_GATE = (
    "deepseek_v2",
    "deepseek_v3",
    "deepseek_v32",
    "kimi_k2",
    "glm4_moe",
    "glm4_moe_lite",
    "glm_moe_dsa",
)
_MORE_GATES = (
    "exaone_moe",
    "ernie4_5_moe",
    "solar_open",
    "nemotron_h",
    "mimo_v2_flash",
    "hy_v3",
    "kimi_linear",
)
_GATE = re.compile(r"(\.gate|\.gate\.weight|e_score_correction_bias)$")
_KEPT_FP32 = {
    **dict.fromkeys((*_ROUTER_GATE, *_MORE_GATES, "dots1", "beam", "axk1"), _GATE),
    "kolibri1": re.compile(r"e_score_correction_bias$"),
    "afmoe": re.compile(r"expert_bias$"),
}
"""`_keep_in_fp32_modules_strict` by architecture: what stays in 32 bits in a model of 16."""
_KEPT_FP32_BESIDE_FP16 = {
    "gpt_oss": re.compile(r"(layernorm|\.norm)$"),
    "rwkv": re.compile(r"time_(decay|first)$"),
}
"""`_keep_in_fp32_modules`: the same, only where the others are fp16."""
_LAST_PARAMETER = {"gemma3n_text": re.compile(r"altup_unembed_projections\.2$")}
"""The library leaves the module of a model's last parameter alone; where that is neither norm nor head."""


@dataclass(frozen=True)
class ModuleBytes:
    """One module in memory.

    Attributes:
        held: every byte: packed weights, scales, code tables, bias.
        footprint: of these what the library counts as parameter or buffer.
        packed: whether its weight is quantised.
    """

    held: int
    footprint: int
    packed: bool = False


def module_bytes(
    module: Module, facts: ModelFacts, precision: Precision, dtype: ComputeDtype, *, on_cpu: bool = False
) -> ModuleBytes:
    """Bytes of one module at a precision.

    Args:
        precision: of the weights; `stored` is for checkpoints that are quantised already (`stored_bytes`).
        dtype: of everything that is not quantised.
        on_cpu: on a processor with AVX512-BF16 bitsandbytes rearranges 4-bit weights at first use: scales
            become bf16 and are no longer quantised themselves (`_convert_weight_packed_for_cpu`).
    """
    plain = _DTYPE_BYTES[dtype] if precision not in _DTYPE_BYTES else _DTYPE_BYTES[precision]
    width = 4 if _kept_fp32(module, facts, plain, precision, dtype) else plain
    bias = module.bias * width
    if not is_quantized(module, facts, precision):
        size = module.parameters * width + bias
        return ModuleBytes(size, size)
    if precision == "int8":
        # One fp32 a row (`SCB`); neither a parameter nor a buffer.
        return ModuleBytes(module.parameters + 4 * module.out_features + bias, module.parameters + bias, True)
    packed = -(-module.parameters // 2)
    scales = scale_bytes(module.parameters, double=precision.endswith("-dq"), packed_for_cpu=on_cpu)
    return ModuleBytes(packed + scales + bias, packed + bias, True)


def scale_bytes(parameters: int, *, double: bool, packed_for_cpu: bool = False) -> int:
    """Bytes of the statistics beside one packed 4-bit matrix.

    One fp32 a block of 64; with double quantisation one byte a block, one fp32 for 256 of those, their mean and a table.
    """
    blocks = -(-parameters // BLOCK)
    if packed_for_cpu:
        return 2 * blocks + _CODE_4BIT
    if not double:
        return 4 * blocks + _CODE_4BIT
    return blocks + 4 * -(-blocks // NESTED_BLOCK) + _OFFSET + _CODE_4BIT + _CODE_NESTED


def is_quantized(module: Module, facts: ModelFacts, precision: Precision) -> bool:
    """Whether bitsandbytes would quantise a module of a model loaded at this precision.

    Linear layers by class; not the head, not what is tied to the embedding, not the last parameter's module, not
    what the model keeps in fp32 by name. Experts fused into one parameter are no linear layers: they stay.
    """
    if precision in _DTYPE_BYTES or precision == "stored" or module.kind != "linear":
        return False
    last = _LAST_PARAMETER.get(facts.architecture)
    return not (last and last.search(module.name))


_MULTIPLIED_BARE = frozenset({"mamba", "falcon_mamba", "jamba"})
"""Their code multiplies with a linear layer's weight without calling the layer (`dt_proj.weight @ …`)."""


def why_not_quantized(architecture: str, precision: Precision) -> str | None:
    """Why bitsandbytes cannot hold an architecture's weights, in a sentence; None where it can."""
    if precision in (*_DTYPE_BYTES, "stored") or architecture not in _MULTIPLIED_BARE:
        return None
    return f"transformers' code for {architecture} takes weights out of their layers, which packed ones do not allow."


def can_pack(rows: int, columns: int) -> bool:
    """Whether bitsandbytes can rearrange a 4-bit matrix for the CPU (`_convert_weight_packed_for_cpu`): rows by 32,
    with whole blocks of scales in each. It stops at others, so the engine has it leave such a model as it is."""
    return rows % 32 == 0 and columns % BLOCK == 0


def sizes(
    facts: ModelFacts, precision: Precision, dtype: ComputeDtype, *, on_cpu: bool = False
) -> Mapping[str, ModuleBytes]:
    """`module_bytes` of every module by name; of a checkpoint that is quantised already, what is stored of it."""
    return _sizes(Identity(facts), precision, dtype, on_cpu)


@lru_cache(maxsize=8)  # some precisions of one model: a plan asks for each again and again
def _sizes(
    key: Identity, precision: Precision, dtype: ComputeDtype, on_cpu: bool
) -> Mapping[str, ModuleBytes]:
    facts = key.facts
    if precision == "stored":
        return {name: ModuleBytes(n, n) for name, n in stored_by_module(facts).items()}
    return {m.name: module_bytes(m, facts, precision, dtype, on_cpu=on_cpu) for m in modules(facts)}


def weights_bytes(
    facts: ModelFacts, precision: Precision, dtype: ComputeDtype, *, on_cpu: bool = False
) -> int:
    """Bytes that a model's weights take, scales and tables included, its buffers not."""
    if precision == "stored":
        return stored_bytes(facts)
    return sum(size.held for size in sizes(facts, precision, dtype, on_cpu=on_cpu).values())


def footprint_bytes(facts: ModelFacts, precision: Precision, dtype: ComputeDtype) -> int:
    """What `get_memory_footprint()` prints: parameters and buffers, the scales of packed weights left out."""
    if precision == "stored":
        return stored_bytes(facts) + buffer_bytes(facts)
    parameters = sum(size.footprint for size in sizes(facts, precision, dtype).values())
    return parameters + buffer_bytes(facts)


def stored_bytes(facts: ModelFacts) -> int:
    """Bytes of an already quantised checkpoint in memory: packed words, scales and zero points as they are stored.

    AWQ, GPTQ, FP8, MXFP4, compressed-tensors and bitsandbytes checkpoints keep in memory what lies in the file;
    what the model has no place for is not loaded, nor a tied head that is stored all the same.
    """
    return sum(t.n_bytes for t in loaded_tensors(facts))


def stored_by_module(facts: ModelFacts) -> dict[str, int]:
    """The same by module; statistics count to the matrix they belong to."""
    owners = [m.name for m in modules(facts)]
    known = set(owners)
    found = dict.fromkeys(owners, 0)
    for tensor in loaded_tensors(facts):
        found[_owner(tensor.name, known)] = found.get(_owner(tensor.name, known), 0) + tensor.n_bytes
    return found


_PACKED_NAME = re.compile(r"_(blocks|scales|bias|scale_inv)$")
_EXPERT = re.compile(r"^(.*\.experts)\.\d+\.(\w+)")


def _owner(name: str, known: set[str]) -> str:
    """The module that a stored tensor belongs to: the longest part of its name that is one."""
    expert = _EXPERT.match(name)
    if expert:
        fused = "gate_up_proj" if expert[2] in ("gate_proj", "up_proj", "w1", "w3") else "down_proj"
        return f"{expert[1]}.{fused}"
    candidate = _PACKED_NAME.sub("", name)
    while candidate not in known and "." in candidate:
        candidate = candidate.rpartition(".")[0]
    return candidate if candidate in known else name


def buffer_bytes(facts: ModelFacts) -> int:
    """Bytes of the model's buffers, which no checkpoint holds: the rotary frequencies, kept twice in fp32.

    One table a model; Gemma 3 has one for sliding and one for full layers, and its embedding a scale. A vision tower
    numbers its patches, Falcon-H1 keeps a multiplier for every channel that a mixer projects to. Llama 4's table of
    the tower's frequencies is not counted (0.2 MB).
    """
    found = modules(facts)
    patches = sum(8 * m.out_features for m in found if m.tower and m.name.endswith(".position_embedding"))
    mixers = (
        [m for m in found if m.name.endswith(".mamba.in_proj")] if facts.architecture == "falcon_h1" else []
    )
    return patches + _rotary_bytes(facts) + sum(2 * m.out_features for m in mixers)


def _rotary_bytes(facts: ModelFacts) -> int:
    dim = rotated_dims(facts)
    if not dim:
        return 0
    tables = 2 if facts.architecture.startswith("gemma3") else 1
    scale = 2 if facts.architecture.startswith("gemma") else 0
    return tables * 2 * 4 * (dim // 2) + scale


def rotated_dims(facts: ModelFacts) -> int:
    """Values of one head's query that are rotated; 0 where nothing is."""
    attention = next((layer.attention for layer in facts.layers if layer.attention), None)
    if attention is None or facts.architecture in _WITHOUT_ROTATION:
        return 0
    dim = attention.latent.rope_dim if attention.latent else attention.head_dim_k
    return int(dim * _PARTIAL.get(facts.architecture, 1.0))


_WITHOUT_ROTATION = frozenset({"gpt2", "jamba", "mamba", "mamba2", "falcon_mamba", "opt", "bloom", "mpt"})
_PARTIAL = {
    "phi": 0.4,
    "gpt_neox": 0.25,
    "stablelm": 0.25,
    "qwen3_next": 0.25,
    "bamba": 0.5,
    "glm4": 0.5,
    "glm": 0.5,
}
"""Share of a head that is rotated (`partial_rotary_factor`), where the published models of a family agree."""


def _kept_fp32(
    module: Module, facts: ModelFacts, width: int, precision: Precision, dtype: ComputeDtype
) -> bool:
    if width != 2:
        return False
    pattern = _KEPT_FP32.get(facts.architecture)
    if pattern and pattern.search(module.name):
        return True
    beside = _KEPT_FP32_BESIDE_FP16.get(facts.architecture)
    half = precision == "fp16" or (precision not in _DTYPE_BYTES and dtype == "fp16")
    return bool(half and beside and beside.search(module.name))
