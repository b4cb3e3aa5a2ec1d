"""Which GGML type llama.cpp's quantiser gives each tensor of a file: a "Q4_K_M" is a mixture, not one type.

The rules are those of ggml-org/llama.cpp, `src/llama-quant.cpp` (`tensor_allows_quantization`,
`llama_tensor_get_type`, `tensor_type_fallback`) and, for the two models it treats as "70B", `src/models/*.cpp`.
`benchmarks/type_mix.py` holds them against the quantiser's own dry run.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Protocol, TypeVar

from shoestring.errors import UsageError
from shoestring.models.facts import ModelFacts, TensorInfo
from shoestring.models.gguf.types import TENSOR_TYPES
from shoestring.planning.llama_cpp.type_mix_rules import Matrix, Mixture, matrix, wanted_type

ALIGNMENT = 32
"""Tensor data starts at multiples of this (GGUF_DEFAULT_ALIGNMENT); the quantiser keeps to it whatever came in."""

_NAMED_AFTER = "F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q6_K IQ1_S IQ1_M IQ2_XXS IQ2_XS IQ3_XXS IQ3_S IQ4_NL IQ4_XS TQ1_0 TQ2_0"
_MIXTURES = {
    "Q2_K": ("Q2_K", "Q2_K_S"),
    "Q3_K": ("Q3_K_S", "Q3_K_M", "Q3_K_L"),
    "Q4_K": ("Q4_K_S", "Q4_K_M"),
    "Q5_K": ("Q5_K_S", "Q5_K_M"),
    "IQ2_XS": ("IQ2_S",),
    "IQ2_S": ("IQ2_M",),
    "IQ3_S": ("IQ3_XS", "IQ3_M"),
    "MXFP4": ("MXFP4_MOE",),
}
FILE_TYPES: dict[str, str] = {name: name for name in _NAMED_AFTER.split()} | {
    name: default for default, names in _MIXTURES.items() for name in names
}
"""llama.cpp's file types, each with the tensor type that its rules start from (`llama_ftype_get_default_type`)."""

NEEDS_IMPORTANCE = frozenset(
    {"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M", "IQ3_XXS", "IQ3_XS", "Q2_K_S"}
)
"""File types that the quantiser refuses to make without an importance matrix."""

_FALLBACKS = {
    **dict.fromkeys(("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ4_XS"), "IQ4_NL"),
    **dict.fromkeys(("Q2_K", "Q3_K", "TQ1_0", "TQ2_0"), "Q4_0"),
    "Q4_K": "Q5_0",
    "Q5_K": "Q5_1",
    "Q6_K": "Q8_0",
}
"""What a row that is not whole blocks of 256 is stored in instead; if it is not whole blocks of 32 either, in F16."""

_KEPT = re.compile(
    r"_norm\.weight|ffn_gate_inp\.weight|ffn_gate_tid2eid\.weight|altup|laurel|per_layer_model_proj"
    r"|^position_embd\.weight$|^token_types\.weight$|ssm_conv1d|shortconv\.conv\.weight"
    r"|indexer\.[kq]_proj\.weight|time_mix_first\.weight|time_mix_[wvag][0-2]\.weight"
    r"|time_mix_decay_w[12]\.weight|time_mix_lerp_fused\.weight|attn_rel_b\.weight"
)
"""Matrices that are never quantised: small ones, and those that steer."""

_SIZES = {kind.name: kind for kind in TENSOR_TYPES.values()}
_EXPERTS = re.compile(r"\.ffn_\w+_exps\.weight$")
_BLOCK = re.compile(r"^blk\.(\d+)\.")
_SEVENTY = {"llama": 80, "qwen2": 80, "deci": 80, "olmo": 80, "jais2": 68}
"""Blocks by which llama.cpp knows a "70B" model."""
_ONE_HEAD_COUNT = frozenset({"qwen3next"})
"""Hybrids whose files state heads for all blocks alike; others state none for a block without attention."""


def mixed(facts: ModelFacts, file_type: str, *, importance: bool | None = None) -> tuple[TensorInfo, ...]:
    """The tensors of the file that llama.cpp's quantiser would make of a GGUF model, in its order, laid out.

    Args:
        facts: a model with GGUF's tensor names and shapes.
        file_type: one of `FILE_TYPES`.
        importance: whether an importance matrix is at hand; None: where the type cannot do without.

    Raises:
        UsageError: there is no such type.
    """
    return Quantiser(facts).mixed(file_type, importance=importance)


