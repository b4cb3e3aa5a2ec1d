"""What every layer of a GGUF model keeps and computes: attention, recurrent state, experts.

The rules are llama.cpp's: `n_embd_r`, `n_embd_s`, `is_mla` and `has_kv` in src/llama-hparams.cpp, and
`load_arch_hparams` of each architecture in src/models. What its graph builders assert is refused here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from shoestring.models import architecture as rules
from shoestring.models.facts import (
    AttentionFacts,
    ExpertFacts,
    LatentFacts,
    LayerFacts,
    StateFacts,
    TensorInfo,
)
from shoestring.models.gguf.arrays import NumberArray
from shoestring.models.gguf.hyperparameters import MAX_WIDTH, Hyperparameters, Keys

_GATES = 4  # llama_expert_gating_func_type: none, softmax, sigmoid, softmax of the chosen, and one more
_ATTENTION_NODES, _STATE_NODES = 38, 80  # of a block besides its experts, at least

_BLOCK = re.compile(r"blk\.(\d+)\.(ffn_(?:gate_)?up_exps|ffn_down_exps|ffn_up_shexp|ffn_up|ffn_down)\.weight")


def read_layers(
    keys: Keys, shape: Hyperparameters, tensors: Sequence[TensorInfo], *, countable: bool
) -> tuple[LayerFacts, ...]:
    """One entry a block; without attention and state where the model is not `countable`.

    Raises:
        InvalidModelFileError: numbers of a recurrent or latent model cannot be.
    """
    found = _feed_forward_tensors(tensors)
    latent = _latent(keys, shape) if countable else None
    state = _state(keys, shape) if countable else None
    recurrent = _recurrent(keys, shape)
    layers = []
    for i in range(shape.layers):
        keeps_cells = countable and shape.architecture not in rules.WITHOUT_CACHE | rules.WITHOUT_ATTENTION
        beside = shape.architecture == "falcon-h1"  # attention and state in one block
        attention = (
            _attention(keys, i, shape, latent) if keeps_cells and (beside or not recurrent[i]) else None
        )
        layers.append(
            LayerFacts(
                attention,
                _dense_width(i, shape, found),
                state if recurrent[i] else None,
                _experts(i, shape, found),
            )
        )
    _check_experts(keys, layers, len(tensors))
    return tuple(layers)


def _check_experts(keys: Keys, layers: list[LayerFacts], n_tensors: int) -> None:
    """The graph of a mixture has two nodes for every expert used, and llama.cpp aborts where they are too many:
    it makes room for eight a tensor, of Qwen3-Next for 32 (`graph_max_nodes` in src/llama-context.cpp). What is counted is less than all.
    """
    gate = keys.count("expert_gating_func", 0, _GATES)
    if not gate and keys.architecture in rules.GATE_NAMED:
        raise keys.invalid("expert_gating_func is missing from its metadata")
    mixtures = [(layer.experts.used, layer.state) for layer in layers if layer.experts]
    nodes = sum(2 * used + (_STATE_NODES if state else _ATTENTION_NODES) for used, state in mixtures)
    room = max(1024, 8 * n_tensors)
    if nodes > room and keys.architecture not in rules.GATED_ATTENTION:
        raise keys.invalid(
            f"{max(used for used, _ in mixtures):,} experts used for one token are more than llama.cpp can lay out"
        )


def _attention(keys: Keys, i: int, shape: Hyperparameters, latent: LatentFacts | None) -> AttentionFacts:
    window = shape.windows[i]
    return AttentionFacts(
        heads=shape.heads[i],
        kv_heads=shape.heads[i] if latent else shape.kv_heads[i],
        head_dim_k=shape.head_dim_k if window is None else shape.sliding_dim_k,
        head_dim_v=shape.head_dim_v if window is None else shape.sliding_dim_v,
        window=window,
        latent=latent,
        shares_cache_of=_shared(keys, i, shape),
    )


def _shared(keys: Keys, i: int, shape: Hyperparameters) -> int | None:
    """Gemma 3n and 4: the last layers read the last sliding or the last full one of those with caches of their own.

    Those must be the last two of them (`llama_kv_cache` asserts that it finds the layer).
    """
    if shape.architecture not in rules.SHARED_CACHES:
        return None
    own = rules.SHARED_CACHES[shape.architecture]
    if own is None:
        own = shape.layers - (keys.count("attention.shared_kv_layers", 0, shape.layers - 1) or 0)
    if i < own:
        return None
    read = own - (1 if shape.windows[i] is None else 2)
    if read < 0 or (shape.windows[read] is None) != (shape.windows[i] is None):
        raise keys.invalid(f"layer {i} has no cache of its own and none of its kind to read in layer {read}")
    return read


def _latent(keys: Keys, shape: Hyperparameters) -> LatentFacts | None:
    """None where the cache is not compressed, as in conversions before 2025-04."""
    if keys.architecture not in rules.LATENT:
        return None
    rank = keys.count("attention.kv_lora_rank", 1, MAX_WIDTH)
    rope = keys.count("rope.dimension_count", 2, MAX_WIDTH)
    if rank is None or rope is None:
        raise keys.invalid("attention.kv_lora_rank or rope.dimension_count is missing from its metadata")
    if not keys.present("attention.key_length_mla"):
        return None
    stored = keys.count("attention.key_length"), keys.count("attention.value_length")
    if stored != (rank + rope, rank) or set(shape.kv_heads) != {1}:
        raise keys.invalid(
            f"its cache of {rank} compressed values and {rope} rotary ones contradicts {stored}"
        )
    return LatentFacts(rank, rope, keys.count("attention.q_lora_rank", 1, MAX_WIDTH))


def _recurrent(keys: Keys, shape: Hyperparameters) -> tuple[bool, ...]:
    if shape.architecture not in rules.STATES:
        return (False,) * shape.layers
    if shape.architecture in rules.WITHOUT_ATTENTION or shape.architecture == "falcon-h1":
        return (True,) * shape.layers
    if shape.architecture not in rules.GATED_ATTENTION:
        return tuple(kv_heads == 0 for kv_heads in shape.kv_heads)
    stored = keys.header.metadata.get(f"{shape.architecture}.attention.recurrent_layers")
    if isinstance(stored, NumberArray):
        return tuple(bool(flag) for flag in keys.flags("attention.recurrent_layers", shape.layers))
    interval = keys.count("full_attention_interval", 1, MAX_WIDTH) or 4
    return tuple((i + 1) % interval != 0 for i in range(shape.layers))


def _state(keys: Keys, shape: Hyperparameters) -> StateFacts | None:
    kind = rules.STATES.get(shape.architecture)
    if kind is None:
        return None
    if kind == "short_conv":
        kernel = _needed(keys, "shortconv.l_cache", 2)
        return StateFacts(kind, conv_channels=shape.hidden_size, conv_kernel=kernel)
    inner, state = _needed(keys, "ssm.inner_size"), _needed(keys, "ssm.state_size")
    groups = 0 if kind == "mamba" else _needed(keys, "ssm.group_count")
    _check_state(keys, kind, shape, inner, groups, state)
    return StateFacts(kind, inner + 2 * groups * state, _needed(keys, "ssm.conv_kernel", 2), state * inner)


def _needed(keys: Keys, key: str, lowest: int = 1) -> int:
    value = keys.count(key, lowest, MAX_WIDTH)
    if value is None:
        raise keys.invalid(f"{key} is missing from its metadata")
    return value


def _check_state(keys: Keys, kind: str, shape: Hyperparameters, inner: int, groups: int, state: int) -> None:
    """What src/models/mamba-base.cpp, mamba.cpp, jamba.cpp and qwen3next.cpp assert or divide by."""
    rank = _needed(keys, "ssm.time_step_rank")
    if kind == "mamba" and inner != 2 * shape.hidden_size:
        raise keys.invalid(f"ssm.inner_size is {inner:,} instead of {2 * shape.hidden_size:,}")
    if kind != "mamba" and (inner % rank or inner % groups or rank % groups):
        raise keys.invalid(f"a state of {inner:,} values in {rank:,} heads and {groups:,} groups cannot be")
    if kind == "linear_attention" and inner != state * rank:
        raise keys.invalid(f"{rank:,} heads of {state:,} values do not make {inner:,}")


def _feed_forward_tensors(tensors: Iterable[TensorInfo]) -> dict[tuple[int, str], tuple[int, ...]]:
    return {
        (int(match[1]), match[2]): tensor.shape
        for tensor in tensors
        if (match := _BLOCK.fullmatch(tensor.name))
    }


def _dense_width(i: int, shape: Hyperparameters, found: dict[tuple[int, str], tuple[int, ...]]) -> int:
    if (i, "ffn_down") in found:
        return shape.feed_forward[i] or found[i, "ffn_down"][0]
    return 0 if (i, "ffn_down_exps") in found else shape.feed_forward[i]


def _experts(
    i: int, shape: Hyperparameters, found: dict[tuple[int, str], tuple[int, ...]]
) -> ExpertFacts | None:
    down = found.get((i, "ffn_down_exps"))
    if down is None or len(down) != 3:
        return None
    shared = found.get((i, "ffn_up_shexp"), (0, 0))
    return ExpertFacts(
        down[2], min(shape.experts_used, down[2]), down[0], shared[1] if len(shared) > 1 else 0
    )
