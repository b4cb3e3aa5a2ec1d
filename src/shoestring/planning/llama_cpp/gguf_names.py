"""What llama.cpp's conversion calls each part of a Hugging Face checkpoint, architecture by architecture.

From ggml-org/llama.cpp, `gguf-py/gguf/tensor_mapping.py` and `conversion/*.py` (`modify_tensors`). Names are of
modules, without `.weight` and `.bias`; those in a block come without its prefix, `experts.N` as `experts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Names = Mapping[str, str]


@dataclass(frozen=True)
class Family:
    """How one architecture is converted.

    Attributes:
        architecture: GGUF's name for it.
        block: names in a block; top: names outside of blocks.
        head: whether a head of its own is kept (False: always the embedding).
        transposed: whether matrices in blocks are stored (in, out), as GPT-2's are.
        experts_transposed: whether those of experts stored together are.
        rows: of the embeddings: as stored, cut to the tokenizer's vocabulary, or padded to that of the config.
        traits: of `ModelFacts`, as the architecture's published models have them; they bear on compute alone.
    """

    architecture: str
    block: Names
    top: Names
    head: bool = True
    transposed: bool = False
    experts_transposed: bool = False
    rows: Literal["stored", "tokenizer", "config"] = "stored"
    traits: frozenset[str] = frozenset()


def _under(prefix: str, names: Names) -> dict[str, str]:
    return {f"{prefix}.{name}": target for name, target in names.items()}


def _gated(target: str = "") -> dict[str, str]:
    return {f"{part}_proj": f"ffn_{part}{target}" for part in ("gate", "up", "down")}


_TOP = {"embed_tokens": "token_embd", "norm": "output_norm", "lm_head": "output"}
_FINAL = {"embed_tokens": "token_embd", "final_layernorm": "output_norm", "lm_head": "output"}
_ATTENTION = _under(
    "self_attn",
    {
        "q_proj": "attn_q",
        "k_proj": "attn_k",
        "v_proj": "attn_v",
        "o_proj": "attn_output",
        "q_norm": "attn_q_norm",
        "k_norm": "attn_k_norm",
    },
)
_NORMS = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
_LLAMA = {**_ATTENTION, **_NORMS, **_under("mlp", _gated())}
_MIXTURE = {
    **_LLAMA,
    "mlp.gate": "ffn_gate_inp",
    **_under("mlp.experts", _gated("_exps")),
    **_under("mlp.shared_expert", _gated("_shexp")),
    "mlp.shared_expert_gate": "ffn_gate_inp_shexp",
}
_MIXTRAL = {
    **_ATTENTION,
    **_NORMS,
    "block_sparse_moe.gate": "ffn_gate_inp",
    "block_sparse_moe.experts.w1": "ffn_gate_exps",
    "block_sparse_moe.experts.w2": "ffn_down_exps",
    "block_sparse_moe.experts.w3": "ffn_up_exps",
}
_DEEPSEEK = {
    **_MIXTURE,
    **_under("mlp.shared_experts", _gated("_shexp")),
    "mlp.gate.e_score_correction": "exp_probs_b",
    "self_attn.q_a_proj": "attn_q_a",
    "self_attn.q_a_layernorm": "attn_q_a_norm",
    "self_attn.q_b_proj": "attn_q_b",
    "self_attn.kv_a_proj_with_mqa": "attn_kv_a_mqa",
    "self_attn.kv_a_layernorm": "attn_kv_a_norm",
}
_QWEN3_NEXT = {
    **_MIXTURE,
    "post_attention_layernorm": "post_attention_norm",
    "linear_attn.in_proj_ba": "ssm_ba",
    "linear_attn.out_proj": "ssm_out",
}
_NORMS_AFTER = {
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}
_GEMMA3N = {
    **_LLAMA,
    **_NORMS_AFTER,
    "altup.correct_output_scale": "altup_correct_scale",
    "altup.correction_coefs": "altup_correct_coef",
    "altup.prediction_coefs": "altup_predict_coef",
    "altup.modality_router": "altup_router",
    "altup.router_norm": "altup_router_norm",
    "laurel.linear_left": "laurel_l",
    "laurel.linear_right": "laurel_r",
    "laurel.post_laurel_norm": "laurel_post_norm",
    "per_layer_input_gate": "inp_gate",
    "per_layer_projection": "proj",
    "post_per_layer_input_norm": "post_norm",
}
_GEMMA3N_TOP = {
    **_TOP,
    "embed_tokens_per_layer": "per_layer_token_embd",
    "per_layer_model_projection": "per_layer_model_proj",
    "per_layer_projection_norm": "per_layer_proj_norm",
    "altup_projections": "altup_proj",
    "altup_unembed_projections": "altup_unembd_proj",
}
_NORM_BEHIND = {"post_attention_layernorm": "post_attention_norm"}
_LFM2 = {
    **_ATTENTION,
    "self_attn.out_proj": "attn_output",
    "self_attn.q_layernorm": "attn_q_norm",
    "self_attn.k_layernorm": "attn_k_norm",
    "feed_forward.w1": "ffn_gate",
    "feed_forward.w2": "ffn_down",
    "feed_forward.w3": "ffn_up",
    "operator_norm": "attn_norm",
    "ffn_norm": "ffn_norm",
    "conv.in_proj": "shortconv.in_proj",
    "conv.out_proj": "shortconv.out_proj",
    "conv.conv": "shortconv.conv",
}
_FUSED = {"self_attn.qkv_proj": "attn_qkv", "mlp.gate_up_proj": "ffn_up"}
_GLM4 = {"post_self_attn_layernorm": "post_attention_norm", "post_mlp_layernorm": "post_ffw_norm"}
_GPT_OSS = {
    **_MIXTURE,
    "mlp.router": "ffn_gate_inp",
    "self_attn.sinks": "attn_sinks",
    "post_attention_layernorm": "post_attention_norm",
}
_LLAMA4 = {
    **_ATTENTION,
    **_NORMS,
    "feed_forward.router": "ffn_gate_inp",
    **_under("feed_forward", _gated()),
    **_under("feed_forward.shared_expert", _gated("_shexp")),
    **_under("feed_forward.experts", _gated("_exps")),
}
_GPT2 = {
    "ln_1": "attn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "ln_2": "ffn_norm",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}
_GPT2_TOP = {"wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm", "lm_head": "output"}
_PHI2 = {
    **_ATTENTION,
    "self_attn.dense": "attn_output",
    "input_layernorm": "attn_norm",
    "mlp.fc1": "ffn_up",
    "mlp.fc2": "ffn_down",
}
_STARCODER2 = {**_ATTENTION, **_NORMS, "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down"}
_WIDE_AND_BACK = {"mlp.dense_h_to_4h": "ffn_up", "mlp.dense_4h_to_h": "ffn_down"}
_FALCON = {
    "input_layernorm": "attn_norm",
    "ln_mlp": "attn_norm",
    "ln_attn": "attn_norm_2",
    "self_attention.query_key_value": "attn_qkv",
    "self_attention.dense": "attn_output",
    **_WIDE_AND_BACK,
}
_FALCON_TOP = {"word_embeddings": "token_embd", "ln_f": "output_norm", "lm_head": "output"}
_NEOX = {
    **_NORMS,
    "attention.query_key_value": "attn_qkv",
    "attention.dense": "attn_output",
    **_WIDE_AND_BACK,
}
_NEOX_TOP = {"embed_in": "token_embd", "final_layer_norm": "output_norm", "embed_out": "output"}
_STATE = {
    "in_proj": "ssm_in",
    "x_proj": "ssm_x",
    "dt_proj": "ssm_dt",
    "out_proj": "ssm_out",
    "dt_layernorm": "ssm_dt_norm",
    "b_layernorm": "ssm_b_norm",
    "c_layernorm": "ssm_c_norm",
}
_MAMBA = {"norm": "attn_norm", **_under("mixer", _STATE)}
_MAMBA_TOP = {"embeddings": "token_embd", "norm_f": "output_norm", "lm_head": "output"}
_HYBRID = {
    **_ATTENTION,
    "input_layernorm": "attn_norm",
    "pre_ff_layernorm": "ffn_norm",
    **_under("mamba", _STATE),
    **_under("feed_forward", _gated()),
    **_under("feed_forward.experts", _gated("_exps")),
    "feed_forward.router": "ffn_gate_inp",
}

FAMILIES: dict[str, Family] = {
    "llama": Family("llama", _LLAMA, _TOP),
    "mistral": Family("llama", _LLAMA, _TOP),
    "mixtral": Family("llama", _MIXTRAL, _TOP),
    "llama4_text": Family("llama4", _LLAMA4, _TOP, experts_transposed=True),
    "qwen2": Family("qwen2", _LLAMA, _TOP),
    "qwen2_moe": Family("qwen2moe", _MIXTURE, _TOP),
    "qwen3": Family("qwen3", _LLAMA, _TOP),
    "qwen3_moe": Family("qwen3moe", _MIXTURE, _TOP),
    "qwen3_next": Family("qwen3next", _QWEN3_NEXT, _TOP),
    "gemma": Family("gemma", _LLAMA, _TOP, head=False),
    "gemma2": Family("gemma2", {**_LLAMA, **_NORMS_AFTER}, _TOP, head=False),
    "gemma3_text": Family("gemma3", {**_LLAMA, **_NORMS_AFTER}, _TOP, rows="tokenizer"),
    "gemma3n_text": Family("gemma3n", _GEMMA3N, _GEMMA3N_TOP, rows="config"),
    "phi": Family("phi2", _PHI2, _FINAL),
    "phi3": Family("phi3", {**_LLAMA, **_FUSED}, _TOP),
    "deepseek_v2": Family("deepseek2", _DEEPSEEK, _TOP),
    "deepseek_v3": Family("deepseek2", _DEEPSEEK, _TOP, traits=frozenset({"expert_weights_norm"})),
    "gpt2": Family("gpt2", _GPT2, _GPT2_TOP, transposed=True),
    "gpt_neox": Family("gptneox", _NEOX, _NEOX_TOP, traits=frozenset({"parallel_residual"})),
    "gpt_oss": Family("gpt-oss", _GPT_OSS, _TOP, experts_transposed=True),
    "falcon": Family("falcon", _FALCON, _FALCON_TOP),
    "falcon_h1": Family("falcon-h1", _HYBRID, _FINAL),
    "jamba": Family("jamba", _HYBRID, _FINAL),
    "bamba": Family("granitehybrid", _HYBRID, _FINAL),
    "mamba": Family("mamba", _MAMBA, _MAMBA_TOP),
    "mamba2": Family("mamba2", _MAMBA, _MAMBA_TOP),
    "granite": Family("granite", _LLAMA, _TOP, traits=frozenset({"residual_scale"})),
    "olmo2": Family("olmo2", {**_LLAMA, **_NORMS_AFTER}, _TOP),
    "olmo3": Family("olmo2", {**_LLAMA, **_NORMS_AFTER}, _TOP),
    "olmoe": Family("olmoe", _MIXTURE, _TOP),
    "smollm3": Family("smollm3", _LLAMA, _TOP),
    "arcee": Family("arcee", _LLAMA, _TOP),
    "ernie4_5": Family("ernie4_5", _LLAMA, _TOP),
    "exaone4": Family("exaone4", {**_LLAMA, **_NORMS_AFTER}, _TOP),
    "glm4_moe": Family(
        "glm4moe", {**_DEEPSEEK, **_NORM_BEHIND}, _TOP, traits=frozenset({"expert_weights_norm"})
    ),
    "lfm2": Family("lfm2", _LFM2, {**_TOP, "embedding_norm": "token_embd_norm"}),
    "nemotron": Family("nemotron", _LLAMA, _TOP),
    "qwen2_vl_text": Family("qwen2vl", _LLAMA, _TOP),
    "qwen2_5_vl_text": Family("qwen2vl", _LLAMA, _TOP),
    "qwen3_vl_text": Family("qwen3vl", _LLAMA, _TOP),
    "seed_oss": Family("seed_oss", {**_LLAMA, **_NORM_BEHIND}, _TOP),
    "starcoder2": Family("starcoder2", _STARCODER2, _TOP),
    "stablelm": Family("stablelm", _LLAMA, _TOP),
    "cohere": Family("command-r", _LLAMA, _TOP),
    "cohere2": Family("cohere2", _LLAMA, _TOP),
    "glm4": Family("glm4", {**_LLAMA, **_FUSED, **_GLM4}, _TOP),
}
"""By transformers' `model_type` of the text model."""
