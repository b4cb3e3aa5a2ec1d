"""The mixing rules themselves: what type a tensor is given by its role, before its shape has a say.

From `llama_tensor_get_type_impl` in ggml-org/llama.cpp, `src/llama-quant.cpp`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

_BLOCK = re.compile(r"^blk\.(\d+)\.")

_VERY_LOW = frozenset({"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M"})
_WIDER_LOW = frozenset({"IQ2_S", "IQ2_M"})

_ROLES = (
    ("values", ("attn_qkv.weight", "attn_kv_b.weight", "attn_v.weight")),
    ("keys", ("attn_k.weight",)),
    ("queries", ("attn_q.weight",)),
    ("attention_output", ("attn_output.weight",)),
    ("up", ("ffn_up",)),
    ("gate", ("ffn_gate",)),
    ("down", ("ffn_down",)),
)
_EMBEDDINGS = ("token_embd.weight", "per_layer_token_embd.weight")


class Matrix(NamedTuple):
    """What the rules look at of one tensor: its role, its block (None: outside of all) and its shape."""

    role: str
    block: int | None
    shape: tuple[int, ...]


def matrix(name: str, shape: tuple[int, ...]) -> Matrix:
    """The same, found by a tensor's name."""
    found = _BLOCK.match(name)
    return Matrix(_role(name), int(found[1]) if found else None, shape)


@dataclass
class Mixture:
    """What the rules look at, and how far they have come.

    Attributes:
        file_type, default: the file type and the tensor type it starts from.
        importance: whether there is an importance matrix.
        architecture, layers: of the model.
        experts: in a block; 0 without.
        group: query heads to a key-value head in the first block; 0 where it has no attention.
        seventy: whether llama.cpp calls it a 70B model.
        tied: whether the file has no head of its own.
        values: tensors in the role of attention values.
        seen: tensors of each role so far: llama.cpp takes their number for the block's.
    """

    file_type: str
    default: str
    importance: bool
    architecture: str
    layers: int
    experts: int
    group: int
    seventy: bool
    tied: bool
    values: int
    seen: Counter[str] = field(default_factory=Counter)

    @property
    def falcon(self) -> bool:
        return self.architecture == "falcon"

    def more_bits(self, i: int, n: int) -> bool:
        """The first and last eighth, and every third between."""
        return i < n // 8 or i >= 7 * n // 8 or (i - n // 8) % 3 == 2


def wanted_type(tensor: Matrix, rules: Mixture, block: int) -> str:
    """The type that a tensor's role gives it; counts the role as seen. `block`: values in the default's block."""
    role = tensor.role
    if role == "head" or (role == "embedding" and rules.tied):
        return _head(tensor, rules, block)
    if rules.file_type == "MXFP4_MOE":
        return "MXFP4" if len(tensor.shape) > 2 and tensor.shape[2] > 1 else "Q8_0"
    if role == "embedding":
        return _EMBEDDING.get(rules.file_type, rules.default)
    rule = (_LOW_RULES if rules.file_type in _VERY_LOW else _RULES).get(role)
    if rule is None:
        return rules.default
    i = _place(tensor, rules)
    rules.seen[role] += 1
    return rule(rules, i) or rules.default


def _role(name: str) -> str:
    if name == "output.weight":
        return "head"
    if name in _EMBEDDINGS:
        return "embedding"
    return next((role for role, parts in _ROLES if any(part in name for part in parts)), "other")


def _place(tensor: Matrix, rules: Mixture) -> int:
    """Which of its role a tensor is. In a mixture of experts feed-forwards go by their block's number."""
    by_block = (
        rules.experts > 1 and tensor.role in ("up", "gate", "down") and rules.file_type not in _VERY_LOW
    )
    return tensor.block if by_block and tensor.block is not None else rules.seen[tensor.role]


_EMBEDDING = {
    **dict.fromkeys(("IQ2_XXS", "IQ2_XS", "IQ1_S", "IQ1_M"), "Q2_K"),
    **dict.fromkeys(("IQ2_S", "IQ2_M", "IQ3_XXS"), "IQ3_S"),
    **dict.fromkeys(("TQ1_0", "TQ2_0"), "Q4_K"),
}


def _head(tensor: Matrix, rules: Mixture, block: int) -> str:
    if rules.file_type == "MXFP4_MOE" or rules.falcon or tensor.shape[0] % block:
        return "Q8_0"
    if rules.file_type in _VERY_LOW or rules.file_type == "IQ3_XXS":
        return "Q5_K"
    return "Q8_0" if rules.default == "Q8_0" else "Q6_K"


def _low_values(rules: Mixture, _: int) -> str | None:
    if rules.group >= 4 or rules.experts >= 4:
        return "Q4_K"
    return "IQ3_S" if rules.file_type in _WIDER_LOW else "Q2_K"


def _low_keys(rules: Mixture, _: int) -> str | None:
    return "Q4_K" if rules.experts == 8 else None


