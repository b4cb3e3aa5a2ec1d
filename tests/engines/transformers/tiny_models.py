"""Models of every family with random weights, of the least size, in fp32: generation costs a millisecond a token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from shoestring.engines.base import Event, Finished, LoadReport, Sampling, Token
from shoestring.engines.transformers.model import TransformersModel
from shoestring.planning.base import TransformersSettings

VOCABULARY = 260
END = 256
"""`<|im_end|>`, the only special token; 257 is a marker that is not called special, 258 a tag."""
SETTINGS = TransformersSettings(context=64, batch=4, precision="fp32", compute_dtype="fp32")
_SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "tie_word_embeddings": False,
    "eos_token_id": END,
    "bos_token_id": None,
    "pad_token_id": None,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "gpt2": {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 128},
    "gemma3_text": {"sliding_window": 8, "layer_types": ["sliding_attention"] * 2 + ["full_attention"]},
    "mistral": {"sliding_window": 8},
    "qwen3_moe": {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16},
    "deepseek_v2": {
        "kv_lora_rank": 8,
        "q_lora_rank": None,
        "qk_rope_head_dim": 4,
        "qk_nope_head_dim": 4,
        "v_head_dim": 8,
        "head_dim": 4,
        "num_key_value_heads": 4,
        "n_routed_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
        "first_k_dense_replace": 1,
        "n_group": 1,
        "topk_group": 1,
    },
    "mamba": {"state_size": 4, "expand": 2, "conv_kernel": 4},
    "mamba2": {"state_size": 4, "expand": 2, "num_heads": 8, "n_groups": 1, "chunk_size": 8},
    "falcon_h1": {
        "mamba_d_ssm": 32,
        "mamba_n_heads": 4,
        "mamba_d_head": 8,
        "mamba_n_groups": 1,
        "mamba_d_state": 8,
        "mamba_chunk_size": 8,
    },
    "rwkv": {"attention_hidden_size": 32},
}


def tokenizer() -> Any:
    """Byte-level, ids 0–255 the bytes in its alphabet's order, then the added tokens."""
    letters = {word: n for n, word in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokens = Tokenizer(models.BPE(vocab=letters, merges=[]))
    tokens.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokens.decoder = decoders.ByteLevel()
    tokens.add_special_tokens([AddedToken("<|im_end|>", special=True, normalized=False)])
    tokens.add_tokens([AddedToken("<|user|>", normalized=False), AddedToken("<b>", normalized=False)])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokens)


def library_model(family: str, **changes: Any) -> Any:
    """The library's own model, always with the same weights, large enough that no two logits are alike."""
    config = transformers.AutoConfig.for_model(family, **{**_SIZES, **FAMILIES[family], **changes})
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.copy_(torch.randn_like(parameter) * 0.3)
    return model.eval()


def tiny_model(family: str, settings: TransformersSettings = SETTINGS, **changes: Any) -> TransformersModel:
    """That model behind the engine contract."""
    return TransformersModel(library_model(family, **changes), tokenizer(), settings, LoadReport())


def generate(
    model: TransformersModel,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    cancelled: Callable[[], bool] = lambda: False,
) -> list[list[Event]]:
    """The events of each prompt."""
    events: list[list[Event]] = [[] for _ in prompts]
    model.generate(prompts, sampling, lambda n, event: events[n].append(event), cancelled)
    return events


def tokens(events: Sequence[Event]) -> list[int]:
    """New tokens of a generation that was asked for log-probabilities."""
    return [one.token for event in events if isinstance(event, Token) for one in event.logprobs]


def new_tokens(
    model: TransformersModel, prompts: Sequence[Sequence[int]], sampling: Sampling
) -> list[list[int]]:
    """New tokens of each prompt."""
    return [tokens(events) for events in generate(model, prompts, replace(sampling, logprobs=0))]


def finished(events: Sequence[Event]) -> Finished:
    """The last event."""
    last = events[-1]
    assert isinstance(last, Finished)
    return last
