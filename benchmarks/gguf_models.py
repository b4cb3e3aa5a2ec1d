"""Published models as GGUF headers: shapes from their config.json, names and layout as llama.cpp asks for them
(`load_arch_tensors` in src/models/*.cpp). `gguf_families` writes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gguf_families import Model, Shapes, Value


def _attention(
    block: str,
    hidden: int,
    heads: int,
    kv_heads: int,
    dim: int,
    *,
    bias: bool = False,
    qk_norm: int = 0,
    out_bias: bool = False,
    fused: bool = False,
    wide: int = 0,
) -> Shapes:
    q, kv = wide or heads * dim, kv_heads * dim
    widths = {"qkv": q + 2 * kv} if fused else {"q": q, "k": kv, "v": kv}
    found: Shapes = {f"{block}attn_{x}.weight": (hidden, n) for x, n in widths.items()}
    found[block + "attn_output.weight"] = (heads * dim, hidden)
    if bias:
        found |= {f"{block}attn_{x}.bias": (n,) for x, n in widths.items()}
    if out_bias:
        found[block + "attn_output.bias"] = (hidden,)
    if qk_norm:
        found |= {f"{block}attn_{x}_norm.weight": (qk_norm,) for x in "qk"}
    return found


def _feed_forward(block: str, hidden: int, inner: int, *, gate: bool = True, bias: bool = False) -> Shapes:
    found: Shapes = {block + "ffn_gate.weight": (hidden, inner)} if gate else {}
    found |= {block + "ffn_up.weight": (hidden, inner), block + "ffn_down.weight": (inner, hidden)}
    if bias:
        found |= {block + "ffn_up.bias": (inner,), block + "ffn_down.bias": (hidden,)}
    return found


def _experts(block: str, hidden: int, inner: int, count: int, shared: int = 0) -> Shapes:
    found: Shapes = {
        block + "ffn_gate_inp.weight": (hidden, count),
        block + "ffn_gate_exps.weight": (hidden, inner, count),
        block + "ffn_up_exps.weight": (hidden, inner, count),
        block + "ffn_down_exps.weight": (inner, hidden, count),
    }
    if shared:
        found |= {
            block + "ffn_gate_shexp.weight": (hidden, shared),
            block + "ffn_up_shexp.weight": (hidden, shared),
            block + "ffn_down_shexp.weight": (shared, hidden),
        }
    return found


def _norms(block: str, hidden: int, *names: str, bias: bool = False) -> Shapes:
    found: Shapes = {f"{block}{name}.weight": (hidden,) for name in names}
    if bias:
        found |= {f"{block}{name}.bias": (hidden,) for name in names}
    return found


def _ends(hidden: int, vocabulary: int, *, tied: bool = False, bias: bool = False) -> Shapes:
    found: Shapes = {"token_embd.weight": (hidden, vocabulary)}
    found |= _norms("", hidden, "output_norm", bias=bias)
    return found if tied else found | {"output.weight": (hidden, vocabulary)}


def _pairs(
    layers: int,
    hidden: int,
    heads: int,
    kv_heads: int | list[int],
    inner: int,
    context: int,
    dim: int,
    **more: Value,
) -> dict[str, Value]:
    """Metadata every transformer has; `__` stands for a dot in the names of `more`."""
    pairs: dict[str, Value] = {
        "block_count": layers,
        "embedding_length": hidden,
        "attention.head_count": heads,
        "attention.head_count_kv": kv_heads,
        "feed_forward_length": inner,
        "context_length": context,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "rope.dimension_count": dim,
    }
    if dim * heads != hidden:
        pairs |= {"attention.key_length": dim, "attention.value_length": dim}
    return pairs | {key.replace("__", "."): value for key, value in more.items()}


def dense(
    architecture: str,
    layers: int,
    hidden: int,
    heads: int,
    kv_heads: int,
    dim: int,
    inner: int,
    vocabulary: int,
    *,
    context: int = 32768,
    tied: bool = False,
    bias: bool = False,
    qk_norm: int = 0,
    norms: tuple[str, ...] = ("attn_norm", "ffn_norm"),
    dtype: str = "Q8_0",
    **more: Value,
) -> Model:
    """Normalise, attend, add, normalise, feed forward, add."""
    tensors = _ends(hidden, vocabulary, tied=tied)
    for i in range(layers):
        block = f"blk.{i}."
        tensors |= _norms(block, hidden, *norms)
        tensors |= _attention(block, hidden, heads, kv_heads, dim, bias=bias, qk_norm=qk_norm)
        tensors |= _feed_forward(block, hidden, inner)
    pairs = _pairs(layers, hidden, heads, kv_heads, inner, context, dim, **more)
    return Model(architecture, pairs, tensors, vocabulary, dtype)


def mixture(
    architecture: str,
    layers: int,
    hidden: int,
    heads: int,
    kv_heads: int,
    dim: int,
    inner: int,
    vocabulary: int,
    experts: int,
    used: int,
    *,
    shared: int = 0,
    bias: bool = False,
    qk_norm: int = 0,
    **more: Value,
) -> Model:
    """The same with experts for a feed-forward."""
    tensors = _ends(hidden, vocabulary)
    for i in range(layers):
        block = f"blk.{i}."
        tensors |= _norms(block, hidden, "attn_norm", "ffn_norm")
        tensors |= _attention(block, hidden, heads, kv_heads, dim, bias=bias, qk_norm=qk_norm)
        tensors |= _experts(block, hidden, inner, experts, shared)
        if architecture == "qwen2moe":
            tensors[block + "ffn_gate_inp_shexp.weight"] = (hidden,)
    counts: dict[str, Value] = {"expert_count": experts, "expert_used_count": used}
    pairs = _pairs(layers, hidden, heads, kv_heads, inner, 32768, dim, **more) | counts
    return Model(architecture, pairs, tensors, vocabulary, "Q4_K")


def mixtral() -> Model:
    return mixture("llama", 32, 4096, 32, 8, 128, 14336, 32000, 8, 2)


def qwen3_30b_a3b() -> Model:
    model = mixture("qwen3moe", 48, 2048, 32, 4, 128, 768, 151936, 128, 8, qk_norm=128)
    return _with(model, expert_feed_forward_length=768)


def qwen15_moe() -> Model:
    model = mixture("qwen2moe", 24, 2048, 16, 16, 128, 1408, 151936, 60, 4, shared=5632, bias=True)
    return _with(
        replace(model, dtype="Q4_0"), expert_feed_forward_length=1408, expert_shared_feed_forward_length=5632
    )


def _with(model: Model, **pairs: Value) -> Model:
    dotted = {key.replace("__", "."): value for key, value in pairs.items()}
    return replace(model, pairs=model.pairs | dotted)


def gpt_oss() -> Model:
    hidden, experts = 2880, 32
    tensors = _ends(hidden, 201088)
    for i in range(24):
        block = f"blk.{i}."
        tensors |= _norms(block, hidden, "attn_norm", "post_attention_norm")
        tensors |= _attention(block, hidden, 64, 8, 64, bias=True, out_bias=True)
        tensors |= _experts(block, hidden, 2880, experts)
        tensors |= {f"{block}ffn_{x}_exps.bias": (2880, experts) for x in ("gate", "up", "down")}
        tensors |= {block + "ffn_gate_inp.bias": (experts,), block + "attn_sinks.weight": (64,)}
    pairs = _pairs(
        24,
        hidden,
        64,
        8,
        2880,
        131072,
        64,
        expert_count=experts,
        expert_used_count=4,
        expert_feed_forward_length=2880,
        attention__sliding_window=128,
    )
    return Model("gpt-oss", pairs, tensors, 201088, "Q8_0", "MXFP4")


def phi2() -> Model:
    hidden = 2560
    tensors = _ends(hidden, 51200, bias=True) | {"output.bias": (51200,)}
    for i in range(32):
        block = f"blk.{i}."
        tensors |= _norms(block, hidden, "attn_norm", bias=True)
        tensors |= _attention(block, hidden, 32, 32, 80, bias=True, out_bias=True, fused=True)
        tensors |= _feed_forward(block, hidden, 10240, gate=False, bias=True)
    pairs = _pairs(32, hidden, 32, 32, 10240, 2048, 32, attention__layer_norm_epsilon=1e-5)
    del (
        pairs["attention.layer_norm_rms_epsilon"],
        pairs["attention.key_length"],
        pairs["attention.value_length"],
    )
    return Model("phi2", pairs, tensors, 51200, "Q4_K")


def phi3() -> Model:
    hidden = 3072
    tensors = _ends(hidden, 32064)
    for i in range(32):
        block = f"blk.{i}."
        tensors |= _norms(block, hidden, "attn_norm", "ffn_norm")
        tensors |= _attention(block, hidden, 32, 32, 96, fused=True)
        tensors[block + "ffn_up.weight"] = (hidden, 2 * 8192)
        tensors[block + "ffn_down.weight"] = (8192, hidden)
    pairs = _pairs(32, hidden, 32, 32, 8192, 4096, 96)
    pairs["rope.scaling.original_context_length"] = 4096
    return Model("phi3", pairs, tensors, 32064, "Q4_K")


def gpt2() -> Model:
    hidden = 768
    tensors = _ends(hidden, 50257, tied=True, bias=True) | {"position_embd.weight": (hidden, 1024)}
    for i in range(12):
        block = f"blk.{i}."
        tensors |= _norms(block, hidden, "attn_norm", "ffn_norm", bias=True)
        tensors |= _attention(block, hidden, 12, 12, 64, bias=True, out_bias=True, fused=True)
        tensors |= _feed_forward(block, hidden, 3072, gate=False, bias=True)
    pairs = _pairs(12, hidden, 12, 12, 3072, 1024, 64, attention__layer_norm_epsilon=1e-5)
    del pairs["attention.layer_norm_rms_epsilon"]
    return Model("gpt2", pairs, tensors, 50257)


def gptneox() -> Model:
    hidden = 2048
    tensors = _ends(hidden, 50304, bias=True)
    for i in range(16):
        block = f"blk.{i}."
        tensors |= _norms(block, hidden, "attn_norm", "ffn_norm", bias=True)
        tensors |= _attention(block, hidden, 8, 8, 256, bias=True, out_bias=True, fused=True)
        tensors |= _feed_forward(block, hidden, 8192, gate=False, bias=True)
    pairs = _pairs(16, hidden, 8, 8, 8192, 2048, 64, attention__layer_norm_epsilon=1e-5)
    pairs |= {"attention.key_length": 256, "attention.value_length": 256, "use_parallel_residual": True}
    del pairs["attention.layer_norm_rms_epsilon"]
    return Model("gptneox", pairs, tensors, 50304)


def starcoder2() -> Model:
    hidden = 3072
    tensors = _ends(hidden, 49152, tied=True, bias=True)
    for i in range(30):
        block = f"blk.{i}."
        tensors |= _norms(block, hidden, "attn_norm", "ffn_norm", bias=True)
        tensors |= _attention(block, hidden, 24, 2, 128, bias=True, out_bias=True)
        tensors |= _feed_forward(block, hidden, 12288, gate=False, bias=True)
    pairs = _pairs(30, hidden, 24, 2, 12288, 16384, 128, attention__layer_norm_epsilon=1e-5)
    del pairs["attention.layer_norm_rms_epsilon"]
    return Model("starcoder2", pairs, tensors, 49152)


def stablelm() -> Model:
    hidden = 2560
    tensors = _ends(hidden, 50304, bias=True)
    for i in range(32):
        block = f"blk.{i}."
        tensors |= _norms(block, hidden, "attn_norm", "ffn_norm", bias=True)
        tensors |= _attention(block, hidden, 32, 32, 80)
        tensors |= _feed_forward(block, hidden, 6912)
    pairs = _pairs(32, hidden, 32, 32, 6912, 4096, 20, attention__layer_norm_epsilon=1e-5)
    pairs |= {"use_parallel_residual": False, "attention.key_length": 80, "attention.value_length": 80}
    del pairs["attention.layer_norm_rms_epsilon"]
    return Model("stablelm", pairs, tensors, 50304)


def falcon() -> Model:
    hidden = 4544
    tensors = _ends(hidden, 65024, tied=True, bias=True)
    for i in range(32):
        block = f"blk.{i}."
        tensors |= _norms(block, hidden, "attn_norm", bias=True)
        tensors |= _attention(block, hidden, 71, 1, 64, fused=True)
        tensors |= _feed_forward(block, hidden, 18176, gate=False)
    pairs = _pairs(32, hidden, 71, 1, 18176, 2048, 64, attention__layer_norm_epsilon=1e-5)
    del pairs["attention.layer_norm_rms_epsilon"]
    return Model("falcon", pairs, tensors, 65024)


def command_r() -> Model:
    hidden = 4096
    tensors = _ends(hidden, 256000, tied=True)
    for i in range(32):
        block = f"blk.{i}."
        tensors |= _norms(block, hidden, "attn_norm")
        tensors |= _attention(block, hidden, 32, 8, 128)
        tensors |= _feed_forward(block, hidden, 14336)
    pairs = _pairs(
        32, hidden, 32, 8, 14336, 8192, 128, attention__layer_norm_epsilon=1e-5, logit_scale=0.0625
    )
    return Model("command-r", pairs, tensors, 256000)


def olmo2() -> Model:
    hidden = 4096
    tensors = _ends(hidden, 100352)
    for i in range(32):
        block = f"blk.{i}."
        tensors |= _norms(block, hidden, "post_attention_norm", "post_ffw_norm")
        tensors |= _attention(block, hidden, 32, 32, 128, qk_norm=4096)
        tensors |= _feed_forward(block, hidden, 11008)
    return Model("olmo2", _pairs(32, hidden, 32, 32, 11008, 4096, 128), tensors, 100352)


def granite() -> Model:
    return dense(
        "granite",
        40,
        4096,
        32,
        8,
        128,
        12800,
        49155,
        tied=True,
        logit_scale=16.0,
        embedding_scale=12.0,
        residual_scale=0.22,
        attention__scale=0.0078125,
    )


def deepseek_v2_lite(latent: bool = True) -> Model:
    """`latent`: as converted today, with the cache compressed; else as converted before 2025-04."""
    hidden, heads, rank, nope, rope, value = 2048, 16, 512, 128, 64, 128
    tensors = _ends(hidden, 102400)
    for i in range(27):
        block = f"blk.{i}."
        tensors |= _norms(block, hidden, "attn_norm", "ffn_norm")
        tensors |= {
            block + "attn_q.weight": (hidden, heads * (nope + rope)),
            block + "attn_kv_a_mqa.weight": (hidden, rank + rope),
            block + "attn_kv_a_norm.weight": (rank,),
            block + "attn_output.weight": (heads * value, hidden),
        }
        if latent:
            tensors[block + "attn_k_b.weight"] = (nope, rank, heads)
            tensors[block + "attn_v_b.weight"] = (rank, value, heads)
        else:
            tensors[block + "attn_kv_b.weight"] = (rank, heads * (nope + value))
        dense_first = i == 0
        tensors |= (
            _feed_forward(block, hidden, 10944)
            if dense_first
            else _experts(block, hidden, 1408, 64, 2 * 1408)
        )
    pairs = _pairs(
        27,
        hidden,
        heads,
        1 if latent else heads,
        10944,
        163840,
        rope,
        attention__kv_lora_rank=rank,
        leading_dense_block_count=1,
        expert_count=64,
        expert_used_count=6,
        expert_feed_forward_length=1408,
        expert_shared_count=2,
        expert_weights_scale=1.0,
        expert_weights_norm=False,
        expert_gating_func=1,
    )
    pairs |= {
        "attention.key_length": rank + rope if latent else nope + rope,
        "attention.value_length": rank if latent else value,
    }
    if latent:
        pairs |= {"attention.key_length_mla": nope + rope, "attention.value_length_mla": value}
    return Model("deepseek2", pairs, tensors, 102400)


def _state(kernel: int, inner: int, state: int, rank: int, groups: int | None = None) -> dict[str, Value]:
    found: dict[str, Value] = {
        "ssm.conv_kernel": kernel,
        "ssm.inner_size": inner,
        "ssm.state_size": state,
        "ssm.time_step_rank": rank,
    }
    return found if groups is None else found | {"ssm.group_count": groups}


def _mamba1(block: str, hidden: int, inner: int, state: int, rank: int, kernel: int = 4) -> Shapes:
    return {
        block + "ssm_in.weight": (hidden, 2 * inner),
        block + "ssm_conv1d.weight": (kernel, inner),
        block + "ssm_conv1d.bias": (inner,),
        block + "ssm_x.weight": (inner, rank + 2 * state),
        block + "ssm_dt.weight": (rank, inner),
        block + "ssm_dt.bias": (inner,),
        block + "ssm_a": (state, inner),
        block + "ssm_d": (inner,),
        block + "ssm_out.weight": (inner, hidden),
    }


def _mamba2(
    block: str,
    hidden: int,
    inner: int,
    state: int,
    heads: int,
    groups: int,
    kernel: int = 4,
    norm: bool = True,
) -> Shapes:
    channels = inner + 2 * groups * state
    found: Shapes = {
        block + "ssm_in.weight": (hidden, inner + channels + heads),
        block + "ssm_conv1d.weight": (kernel, channels),
        block + "ssm_conv1d.bias": (channels,),
        block + "ssm_dt.bias": (heads,),
        block + "ssm_a": (1, heads),
        block + "ssm_d": (1, heads),
        block + "ssm_out.weight": (inner, hidden),
    }
    return found | ({block + "ssm_norm.weight": (inner // groups, groups)} if norm else {})


def _recurrent_pairs(layers: int, hidden: int, context: int, state: dict[str, Value]) -> dict[str, Value]:
    return {
        "block_count": layers,
        "embedding_length": hidden,
        "context_length": context,
        "feed_forward_length": 0,
        "attention.head_count": 0,
        "attention.layer_norm_rms_epsilon": 1e-5,
        **state,
    }


def mamba() -> Model:
    hidden, inner, state, rank = 2048, 4096, 16, 128
    tensors = _ends(hidden, 50280, tied=True)
    for i in range(48):
        tensors |= _norms(f"blk.{i}.", hidden, "attn_norm") | _mamba1(f"blk.{i}.", hidden, inner, state, rank)
    pairs = _recurrent_pairs(48, hidden, 1048576, _state(4, inner, state, rank))
    return Model("mamba", pairs, tensors, 50280)


def mamba2() -> Model:
    hidden, inner, state, heads = 2048, 4096, 128, 64
    tensors = _ends(hidden, 50288, tied=True)
    for i in range(48):
        tensors |= _norms(f"blk.{i}.", hidden, "attn_norm") | _mamba2(
            f"blk.{i}.", hidden, inner, state, heads, 1
        )
    pairs = _recurrent_pairs(48, hidden, 1048576, _state(4, inner, state, heads, 1))
    return Model("mamba2", pairs, tensors, 50288)


def jamba() -> Model:
    """Jamba Mini's blocks: attention in one of 8, experts in every second."""
    hidden, inner, state, rank, layers = 4096, 8192, 16, 256, 32
    tensors = _ends(hidden, 65536)
    kv = [8 if i % 8 == 4 else 0 for i in range(layers)]
    for i in range(layers):
        block = f"blk.{i}."
        tensors |= _norms(block, hidden, "attn_norm", "ffn_norm")
        if kv[i]:
            tensors |= _attention(block, hidden, 32, 8, 128)
        else:
            tensors |= _mamba1(block, hidden, inner, state, rank)
            tensors |= {
                block + "ssm_dt_norm.weight": (rank,),
                block + "ssm_b_norm.weight": (state,),
                block + "ssm_c_norm.weight": (state,),
            }
        tensors |= _experts(block, hidden, 14336, 16) if i % 2 else _feed_forward(block, hidden, 14336)
    pairs = _pairs(layers, hidden, 32, kv, 14336, 262144, 128, expert_count=16, expert_used_count=2)
    pairs |= _state(4, inner, state, rank)
    return Model("jamba", pairs, tensors, 65536, "Q4_K")


