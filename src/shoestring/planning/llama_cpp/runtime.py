"""What a worker holds besides weights, cache and activations: each term from the structure that takes it.

Found by loading synthetic models that differ in one figure (vocabulary, merges, layers) and by counting live
heap chunks by size; the structures are llama.cpp's and ggml's, the sizes those of the x86-64 and AArch64 Linux
wheels: glibc's allocator, and libstdc++ strings of the old ABI, which share one counted heap block.
`docs/accuracy.md` has the method and the figures.
"""

from __future__ import annotations

from functools import cache, lru_cache

from shoestring.models.architecture import GATED_ATTENTION
from shoestring.models.facts import ModelFacts, TokenizerFacts
from shoestring.planning.base import LlamaCppSettings
from shoestring.planning.identity import Identity
from shoestring.planning.llama_cpp.compute import output_buffer_bytes
from shoestring.planning.llama_cpp.kv_cache import padded_context

BASELINE_BYTES = 35_080_000
"""An idle worker that has loaded a model of a few kilobytes and answered once, less this module's other terms.

The interpreter, msgspec, the engine's library and its tables, the server and its threads. Measured by
`benchmarks/plan_accuracy.py`, which prints it anew; it belongs to the pinned engine and Python, not to a model.
"""

_NODE = 48  # heap chunk of a hash-table node: next, string pointer, id, cached hash
_MERGE_NODE = 48  # next, two string pointers, rank, cached hash
_SHORT_STRING = 48  # heap chunk of a string of up to 15 bytes: header 24, bytes, NUL, rounded by malloc
_BUCKETS = (
    *(13, 29, 59, 127, 257, 541, 1109, 2357, 5087, 10273, 20753, 42043, 85229, 172933, 351061),
    *(712697, 1447153, 2938679, 5967347, 12117689),
)
"""How libstdc++'s hash tables grow when elements are added one by one."""

_UNICODE_TABLE = 2 * 0x110000  # category flags of every code point, built for byte-pair vocabularies

_GRAPH_TENSOR = 368  # ggml_tensor_overhead(): a tensor and its object header
_GRAPHS_KEPT = 3  # llama_context keeps one graph to reserve with and two to reuse
_SCHEDULED_NODE = 352 + 32  # ggml_gallocr: where a node and its ten sources, and where a leaf is placed
_SLOTS_PER_TENSOR, _FEWEST_SLOTS = 8, 1024  # llama_context::graph_max_nodes
_SLOTS_OF_DELTA_NETS = 32
_DOWN = ".ffn_down_exps."


def vocabulary_bytes(tokenizer: TokenizerFacts) -> int:
    """Bytes of llama.cpp's vocabulary tables (`src/llama-vocab.cpp`) and of the file's arrays they were read from.

    A token: its text, shared by table and map; the text it stands for; a map node and its bucket; a record of
    16 bytes; one pointer. A merge: two strings, a map node, a bucket. The strings read from the header are
    freed after loading, but lie below what is kept, so the allocator keeps their pages.
    """
    t = tokenizer
    tokens = 3 * _token_strings(t) + t.vocab_size * (_NODE + 16 + 8 + 4) + 8 * _buckets(t.vocab_size)
    merges = t.merges * (3 * _SHORT_STRING + _MERGE_NODE) + 8 * _buckets(t.merges)
    return tokens + (merges + _UNICODE_TABLE if t.merges else 0)


def reused_bytes(tokenizer: TokenizerFacts, output_buffer_bytes: int) -> int:
    """Bytes of the header's memory, freed after loading, whose place the output buffer takes.

    Measured on both starters with 1 to 12 sequences: it does up to 16 bytes a token, which is one block of the
    vocabulary's records, and a larger buffer gets pages of its own.
    """
    return output_buffer_bytes if output_buffer_bytes <= 16 * tokenizer.vocab_size else 0


def _token_strings(t: TokenizerFacts) -> int:
    """Heap bytes of every token's text, once."""
    short = t.vocab_size - t.long_tokens
    # malloc rounds 24 + length + 1 + 8 up to 16: on average 7.5 more.
    return short * _SHORT_STRING + t.long_tokens_bytes + round(t.long_tokens * (24 + 1 + 8 + 7.5))


def header_bytes(tokenizer: TokenizerFacts) -> int:
    """Bytes of the header's arrays that are given back after loading: string pointers, scores and types."""
    t = tokenizer
    return 8 * t.vocab_size + 4 * t.vocab_size * (t.has_scores + t.has_types) + 8 * t.merges


