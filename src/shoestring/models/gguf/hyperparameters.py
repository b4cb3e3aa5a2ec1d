"""The numbers that shape a model, read from metadata and held to the limits that llama.cpp aborts on.

Its loader checks these with GGML_ASSERT (src/llama-model.cpp, `load_hparams`; the graph builders in
src/models), which ends the process instead of raising: so they are refused here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from shoestring.errors import InvalidModelFileError
from shoestring.models import architecture as rules
from shoestring.models.gguf.arrays import NumberArray, StringArray
from shoestring.models.gguf.reader import GgufHeader

MAX_LAYERS = 512  # LLAMA_MAX_LAYERS
MAX_EXPERTS = 1024  # LLAMA_MAX_EXPERTS
MAX_WIDTH = 2**20  # values in a row of activations; the widest model known has 2**14 · 16
_INT32 = 2**31 - 1
_ROPE_SCALINGS = ("none", "linear", "yarn", "longrope")
_DAMAGED = "Download it again, or look for another conversion of the model."


class Keys:
    """Typed access to the metadata below the architecture's name (`llama.block_count` is `block_count`)."""

    def __init__(self, header: GgufHeader) -> None:
        self.header = header
        architecture = header.metadata.get("general.architecture")
        if not isinstance(architecture, str) or not architecture or not architecture.isprintable():
            raise self.invalid("it does not name the model's architecture")
        self.architecture = architecture

    def invalid(self, problem: str) -> InvalidModelFileError:
        """The error for a value that cannot be."""
        return InvalidModelFileError(f"{self.header.name} is not a usable model: {problem}.", _DAMAGED)

    def present(self, key: str) -> bool:
        """Whether the key is there, and not 0."""
        return self.header.metadata.get(f"{self.architecture}.{key}", 0) not in (0, False)

    def count(self, key: str, lowest: int = 0, highest: int = _INT32) -> int | None:
        """A whole number, None where absent.

        Raises:
            InvalidModelFileError: it is no whole number from `lowest` to `highest`.
        """
        value = self.header.metadata.get(f"{self.architecture}.{key}")
        if value is None:
            return None
        return self._bounded(key, value, lowest, highest)

    def per_layer(self, key: str, n_layers: int, highest: int = MAX_WIDTH) -> tuple[int, ...] | None:
        """One whole number a layer, stored as an array or as one number for all; None where absent."""
        value = self.header.metadata.get(f"{self.architecture}.{key}")
        if value is None:
            return None
        if not isinstance(value, NumberArray):
            return (self._bounded(key, value, 0, highest),) * n_layers
        if value.count != n_layers:
            raise self.invalid(f"{key} has {value.count:,} entries for {n_layers:,} layers")
        return tuple(self._bounded(key, entry, 0, highest) for entry in value.values())

    def flags(self, key: str, n_layers: int) -> tuple[bool, ...]:
        """One flag a layer, stored as an array; all False where absent."""
        value = self.header.metadata.get(f"{self.architecture}.{key}")
        if not isinstance(value, NumberArray):
            return (False,) * n_layers
        if value.count != n_layers:
            raise self.invalid(f"{key} has {value.count:,} entries for {n_layers:,} layers")
        return tuple(bool(entry) for entry in value.values())

    def positive(self, key: str, or_zero: bool = False) -> None:
        """Raise InvalidModelFileError where the key is present and not a finite number above 0."""
        value = self.header.metadata.get(f"{self.architecture}.{key}")
        if value is None:
            return
        if isinstance(value, bool | str | NumberArray | StringArray) or not math.isfinite(value):
            raise self.invalid(f"{key} is not a number")
        if value < 0 or (value == 0 and not or_zero):
            raise self.invalid(f"{key} is {value}, which cannot be")

    def _bounded(self, key: str, value: object, lowest: int, highest: int) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.invalid(f"{key} is not a whole number")
        if not lowest <= value <= highest:
            raise self.invalid(f"{key} is {value:,}; from {lowest:,} to {highest:,} would be possible")
        return value


