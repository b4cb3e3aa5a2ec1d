"""Tiny models of several families, and what autograd keeps of them: what the formulas are held against."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import header_checkpoint

from shoestring.models.facts import ModelFacts
from shoestring.models.safetensors_facts import read_checkpoint
from shoestring.models.source import FolderSource
from shoestring.planning.base import TrainingSettings

VOCABULARY = 1000
_BLOCK = re.compile(r"\.(?:layers|h)\.(\d+)(?:\.|$)")


def _config(name: str, **settings: Any) -> Callable[[], Any]:
    shape = {
        "vocab_size": VOCABULARY,
        "hidden_size": 96,
        "intermediate_size": 160,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "pad_token_id": 0,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "tie_word_embeddings": False,
    }

    def make() -> Any:
        import transformers

        return getattr(transformers, name)(**shape | settings)

    return make


TINY: dict[str, Callable[[], Any]] = {
    "llama": _config("LlamaConfig", head_dim=36),
    "qwen2": _config("Qwen2Config"),
    "qwen3": _config("Qwen3Config", head_dim=36),
    "mistral": _config("MistralConfig", sliding_window=8),
    "gemma2": _config("Gemma2Config", head_dim=36, sliding_window=4),
    "gemma3_text": _config("Gemma3TextConfig", head_dim=36, sliding_window=4),
    "phi3": _config("Phi3Config"),
    "phi": _config("PhiConfig"),
    "olmo2": _config("Olmo2Config"),
    "mixtral": _config("MixtralConfig", num_local_experts=4, num_experts_per_tok=2),
    "qwen3_moe": _config(
        "Qwen3MoeConfig", head_dim=24, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=56
    ),
    "gpt2": _config("GPT2Config", n_embd=96, n_layer=2, n_head=4, n_positions=64),
}


def facts_of(folder: Path, config: Any, *, dtype: str = "bfloat16") -> ModelFacts:
    """Facts of a config, through a checkpoint without weights."""
    return read_checkpoint(FolderSource(header_checkpoint.write(folder, config, dtype=dtype)), id="tiny")


@dataclass
class Kept:
    """Bytes that autograd keeps, parameters left out: of the last block, and of everything."""

    block: int = 0
    total: int = 0
    trained: int = 0
    module: list[str] = field(default_factory=list)


def kept(make: Callable[[], Any], settings: TrainingSettings) -> Kept:
    """Build a model, make it ready, go forward once and add up every storage that autograd saves."""
    import qlora_peak
    import torch

    config = make()
    config.use_cache = False
    model = _model(config, settings)
    model = qlora_peak.prepare(model, settings)
    found = Kept(trained=sum(p.numel() for p in model.parameters() if p.requires_grad))
    seen = {t.untyped_storage()._cdata: t for t in (*model.parameters(), *model.buffers())}

    def save(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage._cdata not in seen:
            seen[storage._cdata] = tensor  # kept alive, so that the address is not used again
            block = _BLOCK.search(found.module[-1] if found.module else "")
            found.total += storage.nbytes()
            found.block += storage.nbytes() if block and block.group(1) == "1" else 0
        return tensor

    def leave(*_: Any) -> None:
        found.module.pop()

    for name, module in model.named_modules():
        module.register_forward_pre_hook(lambda *_, name=name: found.module.append(name))
        module.register_forward_hook(leave)
    tokens = torch.ones((settings.batch, settings.context), dtype=torch.long)
    with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
        loss = model(input_ids=tokens, labels=tokens).loss
    assert loss.requires_grad
    return found


def _model(config: Any, settings: TrainingSettings) -> Any:
    """A model with random weights in main memory."""
    import torch
    import transformers

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[settings.compute_dtype]
    return transformers.AutoModelForCausalLM.from_config(
        config, dtype=dtype, attn_implementation=settings.attention
    )