def falcon_h1() -> Model:
    """Falcon-H1-1.5B: attention and Mamba-2 side by side in every block."""
    hidden, layers = 2048, 24
    tensors = _ends(hidden, 65537, tied=True)
    for i in range(layers):
        block = f"blk.{i}."
        tensors |= _norms(block, hidden, "attn_norm") | {block + "ffn_norm": (hidden,)}
        tensors |= _attention(block, hidden, 8, 2, 128)
        tensors |= _mamba2(block, hidden, 3072, 256, 48, 1, norm=False)
        tensors |= _feed_forward(block, hidden, 4096)
    pairs = _pairs(layers, hidden, 8, 2, 4096, 131072, 128) | _state(4, 3072, 256, 48, 1)
    return Model("falcon-h1", pairs, tensors, 65537)


def granite_hybrid() -> Model:
    """Granite-4.0-H-Tiny."""
    hidden, inner, state, heads, layers = 1536, 3072, 128, 48, 40
    kv = [4 if i in (5, 15, 25, 35) else 0 for i in range(layers)]
    tensors = _ends(hidden, 100352, tied=True)
    for i in range(layers):
        block = f"blk.{i}."
        tensors |= _norms(block, hidden, "attn_norm", "ffn_norm")
        attention = _attention(block, hidden, 12, 4, 128)
        tensors |= attention if kv[i] else _mamba2(block, hidden, inner, state, heads, 1)
        tensors |= _experts(block, hidden, 512, 64, 1024)
    pairs = _pairs(
        layers,
        hidden,
        12,
        kv,
        512,
        131072,
        128,
        expert_count=64,
        expert_used_count=6,
        expert_feed_forward_length=512,
        expert_shared_feed_forward_length=1024,
        logit_scale=6.0,
        embedding_scale=12.0,
        residual_scale=0.22,
        attention__scale=0.0078125,
        rope__scaling__finetuned=False,
    )
    return Model("granitehybrid", pairs | _state(4, inner, state, heads, 1), tensors, 100352)


