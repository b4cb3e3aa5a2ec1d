"""Working memory of a forward pass on transformers: what is alive at once, operation by operation.

Read off the models' own code and held against the tensors that are alive at the peak of real models and of the
library's over fake tensors. `generate` computes logits of the last position only. The peak is that of reading a prompt
as long as the context; a decoding step needs it for one token, and one layer's keys twice.
"""

from __future__ import annotations

from dataclasses import dataclass

from shoestring.models.facts import LayerFacts, ModelFacts
from shoestring.planning.base import TransformersSettings
from shoestring.planning.transformers.attention import (
    attention_bytes,
    attention_multiplications,
    mask_bytes,
)
from shoestring.planning.transformers.feed_forward import (
    feed_forward_bytes,
    feed_forward_multiplications,
    norm_bytes,
)
from shoestring.planning.transformers.kv_cache import cache_bytes, growth_bytes
from shoestring.planning.transformers.linear import repacking
from shoestring.planning.transformers.shape import FP32, Kinds, Shape
from shoestring.planning.transformers.traits import is_known
from shoestring.planning.transformers.weights import BLOCK, rotated_dims


@dataclass(frozen=True)
class Compute:
    """Working memory in bytes, beside the weights and a full cache.

    Attributes:
        prefill: while a prompt is read.
        decode: while one token a sequence is decoded.
        first_use: while 4-bit matrices are rearranged for the CPU, in the first prompt; 0 where none are.
        missing: why there is no figure, or None.
    """

    prefill: int
    decode: int
    first_use: int = 0
    missing: str | None = None

    @property
    def peak(self) -> int:
        return max(self.prefill, self.decode, self.first_use)


def compute(
    facts: ModelFacts, settings: TransformersSettings, kinds: Kinds, *, on_cpu: bool, packs_4bit: bool
) -> Compute:
    """Working memory of one device that computes every layer.

    Args:
        kinds: what the model's modules say.
        on_cpu: whether the CPU computes (its kernels need other temporaries than CUDA's).
        packs_4bit: whether the processor has AVX512-BF16, for which bitsandbytes rearranges 4-bit weights.
    """
    missing = _missing(facts)
    if missing:
        return Compute(0, 0, missing=missing)
    packed = on_cpu and packs_4bit and settings.precision.startswith(("nf4", "fp4"))
    prompt = Shape(facts, settings, kinds, settings.context, on_cpu, packed)
    token = Shape(facts, settings, kinds, 1, on_cpu, packed)
    decode = _peak(token) + growth_bytes(facts, settings)
    return Compute(_peak(prompt), decode, _first_use(prompt) if packed and kinds.quantized else 0)


def _missing(facts: ModelFacts) -> str | None:
    if not facts.layers or any(layer.attention is None and layer.state is None for layer in facts.layers):
        return "How this model's layers compute is not known, so their working memory has no figure."
    if any(layer.state is not None for layer in facts.layers):
        return (
            "Recurrent layers run in transformers' reference code here, whose working memory has no figure; "
            "a dry run measures it."
        )
    if not is_known(facts.architecture):
        return (
            f"What {facts.architecture} keeps alive while it computes was not held against the library, so there is "
            "no figure for it; a dry run measures it."
        )
    return None


def _peak(shape: Shape) -> int:
    """Bytes alive at most while tokens pass the last layers, logits included."""
    layers = max(_layer(layer, shape) for layer in shape.kinds.layers)
    logits = shape.settings.batch * shape.facts.vocab_size * (shape.width + 3 * FP32)
    return max(layers + _throughout(shape), 4 * shape.rows * shape.hidden + logits)


def _throughout(shape: Shape) -> int:
    """What is made before the layers and kept: masks, cosines and sines of every position, per-layer inputs."""
    width = FP32 if shape.traits.tables_in_fp32 else shape.width
    tables = shape.traits.rotary_tables * 2 * rotated_dims(shape.facts) * width
    return mask_bytes(shape) + shape.rows * (tables + shape.width * shape.kinds.per_layer)


def _layer(layer: LayerFacts, shape: Shape) -> int:
    attention = attention_bytes(layer.attention, shape) if layer.attention else 0
    return max(attention, norm_bytes(layer, shape), feed_forward_bytes(layer, shape))


def _first_use(shape: Shape) -> int:
    """While a matrix is rearranged in the last layer, its input and what else is alive then beside it.

    In the first layer nearly all weights still have their scales of four bytes instead of two, but the cache of the
    other layers is not there yet.
    """
    most = max(_repacking(layer, shape) for layer in shape.kinds.layers)
    double = shape.settings.precision.endswith("-dq")
    shrinks = 0 if double else (FP32 - 2) * shape.kinds.all // BLOCK
    cache = cache_bytes(shape.facts, shape.settings) or 0
    others = max(0, shrinks - cache) * (len(shape.facts.layers) - 1) // len(shape.facts.layers)
    return most + others + _throughout(shape)


def _repacking(layer: LayerFacts, shape: Shape) -> int:
    multiplications = list(feed_forward_multiplications(layer, shape))
    if layer.attention:
        multiplications += attention_multiplications(layer.attention, shape)
    return repacking(multiplications)