@dataclass(frozen=True)
class Hyperparameters:
    """The shape of a model. What a header of an unknown architecture lacks is 0 or empty.

    Attributes:
        layers: transformer blocks.
        heads, kv_heads, feed_forward: one entry a layer; 0 where it has none.
        head_dim_k, head_dim_v: values per head of a key and a value, in layers with full attention.
        sliding_dim_k, sliding_dim_v: the same in sliding layers.
        windows: one entry a layer: its sliding window in tokens, or None; empty where it is not known.
        experts, experts_used: 0 where the model has none.
    """

    architecture: str
    layers: int
    hidden_size: int
    context_length: int
    heads: tuple[int, ...]
    kv_heads: tuple[int, ...]
    feed_forward: tuple[int, ...]
    head_dim_k: int
    head_dim_v: int
    sliding_dim_k: int
    sliding_dim_v: int
    windows: tuple[int | None, ...]
    experts: int
    experts_used: int


def read_hyperparameters(header: GgufHeader) -> Hyperparameters:
    """Read and check the numbers that shape the model.

    Raises:
        InvalidModelFileError: one is missing from an architecture that needs it, or cannot be.
    """
    keys = Keys(header)
    known = rules.counts_cells(keys.architecture)
    layers = _required(keys, "block_count", known, MAX_LAYERS)
    keys.count("nextn_predict_layers", 0, layers)
    hidden = _required(keys, "embedding_length", known, MAX_WIDTH)
    context = _required(keys, "context_length", known, _INT32)
    heads = keys.per_layer("attention.head_count", layers) or (0,) * layers
    kv_heads = keys.per_layer("attention.head_count_kv", layers) or heads
    for layer, (queries, groups) in enumerate(zip(heads, kv_heads, strict=True)):
        if known and groups and (queries < groups or queries % groups):
            raise keys.invalid(f"in layer {layer}, {queries:,} heads cannot share {groups:,} key-value heads")
    default_dim = hidden // heads[0] if heads and heads[0] else 0
    dim_k, dim_v = _head_dims(keys, "", default_dim, default_dim)
    if keys.architecture in rules.LATENT:  # the stored lengths are then those of the compressed cache
        found = _head_dims(keys, "_mla", 0, 0)
        if bool(found[0]) != bool(found[1]):
            raise keys.invalid("attention.key_length_mla and value_length_mla belong together")
        dim_k, dim_v = found[0] or dim_k, found[1] or dim_v
    sliding_k, sliding_v = _head_dims(keys, "_swa", dim_k, dim_v)
    if known:
        for widths in ((dim_k, dim_v), (sliding_k, sliding_v)):
            _check_heads(keys, max(heads, default=0), *widths)
        _check_rotary(keys, dim_k, sliding_k)
        _check_numbers(keys)
    experts, used = _experts(keys, layers)
    return Hyperparameters(
        architecture=keys.architecture,
        layers=layers,
        hidden_size=hidden,
        context_length=context,
        heads=heads,
        kv_heads=kv_heads,
        feed_forward=keys.per_layer("feed_forward_length", layers, _INT32) or (0,) * layers,
        head_dim_k=dim_k,
        head_dim_v=dim_v,
        sliding_dim_k=sliding_k,
        sliding_dim_v=sliding_v,
        windows=_windows(keys, layers),
        experts=experts,
        experts_used=used,
    )


def _required(keys: Keys, key: str, required: bool, highest: int) -> int:
    value = keys.count(key, 1, highest)
    if value is None:
        if required:
            raise keys.invalid(f"{key} is missing from its metadata")
        return 0
    return value