@dataclass(frozen=True)
class Quantiser:
    """The quantiser with one model before it; what it finds of the model serves for every type."""

    facts: ModelFacts

    def mixed(self, file_type: str, *, importance: bool | None = None) -> tuple[TensorInfo, ...]:
        """As the function of that name."""
        if file_type not in FILE_TYPES:
            raise UsageError(
                f"There is no GGUF type {file_type}.", f"The types are {', '.join(sorted(FILE_TYPES))}."
            )
        rules = replace(
            self._rules,
            file_type=file_type,
            default=FILE_TYPES[file_type],
            importance=file_type in NEEDS_IMPORTANCE if importance is None else importance,
            seen=Counter(),
        )
        typed = [
            (tensor.name, tensor.shape, tensor.dtype if matrix is None else _type_of(matrix, rules))
            for tensor, matrix in zip(self._tensors, self._matrices, strict=True)
        ]
        start = min((tensor.offset_bytes for tensor in self.facts.tensors if tensor.part == 0), default=0)
        return laid_out(typed, start)

    @cached_property
    def _tensors(self) -> list[TensorInfo]:
        return in_order(self.facts.tensors)

    @cached_property
    def _matrices(self) -> list[Matrix | None]:
        """What the rules look at, tensor by tensor; None where the quantiser leaves one as it is."""
        return [matrix(t.name, t.shape) if quantizes(t.name, t.shape) else None for t in self._tensors]

    @cached_property
    def _rules(self) -> Mixture:
        """The rules for this model, of no type yet."""
        heads, kv_heads = _heads(self.facts)
        architecture, names = self.facts.architecture, [tensor.name for tensor in self._tensors]
        return Mixture(
            file_type="",
            default="",
            importance=False,
            architecture=architecture,
            layers=len(self.facts.layers),
            experts=max((t.shape[-1] for t in self._tensors if _EXPERTS.search(t.name)), default=0),
            group=heads // kv_heads if kv_heads else 0,
            seventy=_SEVENTY.get(architecture) == len(self.facts.layers)
            and (architecture != "llama" or heads != kv_heads),
            tied="output.weight" not in names,
            values=sum(1 for name in names if _is_value(name)),
        )


def quantized_bytes(facts: ModelFacts, file_type: str, *, importance: bool | None = None) -> int:
    """Bytes of tensor data (without header and padding) of the file that `mixed` describes.

    Raises:
        UsageError: as `mixed`.
    """
    return sum(tensor.n_bytes for tensor in mixed(facts, file_type, importance=importance))


@lru_cache(maxsize=1024)  # blocks repeat each other's shapes
def stored_bytes(shape: tuple[int, ...], dtype: str) -> int:
    """Bytes of a tensor's data: rows of `shape[0]` values, each in whole blocks of the GGML type."""
    kind = _SIZES[dtype]
    rows = 1
    for n in shape[1:]:
        rows *= n
    return rows * (shape[0] // kind.block_size * kind.block_bytes)


class Named(Protocol):
    """A tensor by name and shape."""

    @property
    def name(self) -> str: ...

    @property
    def shape(self) -> tuple[int, ...]: ...


T = TypeVar("T", bound=Named)


def in_order(tensors: Iterable[T]) -> list[T]:
    """As the quantiser writes them: what belongs to no block first, then block by block, each by name."""
    return sorted(tensors, key=lambda tensor: (_block(tensor.name), tensor.name))


def laid_out(typed: Iterable[tuple[str, tuple[int, ...], str]], start: int) -> tuple[TensorInfo, ...]:
    """Tensors (name, shape, type) one after the other from the byte `start` on, each at a multiple of 32."""
    placed = []
    at = padded(start)
    for name, shape, dtype in typed:
        n_bytes = stored_bytes(shape, dtype)
        placed.append(TensorInfo(name, shape, dtype, n_bytes, at))
        at += padded(n_bytes)
    return tuple(placed)


def padded(n_bytes: int) -> int:
    """Rounded up to GGUF's alignment."""
    return -(-n_bytes // ALIGNMENT) * ALIGNMENT


def quantizes(name: str, shape: Sequence[int]) -> bool:
    """Whether the quantiser may change a tensor's type at all (`tensor_allows_quantization`)."""
    return any(n > 1 for n in shape[1:]) and name.endswith("weight") and not _KEPT.search(name)


def _block(name: str) -> int:
    found = _BLOCK.match(name)
    return int(found[1]) if found else -1


def _is_value(name: str) -> bool:
    return any(part in name for part in ("attn_v.weight", "attn_qkv.weight", "attn_kv_b.weight"))


def _heads(facts: ModelFacts) -> tuple[int, int]:
    """Query and key-value heads of the first block; latent attention whose keys are absorbed has one of the latter.

    Where the facts have no attention, their ratio follows from the shapes.
    """
    shapes = {tensor.name: tensor.shape for tensor in facts.tensors}
    known = (layer.attention for layer in facts.layers)
    attention = next(known, None)
    if attention is None and facts.architecture in _ONE_HEAD_COUNT:
        attention = next(filter(None, known), None)
    if attention is not None:
        return attention.heads, 1 if "blk.0.attn_k_b.weight" in shapes else attention.kv_heads
    query, key = shapes.get("blk.0.attn_q.weight"), shapes.get("blk.0.attn_k.weight")
    return (query[-1], key[-1]) if query and key else (0, 0)


def _type_of(tensor: Matrix, rules: Mixture) -> str:
    if rules.default in ("F32", "F16", "BF16"):
        return rules.default
    wanted = wanted_type(tensor, rules, _SIZES[rules.default].block_size)
    if tensor.shape[0] % _SIZES[wanted].block_size == 0:
        return wanted
    other = _FALLBACKS.get(wanted, wanted)
    return other if tensor.shape[0] % _SIZES[other].block_size == 0 else "F16"
