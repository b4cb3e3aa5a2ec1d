"""Recurrent layers as llama.cpp computes them: Mamba, Mamba-2, gated delta net, short convolution.

Source: src/models/mamba-base.cpp, qwen3next.cpp and lfm2.cpp; `build_rs` in src/llama-graph.cpp.
"""

from __future__ import annotations

from shoestring.models.facts import StateFacts
from shoestring.planning.llama_cpp.graph import I32, Graph
from shoestring.planning.llama_cpp.graph_memory import Tensor


def recurrent(g: Graph, i: int, state: StateFacts, x: Tensor) -> Tensor:
    """What the layer adds to the stream, (hidden, tokens).

    Raises:
        ValueError: a kind of state that is not understood here; callers ask `unaccounted` first.
    """
    if state.kind == "mamba":
        return _mamba(g, f"blk.{i}.", state, x)
    if state.kind == "mamba2":
        return _mamba2(g, f"blk.{i}.", state, x)
    if state.kind == "linear_attention":
        return _delta_net(g, f"blk.{i}.", state, x)
    if state.kind == "short_conv":
        return _short_convolution(g, f"blk.{i}.", state, x)
    raise ValueError(f"layer {i} has a state of the unknown kind {state.kind}")


def _copies(g: Graph) -> Tensor:
    return g.input("states", (g.batch,), I32)


def _stored(g: Graph, values: int) -> Tensor:
    """The state of every sequence, read from where it is kept."""
    rows = g.op((values, g.batch), _copies(g))
    g.expand(rows)
    kept = g.view(rows)
    g.expand(kept)
    g.write(g.view(rows))
    return kept


def _convolved(g: Graph, state: StateFacts, channels: Tensor, before: Tensor) -> Tensor:
    """The causal convolution's input, with the columns kept from before; the newest are kept in turn."""
    columns = state.conv_kernel - 1 + g.tokens // g.batch
    joined = g.op((columns, state.conv_channels, g.batch), before, g.view(channels))
    g.write(g.view(joined))
    return joined


