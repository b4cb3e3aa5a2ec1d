"""Working memory is what real models keep alive, counted operation by operation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import header_checkpoint
import pytest
from alive_tensors import peak_of_prefill

from shoestring.models.safetensors_facts import read_checkpoint
from shoestring.models.source import FolderSource
from shoestring.planning.base import AttentionKind, ComputeDtype, TransformersSettings
from shoestring.planning.transformers.compute import compute
from shoestring.planning.transformers.kv_cache import cache_bytes
from shoestring.planning.transformers.modules import modules
from shoestring.planning.transformers.shape import kinds

SHAPE: dict[str, Any] = {
    "vocab_size": 512,
    "hidden_size": 128,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
}
EXPERTS = {"num_experts": 8, "num_experts_per_tok": 4, "moe_intermediate_size": 64, "head_dim": 16}
LATENT = {
    "num_key_value_heads": 8,
    "kv_lora_rank": 64,
    "qk_rope_head_dim": 16,
    "qk_nope_head_dim": 32,
    "v_head_dim": 32,
    "q_lora_rank": None,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "n_shared_experts": 1,
    "moe_intermediate_size": 64,
}
GPT2 = {"vocab_size": 512, "n_embd": 128, "n_layer": 4, "n_head": 4}
CASES: list[tuple[str, dict[str, Any], ComputeDtype, AttentionKind]] = [
    ("Llama", SHAPE, "bf16", "sdpa"),
    ("Llama", SHAPE, "fp32", "eager"),
    ("Llama", SHAPE, "bf16", "eager"),
    ("Qwen3", {**SHAPE, "head_dim": 32}, "fp32", "sdpa"),
    ("Phi3", {**SHAPE, "pad_token_id": 0}, "bf16", "sdpa"),
    ("Mistral", {**SHAPE, "sliding_window": 100}, "bf16", "sdpa"),
    ("Gemma2", {**SHAPE, "head_dim": 32, "sliding_window": 4096}, "bf16", "eager"),
    ("Qwen3Moe", {**SHAPE, **EXPERTS}, "bf16", "sdpa"),
    ("DeepseekV2", {**SHAPE, **LATENT}, "fp32", "sdpa"),
    ("GPT2", GPT2, "fp32", "sdpa"),
]
TOKENS, BATCH = 400, 2


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "attention"), CASES, ids=[f"{c[0]}-{c[2]}-{c[3]}" for c in CASES]
)
def test_a_prompt_keeps_alive_what_was_counted(
    name: str, shape: dict[str, Any], dtype: ComputeDtype, attention: AttentionKind, tmp_path: Path
) -> None:
    import torch
    import transformers

    config = getattr(transformers, f"{name}Config")(**shape)
    facts = read_checkpoint(FolderSource(header_checkpoint.write(tmp_path, config)), id=name)
    kind = {"bf16": torch.bfloat16, "fp32": torch.float32, "fp16": torch.float16}[dtype]
    of_library = transformers.AutoModelForCausalLM._model_mapping[type(config)]
    model = of_library._from_config(config, dtype=kind, attn_implementation=attention).eval()

    settings = TransformersSettings(
        context=TOKENS, batch=BATCH, precision=dtype, compute_dtype=dtype, attention=attention
    )
    counted = compute(facts, settings, kinds(facts, settings, modules(facts)), on_cpu=True, packs_4bit=False)
    held = counted.prefill + (cache_bytes(facts, settings) or 0)
    assert held == pytest.approx(peak_of_prefill(model, BATCH, TOKENS), rel=0.05)
