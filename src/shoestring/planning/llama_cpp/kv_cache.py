"""The key-value cache of llama.cpp: cells × the bytes of a key row and a value row, layer by layer."""

from __future__ import annotations

from shoestring.models.facts import AttentionFacts, ModelFacts, StateFacts
from shoestring.planning.base import KvPrecision, LlamaCppSettings

PADDING = 256  # cells; llama.cpp rounds each sequence's context and window up to this (GGML_PAD in llama-context.cpp)

_BLOCK: dict[KvPrecision, tuple[int, int]] = {
    "f32": (1, 4),
    "bf16": (1, 2),
    "f16": (1, 2),
    "q8_0": (32, 34),
    "q4_0": (32, 18),
}
"""Values in a block, bytes of a block (ggml's own type table)."""


def padded_context(settings: LlamaCppSettings) -> int:
    """Cells that llama.cpp reserves for one sequence: the context rounded up to 256."""
    return _pad(settings.context)


def cells_per_sequence(attention: AttentionFacts, settings: LlamaCppSettings) -> int:
    """Cells of one layer for one sequence: the context, or a sliding window plus one micro-batch, rounded up to 256.

    Source: `llama_kv_cache_iswa` in llama.cpp (not unified: each sequence has its own cells).
    """
    context = padded_context(settings)
    if attention.window is None:
        return context
    ubatch = min(settings.ubatch, context * settings.batch)
    return _pad(min(context, attention.window + ubatch))


def row_bytes(n_values: int, precision: KvPrecision) -> int:
    """Bytes of `n_values` in the cache's precision; quantised rows hold whole blocks of 32."""
    per_block, block_bytes = _BLOCK[precision]
    return -(-n_values // per_block) * block_bytes


def kv_cache_bytes(facts: ModelFacts, settings: LlamaCppSettings) -> int:
    """Bytes of all keys and values, and of recurrent state.

    Raises:
        ValueError: a layer's memory cannot be counted; callers ask `unaccounted` first.
    """
    return sum(layer_cache_bytes(facts, settings))


def layer_cache_bytes(facts: ModelFacts, settings: LlamaCppSettings) -> tuple[int, ...]:
    """The same of every layer: cells · batch · (key row + value row), and the states of all sequences.

    A latent cache has one row a cell, of which values are a part; a layer that reads another's cache has none.
    Without flash attention values lie transposed, and in every layer as many as in the widest.
    Source: src/llama-kv-cache.cpp, src/llama-memory-recurrent.cpp.

    Raises:
        ValueError: a layer's memory cannot be counted; callers ask `unaccounted` first.
    """
    found = []
    widest = widest_values(facts)
    for i, layer in enumerate(facts.layers):
        if layer.attention is None and layer.state is None:
            raise ValueError(f"layer {i} keeps nothing that is understood here")
        cells = _cells_bytes(layer.attention, settings, widest) if layer.attention else 0
        found.append(cells + (state_bytes(layer.state) * settings.batch if layer.state else 0))
    return tuple(found)


def widest_values(facts: ModelFacts) -> int:
    """Values of a token in the layer that has most: as many are kept in every layer where they lie transposed."""
    return max((a.kv_heads * a.head_dim_v for layer in facts.layers if (a := layer.attention)), default=0)


def refused(facts: ModelFacts, settings: LlamaCppSettings) -> str | None:
    """Why llama.cpp would not make a cache in this precision for this model, in a sentence; None where it would.

    Source: `llama_init_from_model` in src/llama-context.cpp.
    """
    precision = settings.kv_precision
    per_block = _BLOCK[precision][0]
    if per_block == 1:
        return None
    if not settings.flash_attention:
        return f"llama.cpp keeps values in {precision} with flash attention only."
    widths = [_widths(layer.attention) for layer in facts.layers if layer.attention]
    odd = next((dim for pair in widths for dim in pair if dim % per_block), None)
    if odd is None:
        return None
    return f"A head has {odd} values, which {precision} cannot keep in whole blocks of {per_block}."


def _widths(a: AttentionFacts) -> tuple[int, ...]:
    return (a.latent.rank + a.latent.rope_dim,) if a.latent else (a.head_dim_k, a.head_dim_v)


def state_bytes(state: StateFacts) -> int:
    """Bytes of one sequence's recurrent state in one layer, in F32: the convolution's columns before the newest,
    and the state proper (`n_embd_r`, `n_embd_s` in src/llama-hparams.cpp)."""
    return 4 * (state.conv_channels * max(0, state.conv_kernel - 1) + state.state_values)


def _cells_bytes(a: AttentionFacts, settings: LlamaCppSettings, widest: int) -> int:
    if a.shares_cache_of is not None:
        return 0
    precision = settings.kv_precision
    if a.latent is not None:
        row = row_bytes(a.latent.rank + a.latent.rope_dim, precision)
    else:
        values = a.kv_heads * a.head_dim_v if settings.flash_attention else widest
        row = row_bytes(a.kv_heads * a.head_dim_k, precision) + row_bytes(values, precision)
    return cells_per_sequence(a, settings) * settings.batch * row


def _pad(cells: int) -> int:
    return -(-cells // PADDING) * PADDING
