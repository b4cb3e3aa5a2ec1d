"""Precisions by name: which engine knows them, and how they rank in quality.

The rank is bits a weight, the scales counted in: an order to choose by where nothing was measured, not a measure of
quality. GGUF's mixed types have the average that llama.cpp's own table gives for an 8B model (tools/quantize/README.md).
"""

from __future__ import annotations

from typing import get_args

from shoestring.errors import UsageError
from shoestring.planning.base import Precision

TRANSFORMERS: dict[str, float] = {
    "fp32": 32.0,
    "bf16": 16.0,
    "fp16": 16.0,
    "int8": 8.0,
    "nf4": 4.5,
    "nf4-dq": 4.13,
    "fp4": 4.5,
    "fp4-dq": 4.13,
}
"""bitsandbytes: block 64 with an fp32 scale, 0.5 bits a weight more; nested, 0.127 (arXiv:2305.14314, section 3)."""

GGUF: dict[str, float] = {
    "F32": 32.0,
    "BF16": 16.0,
    "F16": 16.0,
    "Q8_0": 8.5,
    "Q6_K": 6.56,
    "Q5_K_M": 5.70,
    "Q5_K_S": 5.57,
    "Q5_1": 6.0,
    "Q5_0": 5.5,
    "Q4_K_M": 4.89,
    "Q4_K_S": 4.67,
    "Q4_1": 5.0,
    "Q4_0": 4.5,
    "IQ4_NL": 4.68,
    "IQ4_XS": 4.46,
    "MXFP4": 4.25,
    "Q3_K_L": 4.30,
    "Q3_K_M": 4.00,
    "Q3_K_S": 3.64,
    "IQ3_M": 3.76,
    "IQ3_S": 3.66,
    "IQ3_XS": 3.50,
    "IQ3_XXS": 3.25,
    "Q2_K": 3.16,
    "Q2_K_S": 2.97,
    "IQ2_M": 2.93,
    "IQ2_S": 2.74,
    "IQ2_XS": 2.59,
    "IQ2_XXS": 2.38,
    "IQ1_M": 2.15,
    "IQ1_S": 2.00,
    "TQ2_0": 2.06,
    "TQ1_0": 1.69,
}

LAST_GGUF = ("Q3_K_M", "Q2_K")
"""Types that cost much quality: offered where nothing better fits."""

OFFERED_GGUF = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M")
"""Types that are planned for a model nobody has converted yet, where the user names none."""

_ALIASES = {
    "f32": "fp32",
    "f16": "fp16",
    "float32": "fp32",
    "float16": "fp16",
    "bfloat16": "bf16",
    "8bit": "int8",
}
_MEANT = {
    "4bit": "nf4",
    "int4": "nf4",
    "q4": "Q4_K_M",
    "q8": "Q8_0",
}  # what people say, of which there are several
_AS_GGUF = {"fp32": "F32", "bf16": "BF16", "fp16": "F16"}


def known(name: str) -> str:
    """A precision's proper name, whatever its capitals, or by another name that people use.

    Exactly as written `F16`, `BF16` and `F32` are GGUF's types; with any other capitals they are transformers'.

    Raises:
        UsageError: there is no such precision; the hint has the nearest ones.
    """
    if name in TRANSFORMERS or name in GGUF:
        return name
    names = {known.casefold(): known for table in (GGUF, TRANSFORMERS) for known in table} | _ALIASES
    folded = name.strip().casefold()
    if folded in names:
        return names[folded]
    import difflib

    near = (
        [_MEANT[folded]]
        if folded in _MEANT
        else [names[word] for word in difflib.get_close_matches(folded, list(names), n=3, cutoff=0.5)]
    )
    raise UsageError(
        f"There is no precision {name!r}.",
        f"Did you mean {' or '.join(dict.fromkeys(near))}?"
        if near
        else f"There are {', '.join((*TRANSFORMERS, *GGUF))}.",
    )


def as_transformers(name: str) -> Precision | None:
    """The name as transformers' settings take it; None where it is a GGUF type."""
    return next((precision for precision in get_args(Precision) if precision == name), None)


def as_gguf(name: str) -> str:
    """The GGUF type that a precision is for llama.cpp: `bf16` is its `BF16`; others as they are."""
    return _AS_GGUF.get(name, name)


def bits(name: str) -> float | None:
    """Bits a weight, to rank by; None for a name that is in no table (a quantised checkpoint's own)."""
    return TRANSFORMERS.get(name) or GGUF.get(name) or GGUF.get(f"{name}_M")
