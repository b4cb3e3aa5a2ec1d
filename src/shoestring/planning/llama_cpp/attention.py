"""Attention as llama.cpp computes it (`build_attn` in src/llama-graph.cpp): with every head's keys and values, and latent."""

from __future__ import annotations

from shoestring.models.architecture import GATED_ATTENTION
from shoestring.models.facts import AttentionFacts, LatentFacts
from shoestring.planning.llama_cpp.graph import F16, I64, Graph
from shoestring.planning.llama_cpp.graph_memory import Tensor
from shoestring.planning.llama_cpp.kv_cache import cells_per_sequence, widest_values


def attention(g: Graph, i: int, a: AttentionFacts, x: Tensor) -> Tensor:
    """What the layer's attention adds to the stream, (hidden, tokens)."""
    if a.latent is not None:
        return _latent(g, i, a, a.latent, x)
    if g.has(f"blk.{i}.attn_kv_a_mqa.weight"):
        return _uncompressed(g, i, a, x)
    q, k, v = _project(g, i, a, x)
    mixed = _attend(g, a, q, k, v) if a.shares_cache_of is None else _read_only(g, a, q)
    if g.facts.architecture in GATED_ATTENTION:
        mixed = _gated(g, a, q, mixed)
    return g.linear(f"blk.{i}.attn_output", mixed)


