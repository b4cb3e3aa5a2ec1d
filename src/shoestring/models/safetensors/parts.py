"""What a layer holds: its attention, its recurrent state and its experts, by the names that config classes use.

From `transformers/models/*/modeling_*.py`: the attention, mixer and mixture classes of each family.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from shoestring.models.facts import AttentionFacts, ExpertFacts, LatentFacts, StateFacts
from shoestring.models.safetensors.config import Section

HIDDEN = ("hidden_size", "n_embd", "n_embed")
LAYERS = ("num_hidden_layers", "n_layer")
HEADS = ("num_attention_heads", "n_head")
INNER = "intermediate_size"
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")

AttentionRule = Callable[[Section], AttentionFacts]
StateRule = Callable[[Section], StateFacts]
MixtureRule = Callable[[Section, int], tuple[ExpertFacts | None, ...]]


def grouped(config: Section) -> AttentionFacts:
    """Grouped-query attention; `head_dim` is the config's own, else hidden size / heads."""
    return _grouped(config, config.integer("head_dim"))


def grouped_by_hidden_size(config: Section) -> AttentionFacts:
    """The same of models that ignore a `head_dim` (StableLM, Cohere 2)."""
    return _grouped(config, None)


def multi_head(config: Section) -> AttentionFacts:
    """As many key-value heads as heads, whatever else is stated (GPT-2, GPT-NeoX)."""
    heads = config.required(*HEADS)
    dim = config.required(*HIDDEN) // heads
    return AttentionFacts(heads, heads, dim, dim)


def _grouped(config: Section, head_dim: int | None) -> AttentionFacts:
    heads = config.required(*HEADS)
    kv_heads = config.integer("num_key_value_heads") or heads
    if heads % kv_heads:
        raise config.wrong(f"has {heads} attention heads, which {kv_heads} key-value heads do not divide")
    dim = head_dim or config.required(*HIDDEN) // heads
    return AttentionFacts(heads, kv_heads, dim, dim)


def multi_query(config: Section) -> AttentionFacts:
    """One key-value head for all unless `multi_query` is off (GPT-BigCode)."""
    facts = multi_head(config)
    return facts if config.flag("multi_query") is False else replace(facts, kv_heads=1)


def falcon(config: Section) -> AttentionFacts:
    """One key-value head for all, unless it is the newer architecture or multi-query is off.

    The newer one computes fewer keys and values than heads, but transformers repeats them for every head before it
    caches them (`modeling_falcon.py`, `_split_heads`).
    """
    heads = config.required(*HEADS)
    dim = config.required(*HIDDEN) // heads
    many = config.flag("new_decoder_architecture") or config.flag("multi_query") is False
    return AttentionFacts(heads, heads if many else 1, dim, dim)


def latent(config: Section) -> AttentionFacts:
    """Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434)."""
    heads = config.required(*HEADS)
    rope = config.required("qk_rope_head_dim")
    return AttentionFacts(
        heads=heads,
        kv_heads=heads,
        head_dim_k=config.required("qk_nope_head_dim", least=0) + rope,
        head_dim_v=config.required("v_head_dim"),
        latent=LatentFacts(config.required("kv_lora_rank"), rope, config.integer("q_lora_rank")),
    )


def mamba(config: Section) -> StateFacts:
    """Mamba (arXiv:2312.00752): `state_size` values for each channel of the inner width.

    The width is `expand` hidden sizes unless `intermediate_size` states it (Falcon Mamba: 8192, not 16 × 4096).
    """
    inner = config.integer(INNER) or config.required("expand") * config.required(*HIDDEN)
    return StateFacts("mamba", inner, config.required("conv_kernel"), inner * config.required("state_size"))


def mamba_in_jamba(config: Section) -> StateFacts:
    """The same with Jamba's names; `intermediate_size` is its feed-forward's."""
    inner = config.required("mamba_expand") * config.required(*HIDDEN)
    return StateFacts(
        "mamba", inner, config.required("mamba_d_conv"), inner * config.required("mamba_d_state")
    )


def mamba2(config: Section) -> StateFacts:
    """Mamba 2 (arXiv:2405.21060): heads × head_dim × state; the convolution runs over B and C of each group, too."""
    inner = config.integer("mamba_d_ssm") or (
        config.required("expand", "mamba_expand") * config.required(*HIDDEN)
    )
    heads = config.required("num_heads", "mamba_n_heads")
    groups = config.required("n_groups", "mamba_n_groups")
    size = config.required("state_size", "mamba_d_state")
    if inner % heads:
        raise config.wrong(f"has an inner width of {inner:,}, which its {heads:,} Mamba heads do not divide")
    kernel = config.required("conv_kernel", "mamba_d_conv")
    return StateFacts("mamba2", inner + 2 * groups * size, kernel, inner * size)