def _head_dims(keys: Keys, suffix: str, default_k: int, default_v: int) -> tuple[int, int]:
    found_k = keys.count(f"attention.key_length{suffix}", 1, MAX_WIDTH)
    found_v = keys.count(f"attention.value_length{suffix}", 1, MAX_WIDTH)
    return found_k or default_k, found_v or default_v


def _check_heads(keys: Keys, heads: int, dim_k: int, dim_v: int) -> None:
    if heads and (dim_k == 0 or dim_k % 2 or heads * max(dim_k, dim_v) > MAX_WIDTH):
        raise keys.invalid(f"{heads:,} heads of {dim_k:,} values cannot be")
    if keys.architecture in rules.KEYS_AS_WIDE_AS_VALUES and dim_k != dim_v:
        raise keys.invalid(f"its keys are {dim_k:,} wide and its values {dim_v:,}")


def _check_rotary(keys: Keys, dim_k: int, sliding_k: int) -> None:
    for key, width in (("rope.dimension_count", dim_k), ("rope.dimension_count_swa", sliding_k)):
        rotary = keys.count(key, 2, MAX_WIDTH)  # llama.cpp hangs on 0
        if rotary is None:
            continue
        if rotary % 2 or rotary > width:
            raise keys.invalid(f"{rotary:,} rotary dimensions do not fit heads of {width:,} values")
        if rotary != width and keys.architecture in rules.ROPE_OVER_WHOLE_HEAD:
            raise keys.invalid(f"{rotary:,} rotary dimensions do not cover heads of {width:,} values")


def _check_numbers(keys: Keys) -> None:
    for key in ("attention.layer_norm_epsilon", "attention.layer_norm_rms_epsilon"):
        keys.positive(key, or_zero=True)
    keys.positive("rope.freq_base")
    keys.positive("rope.scaling.factor", or_zero=True)
    scaling = keys.header.metadata.get(f"{keys.architecture}.rope.scaling.type", "none")
    if scaling not in _ROPE_SCALINGS:
        raise keys.invalid("its rope.scaling.type is none that exists")


def _experts(keys: Keys, layers: int) -> tuple[int, int]:
    experts = keys.count("expert_count", 0, MAX_EXPERTS) or 0
    used = max(keys.per_layer("expert_used_count", layers, MAX_EXPERTS) or (0,), default=0)
    groups = keys.count("expert_group_count", 0, MAX_EXPERTS) or 0
    if keys.architecture in ("hunyuan-dense", "hunyuan_vl") and experts <= 1:
        return 0, 0
    if used > experts or (experts and not used) or (groups and groups >= experts):
        raise keys.invalid(f"{used:,} of {experts:,} experts used, in {groups:,} groups, cannot be")
    if groups > 1:
        chosen = keys.count("expert_group_used_count") or 0
        if experts % groups or not 0 < chosen < groups:
            raise keys.invalid(f"{chosen:,} of {groups:,} groups of {experts:,} experts used cannot be")
    return experts, used


def _windows(keys: Keys, layers: int) -> tuple[int | None, ...]:
    rule = rules.window_rule(keys.architecture, layers)
    stored = keys.count("attention.sliding_window")
    if rule is None:
        return (None,) * layers
    window = stored if stored is not None else rule.default
    if not window:
        return (None,) * layers
    pattern = keys.header.metadata.get(f"{keys.architecture}.attention.sliding_window_pattern")
    if isinstance(pattern, NumberArray):
        if pattern.count > MAX_LAYERS:
            raise keys.invalid(f"attention.sliding_window_pattern has {pattern.count:,} entries")
        sliding = rules.sliding_layers(rule, layers, [int(entry) for entry in pattern.values()])
    else:
        period = keys.count("attention.sliding_window_pattern", 0, MAX_LAYERS)
        sliding = rules.sliding_layers(rule, layers, period)
    if sliding is None:
        raise keys.invalid("attention.sliding_window_pattern is missing from its metadata")
    return tuple((rule.fixed or window) if slides else None for slides in sliding)