def _project(g: Graph, i: int, a: AttentionFacts, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of every head, positions applied."""
    shapes = {
        "q": (a.head_dim_k, a.heads, g.tokens),
        "k": (a.head_dim_k, a.kv_heads, g.tokens),
        "v": (a.head_dim_v, a.kv_heads, g.tokens),
    }
    block = f"blk.{i}.attn_"
    fused = g.linear(block + "qkv", x) if g.has(block + "qkv.weight") else None
    made: dict[str, Tensor] = {}
    flat_k = x  # which Gemma 4 may take for values, too
    for name, (dim, heads, n) in shapes.items():
        flat = fused or (g.linear(block + name, x) if g.has(f"{block}{name}.weight") else flat_k)
        flat_k = flat if name == "k" else flat_k
        norm = f"{block}{name}_norm"
        if name != "v" and g.has(norm + ".weight") and g.shape(norm + ".weight") == (dim * heads,):
            flat = g.norm(norm, flat)  # OLMo 2: over all heads at once
            norm = ""
        made[name] = g.view(flat, (dim, heads, n))
        if name != "v":
            made[name] = g.norm(norm, made[name])
            if g.blueprint.rotary(i):
                made[name] = g.op(made[name].shape, made[name], g.positions(), in_place=True)
        elif g.facts.architecture in ("gemma3n", "gemma4"):  # its values are normalised, too
            made[name] = g.op(made[name].shape, made[name], in_place=True)
    return made["q"], made["k"], made["v"]


def _attend(g: Graph, a: AttentionFacts, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Store keys and values, then mix the cache's values: (head_dim_v · heads, tokens)."""
    if _turned(g, a.head_dim_k):
        q, k = _turn(g, a, q), _turn(g, a, k)
    if _turned(g, a.head_dim_v):
        v = _turn(g, a, v, values=True)
    for tensor in (q, k, v) if g.windows else (q, v, k):  # the order in which llama.cpp computes them
        g.expand(tensor)
    kind = a.window is not None
    g.write(g.view(k), g.input(("k", kind), (g.tokens,), I64))
    v = g.view(v)
    each = 1
    if not g.settings.flash_attention:  # values are then stored transposed, in every layer as many
        each = widest_values(g.facts)
        if each > a.kv_heads * a.head_dim_v:
            v = g.view(g.op((each, g.tokens), v))
    g.write(v, g.input(("v", kind), (g.tokens * each,), I64))
    mixed = _mix(g, a, q, a.head_dim_v)
    return _turn(g, a, mixed, values=True) if _turned(g, a.head_dim_v) else mixed


def _read_only(g: Graph, a: AttentionFacts, q: Tensor) -> Tensor:
    """Gemma 3n: attention over the cache of an earlier layer."""
    if _turned(g, a.head_dim_k):
        q = _turn(g, a, q)
    g.expand(q)
    mixed = _mix(g, a, q, a.head_dim_v)
    return _turn(g, a, mixed, values=True) if _turned(g, a.head_dim_v) else mixed


def _mix(g: Graph, a: AttentionFacts, q: Tensor, dim: int, *, latent: str = "") -> Tensor:
    """Scores, softmax and the weighted sum of values; `latent` names the matrix that decompresses them."""
    q, flat = g.view(q), (a.head_dim_v * a.heads, g.tokens)
    if g.settings.flash_attention:
        mixed = g.op((dim, a.heads, g.tokens), q, g.mask(a))
        if latent:
            heads = g.op((a.head_dim_v, g.tokens, a.heads), g.view(mixed))
            mixed = g.op((a.head_dim_v, a.heads, g.tokens), g.view(heads))
        mixed = g.view(mixed, flat)
    else:
        cells = cells_per_sequence(a, g.settings)
        values = () if not latent else (g.op((cells, dim, 1, g.batch), element_bytes=F16),)
        scores = g.op((cells, g.tokens, a.heads), q)
        weights = g.op(scores.shape, scores, g.mask(a), in_place=True)
        heads = g.op((dim, g.tokens, a.heads), *values, weights)
        if latent:
            heads = g.op((a.head_dim_v, g.tokens, a.heads), heads)
        mixed = g.op(flat, g.view(heads))
    g.expand(mixed)
    return mixed


def _gated(g: Graph, a: AttentionFacts, q: Tensor, mixed: Tensor) -> Tensor:
    """Qwen3-Next and 3.5: the query's matrix makes a gate, too, for what the attention gives."""
    while q.sources and q.view_of is None:
        q = q.sources[0]
    gate = g.op(mixed.shape, g.view(q))
    gate = g.op(gate.shape, gate, in_place=True)
    return g.op(mixed.shape, mixed, gate, in_place=True)


def _turned(g: Graph, head_dim: int) -> bool:
    return g.settings.kv_precision in ("q8_0", "q4_0") and head_dim % 64 == 0


def _turn(g: Graph, a: AttentionFacts, x: Tensor, *, values: bool = False) -> Tensor:
    """The Hadamard rotation around a quantised cache: 64 wide for values, as wide as goes for keys."""
    width = 64 if values else a.head_dim_k & -a.head_dim_k
    turn = g.input(("turn", a.window is not None, values), (width, width))
    flat = g.view(x, (width, x.n_bytes))
    return g.view(g.op(x.shape, turn, flat), x.shape)


def _latent(g: Graph, i: int, a: AttentionFacts, latent: LatentFacts, x: Tensor) -> Tensor:
    """DeepSeek-V2 over its compressed cache: queries are projected into the latent space (src/models/deepseek2.cpp)."""
    block, n = f"blk.{i}.attn_", g.tokens
    q = _queries(g, block, x)
    q = g.view(q, (a.head_dim_k, a.heads, n))
    turned = g.op((latent.rope_dim, a.heads, n), g.view(q), g.positions(), in_place=True)
    absorbed = g.op((latent.rank, n, a.heads), g.view(q))
    q = g.op((latent.rank + latent.rope_dim, a.heads, n), g.view(absorbed), turned)
    compressed = g.linear(block + "kv_a_mqa", x)
    turned = g.op((latent.rope_dim, 1, n), g.view(compressed), g.positions(), in_place=True)
    v = g.view(g.norm(block + "kv_a_norm", g.view(compressed, (latent.rank, n))))
    k = g.op((latent.rank + latent.rope_dim, 1, n), v, turned)
    for tensor in (q, v, k):
        g.expand(tensor)
    g.write(g.view(k), g.input(("k", False), (n,), I64))
    mixed = _mix(g, a, q, latent.rank, latent=block + "v_b")
    return g.linear(block + "output", mixed)


def _queries(g: Graph, block: str, x: Tensor) -> Tensor:
    if g.has(block + "q.weight"):
        return g.linear(block + "q", x)
    compressed = g.norm(block + "q_a_norm", g.linear(block + "q_a", x))
    return g.linear(block + "q_b", compressed)


def _uncompressed(g: Graph, i: int, a: AttentionFacts, x: Tensor) -> Tensor:
    """DeepSeek-V2 as converted before 2025-04: keys and values of every head are cached."""
    block, n = f"blk.{i}.attn_", g.tokens
    rank = g.shape(block + "kv_a_norm.weight")[0]
    rope = g.width(block + "kv_a_mqa") - rank
    q = g.view(_queries(g, block, x), (a.head_dim_k, a.heads, n))
    q = g.op(q.shape, q, g.positions(), in_place=True)
    compressed = g.linear(block + "kv_a_mqa", x)
    both = g.linear(block + "kv_b", g.norm(block + "kv_a_norm", g.view(compressed, (rank, n))))
    v = g.op((a.head_dim_v, a.heads, n), g.view(both))
    turned = g.op((rope, 1, n), g.view(compressed), g.positions(), in_place=True)
    repeated = g.op((rope, a.heads, n), turned)
    k = g.op((a.head_dim_k, a.heads, n), g.view(both), repeated)
    return g.linear(block + "output", _attend(g, a, q, k, v))