def lfm2() -> Model:
    """LFM2-1.2B: short convolutions, attention in six of 16 blocks."""
    hidden, layers = 2048, 16
    kv = [8 if i in (2, 5, 8, 10, 12, 14) else 0 for i in range(layers)]
    tensors: Shapes = {"token_embd.weight": (hidden, 65536), "token_embd_norm.weight": (hidden,)}
    for i in range(layers):
        block = f"blk.{i}."
        tensors |= _norms(block, hidden, "attn_norm", "ffn_norm")
        if kv[i]:
            tensors |= _attention(block, hidden, 32, 8, 64, qk_norm=64)
        else:
            tensors |= {
                block + "shortconv.conv.weight": (3, hidden),
                block + "shortconv.in_proj.weight": (hidden, 3 * hidden),
                block + "shortconv.out_proj.weight": (hidden, hidden),
            }
        tensors |= _feed_forward(block, hidden, 8192)
    pairs = _pairs(layers, hidden, 32, kv, 8192, 128000, 64, shortconv__l_cache=3)
    return Model("lfm2", pairs, tensors, 65536)


def _lfm2moe() -> Model:
    """The same with experts for a feed-forward in all but two blocks."""
    model = replace(lfm2(), architecture="lfm2moe")
    tensors = {
        name: shape
        for name, shape in model.tensors.items()
        if ".ffn_" not in name or "norm" in name or int(name.split(".")[1]) < 2
    }
    for i in range(2, 16):
        tensors |= _experts(f"blk.{i}.", 2048, 1792, 32)
        tensors[f"blk.{i}.exp_probs_b.bias"] = (32,)
    return _with(
        replace(model, tensors=tensors),
        leading_dense_block_count=2,
        expert_count=32,
        expert_used_count=4,
        expert_feed_forward_length=1792,
        expert_gating_func=2,
    )


