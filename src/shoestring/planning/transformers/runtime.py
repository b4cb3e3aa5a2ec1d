"""What a transformers worker holds besides weights, cache and activations.

Measured constants, because what an import takes follows from nothing: `benchmarks/bare_transformers.py` prints them
anew with a model of a few kilobytes. They hold for torch 2.13 (CPU build), transformers 5.24 and bitsandbytes 0.50
on x86-64 Linux, for a worker whose environment fixes glibc's mmap threshold and that trims its heap after loading.
"""

from __future__ import annotations

from shoestring.models.facts import ModelFacts, TokenizerFacts
from shoestring.planning.base import TransformersSettings
from shoestring.planning.transformers.modules import Module
from shoestring.planning.transformers.weights import is_quantized, scale_bytes

IMPORTS_BYTES = 363_400_000
"""Interpreter, torch, transformers and what loading a model imports, before anything was computed."""
BITSANDBYTES_BYTES = 48_000_000
"""bitsandbytes, accelerate and what they import, less what the library would have imported anyway."""
KERNELS_BYTES = {"fp32": 7_500_000, "bf16": 15_600_000, "fp16": 15_600_000}
"""First computation: OpenMP's threads, BLAS, generation's modules; in 16 bits oneDNN's code generated for it."""
INT8_KERNELS_BYTES = 15_000_000
FOUR_BIT_KERNELS_BYTES = 12_000_000

MODULE_BYTES = 6_500
"""A torch module with its dicts, its parameter and the parameter's tensor; a llama block has 13 of them."""
QUANTIZED_MODULE_BYTES = 12_000
"""More for one quantised by bitsandbytes: the state, its tensors, the allocator's rounding of small scales."""
_MODULES_WITHOUT_WEIGHT = 4
"""Modules of a block that hold none: the block, attention, feed-forward, activation."""

_STRING = 32  # heap chunk of a string of up to 24 bytes
_ENTRY = 32 + 1  # hash table: a string's three words, an id; one control byte
_MERGE = 16 + 1  # two ids → rank and id; one control byte
_OUTLIER_KERNEL_BYTES, _KERNELS_KEPT = 150_000, 64
"""int8 layers multiply outlier columns apart; oneDNN generates code for every number of them and keeps the last 64
(the worker sets ONEDNN_PRIMITIVE_CACHE_CAPACITY; the default keeps 1024). What smollm2's peaks leave, the same with
one sequence and with four, when its tensors and the other constants are taken off."""
_OWN_PAGES = 128 * 1024
"""A block from here on gets pages of its own from glibc, and gives them back (MALLOC_MMAP_THRESHOLD_)."""
_HOLES_PER_TOKEN, _HOLES_PER_MERGE = 80, 60
"""What reading the JSON leaves between the tables, in holes too small to give back: measured on vocabularies of
50,000 to 250,000 tokens, with and without merges, to 15 %."""


def worker_bytes(settings: TransformersSettings) -> int:
    """Bytes of the idle worker once it has loaded a model of no size and computed with it once."""
    if settings.precision == "int8":
        return IMPORTS_BYTES + BITSANDBYTES_BYTES + INT8_KERNELS_BYTES
    if settings.precision.startswith(("nf4", "fp4")):
        return IMPORTS_BYTES + BITSANDBYTES_BYTES + FOUR_BIT_KERNELS_BYTES
    return IMPORTS_BYTES + KERNELS_BYTES[settings.compute_dtype]


def loading_worker_bytes(settings: TransformersSettings) -> int:
    """The same before the first computation: what lies beside the weights while they are loaded."""
    quantized = settings.precision in ("int8", "nf4", "nf4-dq", "fp4", "fp4-dq")
    return IMPORTS_BYTES + (BITSANDBYTES_BYTES if quantized else 0)


def tokenizer_bytes(tokenizer: TokenizerFacts | None) -> int:
    """Bytes of a fast tokenizer's tables: token → id, id → token, pair → rank (`tokenizers`, `models/bpe`).

    Rust's hash tables double when seven eighths are full; every token's text lies on the heap twice.
    """
    if tokenizer is None:
        return 0
    n, merges = tokenizer.vocab_size, tokenizer.merges
    tables = 2 * (n * _STRING + _slots(n) * _ENTRY) + _slots(merges) * _MERGE
    return tables + n * _HOLES_PER_TOKEN + merges * _HOLES_PER_MERGE


def object_bytes(facts: ModelFacts, found: tuple[Module, ...], quantized: int) -> int:
    """Bytes of the Python objects that the model consists of.

    Args:
        found: its modules with parameters.
        quantized: how many of them bitsandbytes holds.
    """
    count = len(found) + _MODULES_WITHOUT_WEIGHT * len(facts.layers)
    return MODULE_BYTES * count + QUANTIZED_MODULE_BYTES * quantized


def outlier_kernel_bytes(settings: TransformersSettings, quantized: int) -> int:
    """Bytes of code that oneDNN keeps for int8 layers' outliers on a CPU."""
    if settings.precision != "int8":
        return 0
    return min(2 * quantized, _KERNELS_KEPT) * _OUTLIER_KERNEL_BYTES


def repacking_holes(facts: ModelFacts, settings: TransformersSettings, found: tuple[Module, ...]) -> int:
    """Bytes that rearranging 4-bit weights leaves in the heap: old copies too small to have pages of their own."""
    quantized = [m for m in found if is_quantized(m, facts, settings.precision)]
    double = settings.precision.endswith("-dq")
    old = [n for m in quantized for n in (m.parameters // 2, scale_bytes(m.parameters, double=double))]
    return sum(n for n in old if n < _OWN_PAGES)


def _slots(entries: int) -> int:
    """Slots of a hash table with so many entries."""
    return 1 << (max(entries * 8 // 7, 1) - 1).bit_length() if entries else 0