def delta_net(config: Section) -> StateFacts:
    """Gated delta net (arXiv:2412.06464): a matrix of key × value values for each value head."""
    key, value = config.required("linear_key_head_dim"), config.required("linear_value_head_dim")
    heads = config.required("linear_num_value_heads")
    channels = 2 * key * config.required("linear_num_key_heads") + value * heads
    return StateFacts(
        "linear_attention", channels, config.required("linear_conv_kernel_dim"), heads * key * value
    )


def short_conv(config: Section) -> StateFacts:
    """A short convolution over the hidden size that keeps its last columns (LFM2)."""
    return StateFacts("short_conv", config.required(*HIDDEN), config.required("conv_L_cache"))


def every_layer(config: Section, layers: int) -> tuple[ExpertFacts | None, ...]:
    """Experts of the feed-forward's width in every layer (Mixtral, gpt-oss, Phi-MoE, OLMoE)."""
    experts = _experts(config, config.required(INNER), 0)
    return (experts,) * layers


def sparse_steps(config: Section, layers: int) -> tuple[ExpertFacts | None, ...]:
    """Experts in every `decoder_sparse_step`-th layer but those in `mlp_only_layers` (Qwen's mixtures)."""
    if config.integer(*EXPERTS, least=0) == 0:
        return (None,) * layers
    shared = config.integer("shared_expert_intermediate_size", least=0) or 0
    experts = _experts(config, config.required("moe_intermediate_size"), shared)
    step, dense = (
        config.integer("decoder_sparse_step") or 1,
        frozenset(config.integers("mlp_only_layers") or ()),
    )
    return tuple(experts if (i + 1) % step == 0 and i not in dense else None for i in range(layers))


def after_first_dense(config: Section, layers: int) -> tuple[ExpertFacts | None, ...]:
    """Experts behind the first dense layers, and shared ones beside them (DeepSeek-V2 and V3, GLM-4.5)."""
    first = config.required("first_k_dense_replace", least=0)
    return (None,) * min(first, layers) + with_shared(config, layers - first)


def with_shared(config: Section, layers: int) -> tuple[ExpertFacts | None, ...]:
    """Experts in every layer, and shared ones of the same width beside them (Solar Open)."""
    inner = config.required("moe_intermediate_size")
    shared = inner * (config.integer("n_shared_experts", least=0) or 0)
    return (_experts(config, inner, shared),) * layers


def in_listed_layers(config: Section, layers: int) -> tuple[ExpertFacts | None, ...]:
    """The same in the layers that `mlp_layer_types` calls sparse, by default all but the first (GLM-4.7-Flash)."""
    listed = config.names("mlp_layer_types", layers) or ("dense",) + ("sparse",) * (layers - 1)
    experts = with_shared(config, layers)
    return tuple(experts[i] if kind == "sparse" else None for i, kind in enumerate(listed))


def beside_shared(config: Section, layers: int) -> tuple[ExpertFacts | None, ...]:
    """Experts in every layer and a shared feed-forward beside them; without experts that one alone (Granite 4)."""
    if not config.integer(*EXPERTS, least=0):
        return (None,) * layers
    shared = config.required("shared_intermediate_size", least=0)
    return (_experts(config, config.required(INNER), shared),) * layers


def beside_dense(config: Section, layers: int) -> tuple[ExpertFacts | None, ...]:
    """Experts in every layer where the mixture is switched on, the dense feed-forward kept beside them (Gemma 4)."""
    if not config.flag("enable_moe_block"):
        return (None,) * layers
    named = config.changed({"num_experts_per_tok": config.required("top_k_experts")})
    return (_experts(named, config.required("moe_intermediate_size"), 0),) * layers


def at_offset(config: Section, layers: int) -> tuple[ExpertFacts | None, ...]:
    """Experts in one layer of every period (Jamba)."""
    if config.required(*EXPERTS) == 1:
        return (None,) * layers
    period = config.required("expert_layer_period")
    offset = config.required("expert_layer_offset", least=0, most=period - 1)
    experts = _experts(config, config.required(INNER), 0)
    return tuple(experts if i % period == offset else None for i in range(layers))


def interleaved(config: Section, layers: int) -> tuple[ExpertFacts | None, ...]:
    """Experts and one shared expert of the same width in the listed or every n-th layer (Llama 4)."""
    step = config.required("interleave_moe_layer_step")
    listed = config.integers("moe_layers")
    sparse = frozenset(range(step - 1, layers, step) if listed is None else listed)
    inner = config.required("intermediate_size")
    experts = _experts(config, inner, inner)
    return tuple(experts if i in sparse else None for i in range(layers))


def _experts(config: Section, inner: int, shared: int) -> ExpertFacts:
    count = config.required(*EXPERTS)
    used = config.required("num_experts_per_tok")
    if used > count:
        raise config.wrong(f"uses {used:,} experts of {count:,}")
    return ExpertFacts(count, used, inner, shared)
