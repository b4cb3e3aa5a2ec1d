"""Bytes of the key-value cache as transformers' own cache classes allocate it.

Source: `transformers/cache_utils.py` of 5.24 (`DynamicLayer`, `DynamicSlidingWindowLayer`, `StaticLayer`,
`QuantizedLayer`, `LinearAttentionLayer`) and the models that fill them. What differs from llama.cpp: keys and values
are tensors of exactly as many tokens as were read, there are no cells to round up to.
"""

from __future__ import annotations

from shoestring.models.facts import AttentionFacts, LayerFacts, ModelFacts
from shoestring.planning.base import TransformersSettings

DTYPE_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}
_RECURRENT_BYTES = 4  # recurrent states are kept in fp32 whatever the model's dtype
_RESIDUAL = 128  # tokens that a quantised cache keeps as they are (`residual_length`)
_GROUP = 64  # values that share a scale and a zero point (`q_group_size`)
_QUANTIZED_BITS = {"q8_0": 8, "q4_0": 4}


def layer_bytes(layer: LayerFacts, settings: TransformersSettings) -> int | None:
    """Bytes that one layer keeps with the context full; None where that is not known.

    A sliding layer of a dynamic cache keeps window − 1 tokens, but as a view of all that were passed to it: until the
    first token is decoded a prompt lies there whole. So it is charged the whole context.
    """
    if layer.attention is None and layer.state is None:
        return None
    dtype = DTYPE_BYTES[settings.compute_dtype]
    attention = _attention_bytes(layer.attention, settings, dtype) if layer.attention else 0
    return attention + settings.batch * _state_bytes(layer, dtype)


def token_values(attention: AttentionFacts) -> int:
    """Values of one token in one layer; latent attention keeps what it compressed, and one rotated key."""
    if attention.shares_cache_of is not None:
        return 0
    if attention.latent is not None:
        return attention.latent.rank + attention.latent.rope_dim
    return attention.kv_heads * (attention.head_dim_k + attention.head_dim_v)


def cache_bytes(facts: ModelFacts, settings: TransformersSettings) -> int | None:
    """Bytes of the whole cache with the context full; None where a layer's share is not known."""
    layers = [layer_bytes(layer, settings) for layer in facts.layers]
    known = [n for n in layers if n is not None]
    return sum(known) if len(known) == len(layers) else None


def growth_bytes(facts: ModelFacts, settings: TransformersSettings) -> int:
    """Bytes beside the cache while one layer's keys grow by a token: `torch.cat` makes them anew beside the old.

    A static cache is written in place; a quantised one is made full again for the layer that is computed.
    """
    if settings.cache == "static":
        return 0
    dtype = DTYPE_BYTES[settings.compute_dtype]
    keys = [max(_keys(a), token_values(a) - _keys(a)) for a in _attentions(facts)]
    values = max((token_values(a) for a in _attentions(facts)), default=0)
    per_token = 2 * values if settings.cache == "quantized" else max(keys, default=0)
    return settings.batch * settings.context * per_token * dtype


def cached_tokens(attention: AttentionFacts, settings: TransformersSettings) -> int:
    """Tokens that a layer has room for: the context, or of a static cache the window where that is shorter."""
    if settings.cache == "static" and attention.window is not None:
        return min(attention.window, settings.context)
    return settings.context


def _attention_bytes(attention: AttentionFacts, settings: TransformersSettings, dtype: int) -> int:
    tokens = cached_tokens(attention, settings)
    values = settings.batch * token_values(attention)
    if settings.cache != "quantized":
        return values * tokens * dtype
    bits = _QUANTIZED_BITS.get(settings.kv_precision, 4)
    packed = tokens * values * bits // 8
    scales = 2 * dtype * -(-tokens * values // _GROUP)
    return packed + scales + min(tokens, _RESIDUAL) * values * dtype


def _state_bytes(layer: LayerFacts, dtype: int) -> int:
    """Of one sequence: the convolution's last columns in the model's dtype, the recurrent state in fp32."""
    if layer.state is None:
        return 0
    return (
        layer.state.conv_channels * layer.state.conv_kernel * dtype
        + _RECURRENT_BYTES * layer.state.state_values
    )


def _attentions(facts: ModelFacts) -> list[AttentionFacts]:
    return [layer.attention for layer in facts.layers if layer.attention]


def _keys(attention: AttentionFacts) -> int:
    if attention.shares_cache_of is not None:
        return 0
    return attention.latent.rank if attention.latent else attention.kv_heads * attention.head_dim_k