def graph_bytes(facts: ModelFacts) -> int:
    """Bytes of the computation graphs' own records, which grow with the number of tensors, not with their size."""
    per_tensor = _SLOTS_OF_DELTA_NETS if facts.architecture in GATED_ATTENTION else _SLOTS_PER_TENSOR
    slots = max(_FEWEST_SLOTS, per_tensor * len(facts.tensors))
    hash_slots = 1 << (2 * slots - 1).bit_length()
    graph = slots * (_GRAPH_TENSOR + 2 * 8) + hash_slots * (8 + 4)
    nodes = slots // 2
    return _GRAPHS_KEPT * graph + nodes * _SCHEDULED_NODE + 2 * len(facts.tensors) * _GRAPH_TENSOR


def work_bytes(facts: ModelFacts, settings: LlamaCppSettings) -> int:
    """Bytes of the threads' work space: a micro-batch converted to the type that the weights multiply with.

    Source: `ggml_graph_plan` in `ggml/src/ggml-cpu/ggml-cpu.c`. Without flash attention it also holds the
    attention weights of all heads in half precision. Every expert that a token uses leads back a row of its own.
    """
    n_tokens = min(settings.ubatch, padded_context(settings) * settings.batch)
    work = n_tokens * _widest_row(Identity(facts))
    if not settings.flash_attention:
        heads = max((layer.attention.heads for layer in facts.layers if layer.attention), default=0)
        work = max(work, 2 * n_tokens * heads * padded_context(settings))
    return round(work)


@lru_cache(maxsize=8)  # some types of one model, each asked for with many settings
def _widest_row(key: Identity) -> float:
    """Bytes of the widest row that some tensor multiplies, converted; of all experts that a token uses together."""
    facts = key.facts
    used = {f"blk.{i}.": layer.experts.used for i, layer in enumerate(facts.layers) if layer.experts}
    rows = (
        t.shape[0]
        * _converted(t.dtype)
        * (used.get(t.name[: t.name.find("ffn_")], 1) if _DOWN in t.name else 1)
        for t in facts.tensors
        if len(t.shape) > 1
    )
    return max(rows, default=0.0)


def sampling_bytes(facts: ModelFacts, settings: LlamaCppSettings) -> int:
    """Bytes of the samplers' candidates: id, logit and probability of every token, for each sequence."""
    return 12 * facts.vocab_size * settings.batch


def untouched_bytes(facts: ModelFacts, settings: LlamaCppSettings) -> int:
    """Bytes of the compute buffer that are never written, and so take no memory on a CPU without a GPU.

    Every graph begins with room for embeddings given from outside, alone and mixed with tokens, a micro-batch
    each (`llm_graph_context::build_inp_embd`); a worker gives tokens. Nothing that runs is laid into their place.
    Beside a GPU the buffer is pinned, written or not.
    """
    if settings.gpu_layers:
        return 0
    n_tokens = min(settings.ubatch, padded_context(settings) * settings.batch)
    return 2 * facts.hidden_size * n_tokens * 4


@cache
def _converted(dtype: str) -> float:
    """Bytes of one activation once converted to multiply with weights of `dtype` (ggml's `vec_dot_type`)."""
    if dtype == "F32":
        return 0
    if dtype in ("F16", "BF16"):
        return 2
    if dtype in ("Q4_1", "Q5_1"):
        return 36 / 32
    if dtype.startswith("IQ4_NL") or not (dtype.endswith("_K") or dtype.startswith(("IQ", "TQ"))):
        return 34 / 32
    return 292 / 256


def _buckets(elements: int) -> int:
    return next((n for n in _BUCKETS if n >= elements), elements)


def runtime_terms(facts: ModelFacts, settings: LlamaCppSettings, baseline_bytes: int) -> dict[str, int]:
    """Every term of this module by name; `untouched` takes away what the compute buffer's term has too much.

    Of a model without a tokenizer at hand the vocabulary's is left out.
    """
    vocabulary = {}
    if facts.tokenizer is not None:
        output = output_buffer_bytes(facts, settings)
        vocabulary = {"vocabulary": vocabulary_bytes(facts.tokenizer) - reused_bytes(facts.tokenizer, output)}
    return {
        "worker": baseline_bytes,
        **vocabulary,
        "graph": graph_bytes(facts),
        "work": work_bytes(facts, settings),
        "sampling": sampling_bytes(facts, settings),
        "untouched": -untouched_bytes(facts, settings),
    }