def qwen3next() -> Model:
    """Qwen3-Next-80B-A3B: gated delta net, full attention in every fourth block."""
    model = _gated_delta_net("qwen3next", 48, 151936, experts=512, used=10)
    return replace(model, dtype="Q4_K")


def _gated_delta_net(
    architecture: str, layers: int, vocabulary: int, *, experts: int = 0, used: int = 0, **more: Value
) -> Model:
    hidden, inner, state, groups, values = 2048, 5120, 128, 16, 32
    key_dim, value_dim = state * groups, state * values
    rates = {"ba": 2 * values} if architecture == "qwen3next" else {"alpha": values, "beta": values}
    tensors = _ends(hidden, vocabulary)
    for i in range(layers):
        block = f"blk.{i}."
        tensors |= _norms(block, hidden, "attn_norm", "post_attention_norm")
        if i % 4 == 3:
            tensors |= _attention(block, hidden, 16, 2, 256, qk_norm=256, wide=2 * 16 * 256)
        else:
            tensors |= {f"{block}ssm_{name}.weight": (hidden, n) for name, n in rates.items()} | {
                block + "attn_qkv.weight": (hidden, 2 * key_dim + value_dim),
                block + "attn_gate.weight": (hidden, value_dim),
                block + "ssm_conv1d.weight": (4, 2 * key_dim + value_dim),
                block + "ssm_dt.bias": (values,),
                block + "ssm_a": (values,),
                block + "ssm_norm.weight": (state,),
                block + "ssm_out.weight": (value_dim, hidden),
            }
        if experts:
            tensors |= _experts(block, hidden, 512, experts, 512)
            tensors[block + "ffn_gate_inp_shexp.weight"] = (hidden,)
        else:
            tensors |= _feed_forward(block, hidden, inner)
    pairs = _pairs(layers, hidden, 16, 2, inner, 262144, 64, **more)
    pairs |= {"attention.key_length": 256, "attention.value_length": 256}
    if experts:
        pairs |= {"expert_count": experts, "expert_used_count": used, "expert_feed_forward_length": 512}
        pairs["expert_shared_feed_forward_length"] = 512
    return Model(architecture, pairs | _state(4, value_dim, state, values, groups), tensors, vocabulary)