def _low_down(rules: Mixture, i: int) -> str | None:
    if i >= rules.layers // 8:
        return None
    return "IQ3_S" if rules.file_type in _WIDER_LOW else "Q2_K"


def _low_output(rules: Mixture, _: int) -> str | None:
    if rules.experts == 8:
        return "Q5_K"
    if rules.file_type in ("IQ1_S", "IQ1_M"):
        return "IQ2_XXS"
    return "IQ3_S" if rules.file_type in _WIDER_LOW else None


def _values(rules: Mixture, i: int) -> str | None:
    if rules.experts == 8:
        return "Q8_0"
    found = _values_by_type(rules, i) or rules.default
    return "Q5_K" if rules.seventy and found in ("Q3_K", "Q4_K") else found


def _values_by_type(rules: Mixture, i: int) -> str | None:
    grouped = rules.group >= 4
    match rules.file_type:
        case "Q2_K":
            return "Q4_K" if grouped else "Q3_K"
        case "Q2_K_S" | "IQ3_XS" | "IQ3_S":
            return "Q4_K" if grouped else None
        case "IQ3_XXS":
            return "Q4_K" if grouped else "IQ3_XXS" if rules.importance else "IQ3_S"
        case "IQ3_M":
            return "Q4_K"
        case "Q3_K_M":
            return "Q5_K" if i < 2 else "Q4_K"
        case "Q3_K_L":
            return "Q5_K"
        case "IQ4_NL" | "IQ4_XS":
            return "Q5_K" if grouped else None
        case "Q4_K_M" | "Q5_K_M":
            return "Q6_K" if rules.more_bits(i, rules.values) else None
        case "Q4_K_S":
            return "Q5_K" if i < 4 else None
    return None


def _keys(rules: Mixture, i: int) -> str | None:
    return "Q8_0" if rules.experts == 8 else _queries(rules, i)


def _queries(rules: Mixture, _: int) -> str | None:
    return {"IQ3_XS": "IQ3_XXS", "IQ3_XXS": "IQ2_S"}.get(rules.file_type)


def _down(rules: Mixture, i: int) -> str | None:
    n = rules.layers
    early, more = i < n // 8, rules.more_bits(i, n)
    match rules.file_type:
        case "Q2_K":
            return "Q3_K"
        case "Q2_K_S":
            return "Q4_K" if early else None
        case "IQ3_XXS" if not rules.importance:
            return "Q4_K" if early else "Q3_K"
        case "Q3_K_M":
            return "Q5_K" if i < n // 16 else "Q4_K" if more or not rules.falcon else "Q3_K"
        case "IQ3_M":
            return "Q4_K" if early or (rules.experts == 8 and more) else None
        case "Q3_K_L":
            return "Q4_K" if rules.falcon else "Q5_K"
        case "Q4_K_M" if rules.falcon:
            return "Q6_K" if i < n // 16 else "Q5_K" if more else None
        case "Q4_K_M" | "Q5_K_M":
            return "Q6_K" if more else None
        case "IQ4_NL" | "IQ4_XS":
            return "Q5_K" if early and not rules.importance else None
        case "Q4_K_S":
            return "Q5_K" if early and not rules.falcon else None
        case "Q4_0" | "Q5_0":
            return f"{rules.default[:3]}1" if early and rules.importance else None
    return None


_EIGHT_EXPERTS_OUTPUT = frozenset(
    {
        *("Q2_K", "IQ3_XS", "IQ3_XXS", "Q3_K_S", "Q3_K_M", "IQ4_NL", "Q4_K_S", "Q4_K_M", "IQ3_S", "IQ3_M"),
        "IQ4_XS",
    }
)
_OUTPUT = {"Q2_K": "Q3_K", "IQ3_XXS": "IQ3_S", "Q3_K_M": "Q4_K", "Q3_K_L": "Q5_K", "IQ3_M": "Q4_K"}


def _attention_output(rules: Mixture, _: int) -> str | None:
    if rules.falcon:
        return "Q4_K" if rules.file_type == "Q3_K_L" else None
    if rules.experts == 8:
        return "Q5_K" if rules.file_type in _EIGHT_EXPERTS_OUTPUT else None
    return _OUTPUT.get(rules.file_type)


def _up(rules: Mixture, i: int) -> str | None:
    n = rules.layers
    return "IQ3_XXS" if rules.file_type == "IQ3_XS" and n // 8 <= i < 7 * n // 8 else None


_Rule = Callable[[Mixture, int], str | None]
_LOW_RULES: dict[str, _Rule] = {
    "values": _low_values,
    "keys": _low_keys,
    "down": _low_down,
    "attention_output": _low_output,
}
_RULES: dict[str, _Rule] = {
    "values": _values,
    "keys": _keys,
    "queries": _queries,
    "down": _down,
    "attention_output": _attention_output,
    "up": _up,
    "gate": _up,
}