def _convolution(g: Graph, block: str, state: StateFacts, joined: Tensor) -> Tensor:
    y = g.op((state.conv_channels, g.tokens // g.batch, g.batch), joined)
    y = g.bias(block + "ssm_conv1d", y)
    return g.op(y.shape, y, in_place=True)  # SiLU


def _scan(g: Graph, state: StateFacts, inner: int, x: Tensor, dt: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """The scan over the tokens: its results, and behind them the new states, which are kept."""
    result = g.op((inner * g.tokens + state.state_values * g.batch,), x, dt, b, c, g.view(_copies(g)))
    g.expand(result)
    others = g.op((state.state_values, g.batch - 1), g.view(_copies(g)))
    g.write(g.view(others))
    g.write(g.view(result))
    return result


def _mamba(g: Graph, block: str, state: StateFacts, x: Tensor) -> Tensor:
    each = g.tokens // g.batch
    inner = state.conv_channels
    before = g.view(_stored(g, (state.conv_kernel - 1) * inner))
    both = g.linear(block + "ssm_in", g.view(x, (g.hidden, each, g.batch)))
    y = _convolution(g, block, state, _convolved(g, state, g.view(both), before))
    small = g.linear(block + "ssm_x", y)
    rank = g.shape(block + "ssm_dt.weight")[0]
    values = state.state_values // inner
    dt = g.view(small, (rank, each, g.batch))
    b, c = (g.view(small, (values, 1, each, g.batch)) for _ in range(2))
    if g.has(block + "ssm_dt_norm.weight"):
        dt, b, c = (
            g.norm(f"{block}ssm_{name}_norm", part) for name, part in (("dt", dt), ("b", b), ("c", c))
        )
    else:
        dt = g.op(dt.shape, dt)
    dt = g.linear(block + "ssm_dt", dt)
    scanned = _scan(g, state, inner, g.view(y, (1, inner, each, g.batch)), dt, b, c)
    gate = g.op((inner, each, g.batch), g.view(both))
    skipped = g.op(y.shape, y, in_place=True)
    out = g.op(y.shape, g.view(scanned, y.shape), skipped, in_place=True)
    out = g.linear(block + "ssm_out", g.op(y.shape, gate, out))
    return g.view(out, (g.hidden, g.tokens))


def _mamba2(g: Graph, block: str, state: StateFacts, x: Tensor) -> Tensor:
    each = g.tokens // g.batch
    inner, heads = g.shape(block + "ssm_out.weight")[0], g.shape(block + "ssm_dt.bias")[0]
    shape = (inner // heads, heads, each, g.batch)
    before = g.view(_stored(g, (state.conv_kernel - 1) * state.conv_channels))
    made = g.linear(block + "ssm_in", x)
    mixed = _convolution(g, block, state, _convolved(g, state, made, before))
    dt = g.op((heads, each, g.batch), g.view(made))
    dt = g.bias(block + "ssm_dt", dt)
    y = g.view(mixed, shape)
    scanned = _scan(g, state, inner, y, dt, g.view(mixed), g.view(mixed))
    gate = g.op(shape, g.view(made))
    skipped = g.op(shape, y, in_place=True)
    out = g.op(shape, g.view(scanned, shape), skipped, in_place=True)
    out = g.op(shape, gate, out)
    if g.has(block + "ssm_norm.weight"):
        out = g.norm(block + "ssm_norm", g.view(out))
    out = g.linear(block + "ssm_out", g.view(out, (inner, each, g.batch)))
    return g.view(out, (g.hidden, g.tokens))


def _delta_net(g: Graph, block: str, state: StateFacts, x: Tensor) -> Tensor:
    """Gated delta net (arXiv:2412.06464) of Qwen3-Next and Qwen3.5."""
    each = g.tokens // g.batch
    inner, heads = g.shape(block + "ssm_out.weight")[0], g.shape(block + "ssm_dt.bias")[0]
    dim = inner // heads
    groups = (state.conv_channels - inner) // (2 * dim)
    g.expand(x)
    before = g.view(_stored(g, (state.conv_kernel - 1) * state.conv_channels))
    joined = _convolved(g, state, g.linear(block + "attn_qkv", x), before)
    kept = _stored(g, state.state_values)
    mixed = _convolution(g, block, state, joined)
    q, k = (_repeated(g, mixed, dim, groups, heads, each) for _ in range(2))
    decay, beta = _rates(g, block, x, (heads, each, g.batch))
    result = g.op(
        (inner, g.tokens + dim * g.batch), q, k, g.view(mixed), g.view(decay), g.view(beta), g.view(kept)
    )
    g.write(g.view(result))
    shape = (dim, heads, each, g.batch)
    normed = g.norm(block + "ssm_norm", g.view(result, shape))
    gate = g.view(g.linear(block + "attn_gate", x), shape)
    out = g.op(shape, normed, g.op(shape, gate, in_place=True), in_place=True)
    return g.view(g.linear(block + "ssm_out", g.view(out, (inner, each, g.batch))), (g.hidden, g.tokens))


def _rates(g: Graph, block: str, x: Tensor, shape: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    """How fast each head forgets, and how much of the new it takes in."""
    if g.has(block + "ssm_ba.weight"):  # both from one matrix
        small = g.linear(block + "ssm_ba", x)
        decay, beta = (g.op(shape, g.view(small)) for _ in range(2))
    else:
        decay = g.view(g.linear(block + "ssm_alpha", x), shape)
        beta = g.view(g.linear(block + "ssm_beta", x), shape)
    for _ in range(3):  # shift, softplus, scale
        decay = g.op(shape, decay, in_place=True)
    return decay, g.op(shape, beta, in_place=True)


def _repeated(g: Graph, mixed: Tensor, dim: int, groups: int, heads: int, each: int) -> Tensor:
    """Normalised queries or keys, repeated for every head of values."""
    shape = (dim, groups, each, g.batch)
    y = g.op(shape, g.view(mixed, shape))
    y = g.op(shape, y, in_place=True)
    if heads == groups or g.facts.architecture != "qwen3next":  # the others' kernel repeats by itself
        return y
    return g.view(g.op((dim, heads, each, g.batch), g.view(y)), (dim, heads, each, g.batch))


def _short_convolution(g: Graph, block: str, state: StateFacts, x: Tensor) -> Tensor:
    each = g.tokens // g.batch
    shape = (g.hidden, each, g.batch)
    made = g.linear(block + "shortconv.in_proj", g.view(x, shape))
    gated = g.op(shape, g.view(made, shape), g.view(made, shape), in_place=True)
    before = g.view(_stored(g, (state.conv_kernel - 1) * g.hidden))
    joined = _convolved(g, state, gated, before)
    y = g.op(shape, joined)
    y = g.op(shape, g.view(made, shape), y, in_place=True)
    return g.view(g.linear(block + "shortconv.out_proj", y), (g.hidden, g.tokens))