def gemma3n() -> Model:
    """Gemma 3n E2B: alternating updates, low-rank residuals, inputs per layer, shared caches."""
    hidden, layers, inner, vocabulary, per_layer, streams = 2048, 30, 8192, 262144, 256, 4
    tensors = _ends(hidden, vocabulary, tied=True) | {
        "per_layer_token_embd.weight": (per_layer * layers, vocabulary),
        "per_layer_model_proj.weight": (hidden, per_layer * layers),
        "per_layer_proj_norm.weight": (per_layer,),
        "altup_proj.weight": (hidden, hidden, streams - 1),
        "altup_unembd_proj.weight": (hidden, hidden, streams - 1),
    }
    for i in range(layers):
        block = f"blk.{i}."
        tensors |= _norms(
            block, hidden, "attn_norm", "ffn_norm", "post_attention_norm", "post_ffw_norm", "post_norm"
        )
        tensors |= _norms(block, hidden, "altup_router_norm", "laurel_post_norm")
        tensors |= _attention(block, hidden, 8, 2, 256, qk_norm=256) | _feed_forward(block, hidden, inner)
        tensors |= {
            block + "inp_gate.weight": (hidden, per_layer),
            block + "proj.weight": (per_layer, hidden),
            block + "altup_correct_coef.weight": (streams, streams),
            block + "altup_correct_scale.weight": (hidden,),
            block + "altup_predict_coef.weight": (streams, streams * streams),
            block + "altup_router.weight": (hidden, streams),
            block + "laurel_l.weight": (hidden, 64),
            block + "laurel_r.weight": (64, hidden),
        }
    pattern = [i % 5 != 4 for i in range(layers)]
    pairs = _pairs(
        layers,
        hidden,
        8,
        2,
        inner,
        32768,
        256,
        attention__sliding_window=512,
        attention__shared_kv_layers=10,
        attention__sliding_window_pattern=pattern,
        embedding_length_per_layer_input=per_layer,
        altup__num_inputs=streams,
        altup__active_idx=0,
    )
    return Model("gemma3n", pairs, tensors, vocabulary)


