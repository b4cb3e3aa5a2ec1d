"""What a transformers worker holds besides weights, cache and activations.

Measured constants, because what an import takes follows from nothing: `benchmarks/bare_transformers.py` prints them
anew with a model of a few kilobytes. They hold for torch 2.13 (CPU build), transformers 5.24 and bitsandbytes 0.50
on x86-64 Linux, for a worker with the environment of `engines/environments.py` that trims its heap as it loads.
"""

from __future__ import annotations

from shoestring.models.facts import ModelFacts, TokenizerFacts
from shoestring.planning.base import TransformersSettings
from shoestring.planning.transformers.modules import Module
from shoestring.planning.transformers.weights import is_quantized, scale_bytes

IMPORTS_BYTES = 363_400_000
"""Interpreter, torch, transformers and what loading a model imports, before anything was computed."""
BITSANDBYTES_BYTES = {"int8": 5_100_000, "4-bit": 7_200_000}
"""bitsandbytes and what it imports, beside what the library imports anyway; the kernels that quantise."""
KERNELS_BYTES = {"fp32": 8_400_000, "bf16": 16_200_000, "fp16": 16_200_000}
"""First computation: OpenMP's threads, BLAS; in 16 bits oneDNN's code generated for it."""
INT8_KERNELS_BYTES = 15_300_000
FOUR_BIT_KERNELS_BYTES = 10_500_000

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
        return loading_worker_bytes(settings) + INT8_KERNELS_BYTES
    if settings.precision.startswith(("nf4", "fp4")):
        return loading_worker_bytes(settings) + FOUR_BIT_KERNELS_BYTES
    return IMPORTS_BYTES + KERNELS_BYTES[settings.compute_dtype]


def loading_worker_bytes(settings: TransformersSettings) -> int:
    """The same before the first computation: what lies beside the weights while they are loaded."""
    kind = "4-bit" if settings.precision.startswith(("nf4", "fp4")) else settings.precision
    return IMPORTS_BYTES + BITSANDBYTES_BYTES.get(kind, 0)


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
