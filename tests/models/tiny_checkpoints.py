"""Every family in miniature: transformers' own config classes, small enough to run in a moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

WINDOW = 5


def _tiny(class_name: str, **settings: Any) -> Callable[[], Any]:
    def make() -> Any:
        import transformers

        ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
        return getattr(transformers, class_name)(**{**_SHAPE, **ids, **settings})

    return make


_SHAPE = {
    "vocab_size": 48,
    "hidden_size": 32,
    "intermediate_size": 40,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
_GPT2 = {"n_embd": 32, "n_layer": 4, "n_head": 4, "n_positions": 64}
_MIXTURE = {"num_local_experts": 4, "num_experts_per_tok": 2}
_QWEN_MIXTURE = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "mlp_only_layers": [1],
    "decoder_sparse_step": 1,
}
_DELTA_NET = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 6,
    "linear_conv_kernel_dim": 4,
}
_LATENT = {
    "kv_lora_rank": 20,
    "q_lora_rank": 16,
    "qk_nope_head_dim": 12,
    "qk_rope_head_dim": 4,
    "v_head_dim": 10,
    "num_key_value_heads": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_shared_experts": 2,
    "moe_intermediate_size": 24,
    "first_k_dense_replace": 1,
    "n_group": 1,
    "topk_group": 1,
}
_MAMBA2 = {
    "mamba_n_heads": 8,
    "mamba_d_head": 8,
    "mamba_n_groups": 2,
    "mamba_d_state": 6,
    "mamba_d_conv": 4,
    "mamba_expand": 2,
    "mamba_chunk_size": 4,
}
_VISION = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}

_DENSE_AND_SHARED = {k: v for k, v in _LATENT.items() if not k.startswith(("kv_l", "q_l", "qk_", "v_h"))}
_POSITIONS = {"n_positions": 64, "rotary_dim": 4}
_MOE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
_GEMMA4 = {
    "head_dim": 12,
    "global_head_dim": 20,
    "sliding_window": WINDOW,
    "vocab_size_per_layer_input": 48,
    "hidden_size_per_layer_input": 8,
}

TINY: dict[str, Callable[[], Any]] = {
    "bamba": _tiny("BambaConfig", attn_layer_indices=[1, 3], **_MAMBA2),
    "cohere": _tiny("CohereConfig"),
    "cohere2": _tiny("Cohere2Config", sliding_window=WINDOW),
    "deepseek_v2": _tiny("DeepseekV2Config", **_LATENT),
    "deepseek_v3": _tiny("DeepseekV3Config", num_mtp_layers=0, **_LATENT),
    "exaone4": _tiny("Exaone4Config", sliding_window=WINDOW),
    "falcon": _tiny("FalconConfig", multi_query=True),
    "falcon (new)": _tiny("FalconConfig", new_decoder_architecture=True, num_kv_heads=2),
    "falcon_h1": _tiny("FalconH1Config", head_dim=16, mamba_d_ssm=64, **_MAMBA2),
    "falcon_mamba": _tiny("FalconMambaConfig", state_size=6),
    "gemma": _tiny("GemmaConfig", head_dim=12),
    "gemma2": _tiny("Gemma2Config", head_dim=12, sliding_window=WINDOW),
    "gemma3": _tiny(
        "Gemma3Config",
        text_config={**_SHAPE, "head_dim": 12, "sliding_window": WINDOW, "num_hidden_layers": 7},
        vision_config={"model_type": "siglip_vision_model", "vision_use_head": False, **_VISION},
        mm_tokens_per_image=4,
    ),
    "gemma3_text": _tiny("Gemma3TextConfig", head_dim=12, sliding_window=WINDOW, num_hidden_layers=7),
    "gemma3n_text": _tiny(
        "Gemma3nTextConfig",
        head_dim=12,
        sliding_window=WINDOW,
        num_hidden_layers=10,
        num_kv_shared_layers=4,
        vocab_size_per_layer_input=48,
        hidden_size_per_layer_input=8,
        laurel_rank=4,
        activation_sparsity_pattern=[0.0] * 10,
    ),
    "glm": _tiny("GlmConfig", head_dim=8),
    "glm4": _tiny("Glm4Config", head_dim=8),
    "glm4_moe": _tiny(
        "Glm4MoeConfig", num_mtp_layers=0, **{k: v for k, v in _LATENT.items() if k != "kv_lora_rank"}
    ),
    "gpt2": _tiny("GPT2Config", **_GPT2),
    "gpt_neox": _tiny("GPTNeoXConfig"),
    "gpt_oss": _tiny("GptOssConfig", head_dim=12, sliding_window=WINDOW, **_MIXTURE),
    "granite": _tiny("GraniteConfig"),
    "granitemoe": _tiny("GraniteMoeConfig", **_MIXTURE),
    "jamba": _tiny(
        "JambaConfig",
        num_experts=4,
        num_experts_per_tok=2,
        attn_layer_period=4,
        attn_layer_offset=2,
        mamba_d_state=6,
        mamba_dt_rank=4,
        use_mamba_kernels=False,
    ),
    "lfm2": _tiny("Lfm2Config", full_attn_idxs=[1, 3]),
    "llama": _tiny("LlamaConfig"),
    "llama (head_dim)": _tiny("LlamaConfig", head_dim=12, tie_word_embeddings=True),
    "llama4_text": _tiny(
        "Llama4TextConfig",
        intermediate_size_mlp=44,
        head_dim=8,
        attention_chunk_size=WINDOW,
        interleave_moe_layer_step=2,
        num_local_experts=4,
        num_experts_per_tok=1,
    ),
    "mamba": _tiny("MambaConfig", state_size=6, intermediate_size=64),
    "mamba2": _tiny("Mamba2Config", num_heads=8, head_dim=8, n_groups=2, state_size=6, chunk_size=4),
    "ministral": _tiny("MinistralConfig", head_dim=8, sliding_window=WINDOW),
    "mistral": _tiny("MistralConfig", sliding_window=WINDOW),
    "mistral (full)": _tiny("MistralConfig", sliding_window=None, head_dim=12),
    "mixtral": _tiny("MixtralConfig", **_MIXTURE),
    "olmo": _tiny("OlmoConfig"),
    "olmo2": _tiny("Olmo2Config"),
    "olmo3": _tiny("Olmo3Config", sliding_window=WINDOW),
    "olmoe": _tiny("OlmoeConfig", num_experts=4, num_experts_per_tok=2),
    "phi": _tiny("PhiConfig"),
    "phi3": _tiny("Phi3Config", sliding_window=WINDOW),
    "phimoe": _tiny("PhimoeConfig", **_MIXTURE),
    "qwen2": _tiny("Qwen2Config"),
    "qwen2 (sliding)": _tiny(
        "Qwen2Config", use_sliding_window=True, sliding_window=WINDOW, max_window_layers=2
    ),
    "qwen2_moe": _tiny(
        "Qwen2MoeConfig",
        use_sliding_window=True,
        sliding_window=WINDOW,
        max_window_layers=3,
        shared_expert_intermediate_size=20,
        **_QWEN_MIXTURE,
    ),
    "qwen3": _tiny("Qwen3Config", head_dim=12),
    "qwen3_5_text": _tiny("Qwen3_5TextConfig", head_dim=12, **_DELTA_NET),
    "qwen3_moe": _tiny("Qwen3MoeConfig", head_dim=12, sliding_window=WINDOW, **_QWEN_MIXTURE),
    "qwen3_next": _tiny(
        "Qwen3NextConfig", head_dim=12, shared_expert_intermediate_size=20, **_QWEN_MIXTURE, **_DELTA_NET
    ),
    "seed_oss": _tiny("SeedOssConfig", head_dim=12),
    "smollm3": _tiny(
        "SmolLM3Config", use_sliding_window=True, sliding_window=WINDOW, no_rope_layer_interval=2
    ),
    "stablelm": _tiny("StableLmConfig"),
    "starcoder2": _tiny("Starcoder2Config", sliding_window=WINDOW),
    "apertus": _tiny("ApertusConfig"),
    "bitnet": _tiny("BitNetConfig"),
    "bloom": _tiny("BloomConfig", n_layer=4, n_head=4),
    "codegen": _tiny("CodeGenConfig", **{**_GPT2, **_POSITIONS}),
    "dots1": _tiny("Dots1Config", **_DENSE_AND_SHARED),
    "ernie4_5": _tiny("Ernie4_5Config", head_dim=12),
    "exaone": _tiny("ExaoneConfig"),
    "arcee": _tiny("ArceeConfig"),
    "flex_olmo": _tiny("FlexOlmoConfig", num_experts=4, num_experts_per_tok=2),
    "gemma4_text": _tiny("Gemma4TextConfig", num_hidden_layers=7, num_kv_shared_layers=1, **_GEMMA4),
    "gemma4_text (mixture)": _tiny(
        "Gemma4TextConfig",
        attention_k_eq_v=True,
        num_global_key_value_heads=1,
        enable_moe_block=True,
        num_experts=4,
        top_k_experts=2,
        moe_intermediate_size=24,
        **_GEMMA4,
    ),
    "glm4_moe_lite": _tiny("Glm4MoeLiteConfig", num_mtp_layers=0, **_LATENT),
    "gpt_bigcode": _tiny("GPTBigCodeConfig", **_GPT2),
    "gptj": _tiny("GPTJConfig", **{**_GPT2, **_POSITIONS}),
    "granitemoehybrid": _tiny(
        "GraniteMoeHybridConfig",
        shared_intermediate_size=20,
        layer_types=["mamba", "attention", "mamba", "attention"],
        **_MIXTURE,
        **_MAMBA2,
    ),
    "granitemoehybrid (dense)": _tiny(
        "GraniteMoeHybridConfig",
        shared_intermediate_size=20,
        num_local_experts=0,
        layer_types=["linear_attention", "full_attention"] * 2,
        **_MAMBA2,
    ),
    "granitemoeshared": _tiny("GraniteMoeSharedConfig", shared_intermediate_size=20, **_MIXTURE),
    "helium": _tiny("HeliumConfig", head_dim=8),
    "hunyuan_v1_dense": _tiny("HunYuanDenseV1Config", head_dim=8),
    "internlm3": _tiny("InternLM3Config", head_dim=12),
    "jais2": _tiny("Jais2Config"),
    "minimax_m2": _tiny("MiniMaxM2Config", head_dim=12, **_MIXTURE),
    "ministral3": _tiny("Ministral3Config", head_dim=12),
    "nanochat": _tiny("NanoChatConfig"),
    "nemotron": _tiny("NemotronConfig"),
    "opt": _tiny("OPTConfig", ffn_dim=44, word_embed_proj_dim=32),
    "persimmon": _tiny("PersimmonConfig"),
    "qwen3_5_moe_text": _tiny(
        "Qwen3_5MoeTextConfig", head_dim=12, shared_expert_intermediate_size=20, **_MOE, **_DELTA_NET
    ),
    "solar_open": _tiny("SolarOpenConfig", **_DENSE_AND_SHARED),
    "vaultgemma": _tiny("VaultGemmaConfig", head_dim=12, sliding_window=WINDOW),
}
"""Configs by model type (and variety)."""