_GEMMA = ("attn_norm", "ffn_norm", "post_attention_norm", "post_ffw_norm")

FAMILIES: dict[str, Callable[[], Model]] = {
    "llama-3-8b": lambda: dense("llama", 32, 4096, 32, 8, 128, 14336, 128256, dtype="Q4_K"),
    "llama-3.2-1b": lambda: dense("llama", 16, 2048, 32, 8, 64, 8192, 128256, tied=True),
    "qwen2-7b": lambda: dense("qwen2", 28, 3584, 28, 4, 128, 18944, 152064, bias=True),
    "qwen3-8b": lambda: dense("qwen3", 36, 4096, 32, 8, 128, 12288, 151936, qk_norm=128, dtype="Q4_K"),
    "qwen3-30b-a3b": qwen3_30b_a3b,
    "qwen1.5-moe-a2.7b": qwen15_moe,
    "mistral-7b": lambda: dense("llama", 32, 4096, 32, 8, 128, 14336, 32000),
    "ministral-3-8b": lambda: dense("mistral3", 34, 4096, 32, 8, 128, 14336, 131072),
    "mixtral-8x7b": mixtral,
    "gemma-2b": lambda: dense("gemma", 18, 2048, 8, 1, 256, 16384, 256000, tied=True),
    "gemma-2-9b": lambda: dense(
        "gemma2", 42, 3584, 16, 8, 256, 14336, 256000, tied=True, norms=_GEMMA, attention__sliding_window=4096
    ),
    "gemma-3-4b": lambda: dense(
        "gemma3",
        34,
        2560,
        8,
        4,
        256,
        10240,
        262208,
        tied=True,
        qk_norm=256,
        norms=_GEMMA,
        attention__sliding_window=1024,
    ),
    "gemma-3n-e2b": gemma3n,
    "phi-2": phi2,
    "phi-3-mini": phi3,
    "deepseek-v2-lite": deepseek_v2_lite,
    "deepseek-v2-lite-uncompressed": lambda: deepseek_v2_lite(latent=False),
    "gpt2": gpt2,
    "pythia-1b": gptneox,
    "starcoder2-3b": starcoder2,
    "stablelm-3b": stablelm,
    "falcon-7b": falcon,
    "command-r7b-like": command_r,
    "olmo-2-7b": olmo2,
    "smollm3-3b": lambda: dense("smollm3", 36, 2048, 16, 4, 128, 11008, 128256, tied=True),
    "granite-3-8b": granite,
    "mamba-1.4b": mamba,
    "mamba2-1.3b": mamba2,
    "jamba-mini": jamba,
    "falcon-h1-1.5b": falcon_h1,
    "granite-4-h-tiny": granite_hybrid,
    "lfm2-1.2b": lfm2,
    "qwen3-next-80b-a3b": qwen3next,
    "gpt-oss-20b": gpt_oss,
}


def _small(
    architecture: str, *, qk_norm: int = 0, bias: bool = False, tied: bool = False, **pairs: Value
) -> Model:
    """A small dense model, laid out as llama's."""
    model = dense(architecture, 6, 1024, 16, 4, 64, 3072, 512, qk_norm=qk_norm, bias=bias, tied=tied)
    return _with(model, **pairs)


def _small_mixture(
    architecture: str,
    *,
    kv_heads: int = 4,
    qk_norm: int = 0,
    bias: bool = False,
    shared: int = 0,
    **pairs: Value,
) -> Model:
    """A small mixture of experts, laid out as Qwen's."""
    model = mixture(
        architecture, 6, 1024, 16, kv_heads, 64, 512, 512, 16, 4, qk_norm=qk_norm, bias=bias, shared=shared
    )
    return _with(replace(model, dtype="Q8_0"), **pairs)


def _renamed(model: Model, **names: str | None) -> Model:
    """The same with norms under other names; None: without them."""
    found: Shapes = {}
    for name, shape in model.tensors.items():
        parts = name.split(".")
        if len(parts) == 4 and parts[2] in names:
            other = names[parts[2]]
            if other is None:
                continue
            parts[2] = other
        found[".".join(parts)] = shape
    return replace(model, tensors=found)


def _layer_normed(model: Model, *, bias: bool) -> Model:
    """The same with the mean taken, too, and perhaps shifted."""
    pairs = {key: value for key, value in model.pairs.items() if key != "attention.layer_norm_rms_epsilon"}
    shifts = {
        name.replace(".weight", ".bias"): shape
        for name, shape in model.tensors.items()
        if bias and name.endswith("norm.weight")
    }
    return replace(
        model, pairs=pairs | {"attention.layer_norm_epsilon": 1e-5}, tensors=model.tensors | shifts
    )


def _added(model: Model, **shapes: tuple[int, ...]) -> Model:
    """The same with more tensors in every block; `__` stands for a dot."""
    layers = model.pairs["block_count"]
    more = {
        f"blk.{i}.{name.replace('__', '.')}": shape
        for i in range(layers if isinstance(layers, int) else 0)
        for name, shape in shapes.items()
    }
    return replace(model, tensors=model.tensors | more)


def _phimoe() -> Model:
    model = _layer_normed(_small_mixture("phimoe", attention__layer_norm_rms_epsilon=1e-5), bias=True)
    pairs = model.pairs | {"attention.layer_norm_rms_epsilon": 1e-5}
    return replace(model, pairs=pairs, tensors=model.tensors | {"output.bias": (512,)})


def _gemma4(*, own_inputs: bool = False, experts: int = 0) -> Model:
    """Gemma 4's blocks: with an input of its own for every layer and shared caches (E2B, E4B), or with keys for
    values in full layers (31B), and experts (26B)."""
    hidden, layers, inner, vocabulary, dim, wide, own = 1536, 12, 6144, 512, 256, 512, 256
    tensors = _ends(hidden, vocabulary, tied=True) | {"rope_freqs.weight": (wide // 2,)}
    sliding = [i % 4 != 3 for i in range(layers)]
    if own_inputs:
        tensors |= {
            "per_layer_token_embd.weight": (own * layers, vocabulary),
            "per_layer_model_proj.weight": (hidden, own * layers),
            "per_layer_proj_norm.weight": (own,),
        }
    for i in range(layers):
        block, head = f"blk.{i}.", dim if sliding[i] else wide
        tensors |= _norms(block, hidden, *_GEMMA) | _attention(block, hidden, 8, 2, head, qk_norm=head)
        if not own_inputs and not sliding[i]:
            del tensors[block + "attn_v.weight"]
        tensors |= _feed_forward(block, hidden, inner) | {block + "layer_output_scale.weight": (1,)}
        if own_inputs:
            tensors |= _norms(block, hidden, "post_norm")
            tensors |= {block + "inp_gate.weight": (hidden, own), block + "proj.weight": (own, hidden)}
        if experts:
            tensors |= _norms(block, hidden, "pre_ffw_norm_2", "post_ffw_norm_1", "post_ffw_norm_2") | {
                block + "ffn_gate_inp.weight": (hidden, experts),
                block + "ffn_gate_inp.scale": (hidden,),
                block + "ffn_gate_up_exps.weight": (hidden, 2 * 704, experts),
                block + "ffn_down_exps.weight": (704, hidden, experts),
                block + "ffn_down_exps.scale": (experts,),
            }
    pairs = _pairs(layers, hidden, 8, 2, inner, 131072, wide)
    pairs |= {
        "attention.key_length_swa": dim,
        "attention.value_length_swa": dim,
        "rope.dimension_count_swa": dim,
        "attention.sliding_window": 512,
        "attention.sliding_window_pattern": sliding,
        "attention.shared_kv_layers": 4 if own_inputs else 0,
        "embedding_length_per_layer_input": own if own_inputs else 0,
        "final_logit_softcapping": 30.0,
    }
    if experts:
        pairs |= {"expert_count": experts, "expert_used_count": 4, "expert_feed_forward_length": 704}
    return Model("gemma4", pairs, tensors, vocabulary)


_GRANITE: dict[str, Value] = {
    "logit_scale": 16.0,
    "embedding_scale": 12.0,
    "residual_scale": 0.22,
    "attention__scale": 0.0078125,
}
_SIGMOID: dict[str, Value] = {"expert_gating_func": 2}
_SHARED: dict[str, Value] = {
    "leading_dense_block_count": 0,
    "expert_feed_forward_length": 512,
    "expert_shared_count": 1,
    "expert_weights_scale": 1.0,
    "expert_weights_norm": True,
}
_SECTIONS: Value = [12, 10, 10, 0]

ALIKE: dict[str, Callable[[], Model]] = {
    "arcee": lambda: _renamed(_small("arcee"), ffn_gate=None),
    "bailingmoe": lambda: _small_mixture("bailingmoe", shared=512, **_SHARED),
    "cohere2": lambda: _layer_normed(
        _renamed(
            _small("cohere2", tied=True, logit_scale=0.25, attention__sliding_window=256), ffn_norm=None
        ),
        bias=False,
    ),
    "deepseek": lambda: _small_mixture("deepseek", shared=512, **_SHARED | {"expert_weights_norm": False}),
    "dots1": lambda: _added(
        _small_mixture("dots1", kv_heads=16, qk_norm=64, shared=512, **_SHARED, **_SIGMOID),
        exp_probs_b__bias=(16,),
    ),
    "ernie4_5": lambda: _small("ernie4_5"),
    "ernie4_5-moe": lambda: _small_mixture(
        "ernie4_5-moe",
        shared=512,
        expert_shared_feed_forward_length=512,
        interleave_moe_layer_step=1,
        **_SHARED,
    ),
    "exaone": lambda: _small("exaone"),
    "exaone4": lambda: _renamed(
        _small("exaone4", qk_norm=64), attn_norm="post_attention_norm", ffn_norm="post_ffw_norm"
    ),
    "gemma4 with own inputs": lambda: _gemma4(own_inputs=True),
    "gemma4 with keys for values": _gemma4,
    "gemma4 with experts": lambda: _gemma4(experts=16),
    "glm4": lambda: _added(
        _renamed(_small("glm4"), ffn_gate=None),
        ffn_up__weight=(1024, 2 * 3072),
        post_attention_norm__weight=(1024,),
        post_ffw_norm__weight=(1024,),
    ),
    "glm4moe": lambda: _added(
        _renamed(
            _small_mixture("glm4moe", qk_norm=64, shared=512, bias=True, **_SHARED),
            ffn_norm="post_attention_norm",
        ),
        exp_probs_b__bias=(16,),
    ),
    "granitemoe": lambda: _small_mixture("granitemoe", **_GRANITE),
    "hunyuan-dense": lambda: _small("hunyuan-dense", qk_norm=64),
    "hunyuan-moe": lambda: _small_mixture(
        "hunyuan-moe", qk_norm=64, shared=512, expert_shared_feed_forward_length=512, **_SHARED
    ),
    "internlm2": lambda: _small("internlm2"),
    "lfm2moe": _lfm2moe,
    "maincoder": lambda: _small("maincoder", qk_norm=64),
    "minicpm": lambda: _small("minicpm"),
    "minimax-m2": lambda: _added(
        _small_mixture("minimax-m2", **_SHARED, **_SIGMOID),
        exp_probs_b__bias=(16,),
        attn_q_norm__weight=(1024,),
        attn_k_norm__weight=(256,),
    ),
    "nemotron": lambda: _layer_normed(_renamed(_small("nemotron"), ffn_gate=None), bias=True),
    "olmoe": lambda: _small_mixture("olmoe", kv_heads=16, qk_norm=1024),
    "orion": lambda: _layer_normed(_small("orion"), bias=True),
    "phimoe": lambda: _added(_phimoe(), attn_output__bias=(1024,)),
    "qwen2vl": lambda: _small("qwen2vl", bias=True, rope__dimension_sections=_SECTIONS),
    "qwen35": lambda: _gated_delta_net("qwen35", 8, 512, rope__dimension_sections=[11, 11, 10, 0]),
    "qwen35moe": lambda: _gated_delta_net(
        "qwen35moe", 8, 512, experts=64, used=8, rope__dimension_sections=[11, 11, 10, 0]
    ),
    "qwen3vl": lambda: _small("qwen3vl", qk_norm=64, rope__dimension_sections=_SECTIONS),
    "qwen3vlmoe": lambda: _small_mixture(
        "qwen3vlmoe", qk_norm=64, expert_feed_forward_length=512, rope__dimension_sections=_SECTIONS
    ),
    "seed_oss": lambda: _renamed(_small("seed_oss", bias=True), ffn_norm="post_attention_norm"),
    "xverse": lambda: _small("xverse"),
}
"""Further architectures whose graph is one of those above, each as a small model of no particular make."""
