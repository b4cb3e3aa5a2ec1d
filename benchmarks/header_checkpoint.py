"""Checkpoints without weights: a folder with the `config.json` and the safetensors headers of a real shape.

The tensors are named and shaped as transformers itself would save them: the model is built on torch's meta device,
tied weights are dropped and the fusions it makes in memory are taken back by its own code. The data is a hole in the
file, so a 671B model takes some kilobytes of disk. `FAMILIES` has the published shapes, `header_quantized.py` writes
the quantised layouts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Tensors = dict[str, tuple[str, tuple[int, ...]]]
"""name → (safetensors dtype, shape as torch has it)."""

WIDTHS = {
    "F64": 8,
    "F32": 4,
    "BF16": 2,
    "F16": 2,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "F8_E8M0": 1,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
}
_TORCH = {
    "torch.float64": "F64",
    "torch.float32": "F32",
    "torch.bfloat16": "BF16",
    "torch.float16": "F16",
    "torch.int64": "I64",
    "torch.int32": "I32",
    "torch.uint8": "U8",
    "torch.int8": "I8",
    "torch.bool": "BOOL",
}


def meta_model(config: Any, *, dtype: str = "bfloat16") -> Any:
    """The model of a config on the meta device: real modules and shapes, no memory."""
    import torch
    import transformers

    names = getattr(config, "architectures", None)
    if names:
        make = getattr(transformers, names[0])._from_config
    else:
        auto = transformers.models.auto.modeling_auto
        many = type(config) in auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
        make = (
            transformers.AutoModelForImageTextToText if many else transformers.AutoModelForCausalLM
        ).from_config
    with torch.device("meta"):
        return make(config, dtype=getattr(torch, dtype))


def saved_tensors(model: Any) -> Tensors:
    """What `save_pretrained` would write of a model, in its order."""
    from transformers.core_model_loading import revert_weight_conversion
    from transformers.modeling_utils import remove_tied_weights_from_state_dict

    state = model.state_dict()
    for name in model._keys_to_ignore_on_save or ():
        state.pop(name, None)
    state = remove_tied_weights_from_state_dict(state, model)
    state = revert_weight_conversion(model, state)
    return {name: (_TORCH[str(t.dtype)], tuple(t.shape)) for name, t in state.items()}


def config_of(model: Any, *, dtype: str = "bfloat16") -> dict[str, Any]:
    """What `save_pretrained` would write as `config.json`."""
    model.config.architectures = [type(model).__name__]
    model.config.dtype = dtype
    return json.loads(model.config.to_json_string(use_diff=True))


def write(
    folder: Path, config: Any, *, dtype: str = "bfloat16", shards: int = 1, chat_template: str | None = None
) -> Path:
    """Make the folder a header-only checkpoint of `config`; returns it.

    Args:
        config: a transformers config (its `architectures[0]` names the class, if set).
        dtype: of the weights, in torch's words.
        shards: files; more than one come with an index.
        chat_template: written as `chat_template.jinja`.
    """
    model = meta_model(config, dtype=dtype)
    return write_tensors(
        folder,
        config_of(model, dtype=dtype),
        saved_tensors(model),
        shards=shards,
        chat_template=chat_template,
    )


def write_tensors(
    folder: Path,
    config: Mapping[str, Any],
    tensors: Tensors,
    *,
    shards: int = 1,
    chat_template: str | None = None,
) -> Path:
    """The folder of a config (as JSON) and of tensors, whatever they are."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    if chat_template is not None:
        (folder / "chat_template.jinja").write_text(chat_template)
    if shards == 1:
        write_file(folder / "model.safetensors", tensors)
        return folder
    names = [f"model-{i:05}-of-{shards:05}.safetensors" for i in range(1, shards + 1)]
    parts = _split(tensors, shards)
    for name, part in zip(names, parts, strict=True):
        write_file(folder / name, part)
    index = {
        "metadata": {"total_size": sum(map(n_bytes, tensors.values()))},
        "weight_map": {tensor: name for name, part in zip(names, parts, strict=True) for tensor in part},
    }
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2, sort_keys=True))
    return folder


def write_tokenizer(folder: Path, merges: int = 0) -> Path:
    """Give the folder a byte-pair tokenizer as large as its config's vocabulary, of made-up words; returns the folder."""
    config = json.loads((folder / "config.json").read_text())
    size = (config.get("text_config") or config)["vocab_size"]
    model = {
        "type": "BPE",
        "vocab": {f"{i:06d}": i for i in range(size)},
        "merges": [[f"{i:05d}", f"{i % 97:02d}"] for i in range(merges or size)],
    }
    document = {"version": "1.0", "added_tokens": [], "model": model}
    (folder / "tokenizer.json").write_text(json.dumps(document))
    return folder


def n_bytes(tensor: tuple[str, tuple[int, ...]]) -> int:
    """Bytes of a tensor's data."""
    dtype, shape = tensor
    product = WIDTHS[dtype]
    for n in shape:
        product *= n
    return product


def header(tensors: Tensors) -> tuple[bytes, int]:
    """The start of a safetensors file, and the bytes of data that follow."""
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    ordered = sorted(
        tensors.items(), key=lambda item: (-WIDTHS[item[1][0]], item[0])
    )  # as the format's writer
    for name, tensor in ordered:
        end = at + n_bytes(tensor)
        entries[name] = {"dtype": tensor[0], "shape": list(tensor[1]), "data_offsets": [at, end]}
        at = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, at


def write_file(path: Path, tensors: Tensors) -> Path:
    """A safetensors file of its full size whose data is a hole."""
    start, data_bytes = header(tensors)
    with path.open("wb") as file:
        file.write(start)
        file.truncate(len(start) + data_bytes)
    return path


def _split(tensors: Tensors, shards: int) -> list[Tensors]:
    total = sum(map(n_bytes, tensors.values()))
    parts: list[Tensors] = [{} for _ in range(shards)]
    done = 0
    for name, tensor in tensors.items():
        parts[min(shards - 1, done * shards // max(total, 1))][name] = tensor
        done += n_bytes(tensor)
    return parts


def _config(class_name: str, **settings: Any) -> Callable[[], Any]:
    def make() -> Any:
        import transformers

        return getattr(transformers, class_name)(**settings)

    return make


def _shape(vocab: int, hidden: int, inner: int, layers: int, heads: int, kv_heads: int) -> dict[str, int]:
    return {
        "vocab_size": vocab,
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
    }


FAMILIES: dict[str, Callable[[], Any]] = {
    "llama-3-8b": _config(
        "LlamaConfig", **_shape(128256, 4096, 14336, 32, 32, 8), max_position_embeddings=8192
    ),
    "llama-3.2-1b": _config(
        "LlamaConfig",
        **_shape(128256, 2048, 8192, 16, 32, 8),
        head_dim=64,
        max_position_embeddings=131072,
        tie_word_embeddings=True,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 500000.0,
            "factor": 32.0,
            "high_freq_factor": 4.0,
            "low_freq_factor": 1.0,
            "original_max_position_embeddings": 8192,
        },
    ),
    "llama-4-scout": _config(
        "Llama4Config",
        text_config={
            **_shape(202048, 5120, 8192, 48, 40, 8),
            "intermediate_size_mlp": 16384,
            "head_dim": 128,
            "num_local_experts": 16,
            "num_experts_per_tok": 1,
            "interleave_moe_layer_step": 1,
            "max_position_embeddings": 10485760,
        },
        vision_config={
            "hidden_size": 1408,
            "num_hidden_layers": 34,
            "num_attention_heads": 16,
            "intermediate_size": 5632,
            "image_size": 336,
            "patch_size": 14,
            "vision_output_dim": 4096,
            "projector_input_dim": 4096,
            "projector_output_dim": 4096,
        },
    ),
    "qwen2-7b": _config(
        "Qwen2Config",
        **_shape(152064, 3584, 18944, 28, 28, 4),
        max_position_embeddings=131072,
        sliding_window=131072,
        use_sliding_window=False,
        max_window_layers=28,
    ),
    "qwen1.5-moe-a2.7b": _config(
        "Qwen2MoeConfig",
        **_shape(151936, 2048, 5632, 24, 16, 16),
        num_experts=60,
        num_experts_per_tok=4,
        moe_intermediate_size=1408,
        shared_expert_intermediate_size=5632,
        max_position_embeddings=8192,
        sliding_window=None,
    ),
    "qwen3-8b": _config(
        "Qwen3Config", **_shape(151936, 4096, 12288, 36, 32, 8), head_dim=128, max_position_embeddings=40960
    ),
    "qwen3-30b-a3b": _config(
        "Qwen3MoeConfig",
        **_shape(151936, 2048, 6144, 48, 32, 4),
        head_dim=128,
        num_experts=128,
        num_experts_per_tok=8,
        moe_intermediate_size=768,
        max_position_embeddings=40960,
    ),
    "qwen3-next-80b-a3b": _config(
        "Qwen3NextConfig",
        **_shape(151936, 2048, 5120, 48, 16, 2),
        head_dim=256,
        linear_num_key_heads=16,
        linear_num_value_heads=32,
        linear_key_head_dim=128,
        linear_value_head_dim=128,
        linear_conv_kernel_dim=4,
        num_experts=512,
        num_experts_per_tok=10,
        moe_intermediate_size=512,
        shared_expert_intermediate_size=512,
        max_position_embeddings=262144,
    ),
    "mistral-7b": _config(
        "MistralConfig",
        **_shape(32000, 4096, 14336, 32, 32, 8),
        sliding_window=4096,
        max_position_embeddings=32768,
    ),
    "mixtral-8x7b": _config(
        "MixtralConfig",
        **_shape(32000, 4096, 14336, 32, 32, 8),
        num_local_experts=8,
        num_experts_per_tok=2,
        sliding_window=None,
        max_position_embeddings=32768,
    ),
    "gemma-7b": _config(
        "GemmaConfig", **_shape(256000, 3072, 24576, 28, 16, 16), head_dim=256, max_position_embeddings=8192
    ),
    "gemma-2-9b": _config(
        "Gemma2Config",
        **_shape(256000, 3584, 14336, 42, 16, 8),
        head_dim=256,
        sliding_window=4096,
        max_position_embeddings=8192,
    ),
    "gemma-3-270m": _config(
        "Gemma3TextConfig",
        **_shape(262144, 640, 2048, 18, 4, 1),
        head_dim=256,
        sliding_window=512,
        max_position_embeddings=32768,
    ),
    "gemma-3-4b": _config(
        "Gemma3Config",
        text_config={
            **_shape(262208, 2560, 10240, 34, 8, 4),
            "head_dim": 256,
            "sliding_window": 1024,
            "max_position_embeddings": 131072,
        },
        vision_config={
            "hidden_size": 1152,
            "intermediate_size": 4304,
            "num_hidden_layers": 27,
            "num_attention_heads": 16,
            "image_size": 896,
            "patch_size": 14,
            "vision_use_head": False,
        },
        mm_tokens_per_image=256,
    ),
    "gemma-3n-e2b": _config(
        "Gemma3nTextConfig",
        **{k: v for k, v in _shape(262400, 2048, 8192, 30, 8, 2).items() if k != "intermediate_size"},
        intermediate_size=[8192] * 30,
        num_kv_shared_layers=10,
        layer_types=(["sliding_attention"] * 4 + ["full_attention"]) * 6,
        activation_sparsity_pattern=[0.95] * 10 + [0.0] * 20,
    ),
    "phi-2": _config(
        "PhiConfig",
        **_shape(51200, 2560, 10240, 32, 32, 32),
        max_position_embeddings=2048,
        partial_rotary_factor=0.4,
    ),
    "phi-3-mini": _config(
        "Phi3Config",
        **_shape(32064, 3072, 8192, 32, 32, 32),
        sliding_window=2047,
        max_position_embeddings=4096,
    ),
    "deepseek-v2-lite": _config(
        "DeepseekV2Config",
        **_shape(102400, 2048, 10944, 27, 16, 16),
        q_lora_rank=None,
        kv_lora_rank=512,
        qk_nope_head_dim=128,
        qk_rope_head_dim=64,
        v_head_dim=128,
        n_routed_experts=64,
        num_experts_per_tok=6,
        n_shared_experts=2,
        moe_intermediate_size=1408,
        first_k_dense_replace=1,
        max_position_embeddings=163840,
    ),
    "deepseek-v3": _config("DeepseekV3Config", max_position_embeddings=163840),
    "gpt2": _config("GPT2Config"),
    "pythia-1.4b": _config(
        "GPTNeoXConfig",
        **{k: v for k, v in _shape(50304, 2048, 8192, 24, 16, 16).items() if k != "num_key_value_heads"},
        max_position_embeddings=2048,
    ),
    "gpt-oss-20b": _config(
        "GptOssConfig",
        **_shape(201088, 2880, 2880, 24, 64, 8),
        head_dim=64,
        sliding_window=128,
        num_local_experts=32,
        num_experts_per_tok=4,
        max_position_embeddings=131072,
    ),
    "falcon-7b": _config(
        "FalconConfig",
        vocab_size=65024,
        hidden_size=4544,
        num_hidden_layers=32,
        num_attention_heads=71,
        multi_query=True,
        new_decoder_architecture=False,
        parallel_attn=True,
        bias=False,
    ),
    "falcon-h1-0.5b": _config(
        "FalconH1Config",
        **_shape(32784, 1024, 2048, 36, 8, 2),
        head_dim=64,
        mamba_d_ssm=1536,
        mamba_d_state=128,
        mamba_d_head=64,
        mamba_n_heads=24,
        mamba_n_groups=1,
        mamba_d_conv=4,
        mamba_expand=2,
        tie_word_embeddings=False,
        max_position_embeddings=16384,
    ),
    "jamba-v0.1": _config(
        "JambaConfig",
        **_shape(65536, 4096, 14336, 32, 32, 8),
        num_experts=16,
        num_experts_per_tok=2,
        attn_layer_period=8,
        attn_layer_offset=4,
        expert_layer_period=2,
        expert_layer_offset=1,
        mamba_d_state=16,
        mamba_d_conv=4,
        mamba_expand=2,
        mamba_dt_rank=256,
        max_position_embeddings=262144,
    ),
    "mamba-130m": _config(
        "MambaConfig", vocab_size=50280, hidden_size=768, num_hidden_layers=24, state_size=16
    ),
    "mamba-2.8b": _config(
        "MambaConfig", vocab_size=50280, hidden_size=2560, num_hidden_layers=64, state_size=16
    ),
    "mamba2-7b": _config(
        "Mamba2Config",
        vocab_size=32768,
        hidden_size=4096,
        num_hidden_layers=64,
        num_heads=128,
        head_dim=64,
        state_size=128,
        n_groups=8,
        tie_word_embeddings=False,
    ),
    "bamba-9b": _config(
        "BambaConfig", **_shape(128256, 4096, 14336, 32, 32, 8), attn_layer_indices=[9, 18, 27]
    ),
    "granite-3.1-8b": _config(
        "GraniteConfig",
        **_shape(49155, 4096, 12800, 40, 32, 8),
        tie_word_embeddings=True,
        max_position_embeddings=131072,
    ),
    "olmo-2-7b": _config(
        "Olmo2Config", **_shape(100352, 4096, 11008, 32, 32, 32), max_position_embeddings=4096
    ),
    "smollm2-135m": _config(
        "LlamaConfig",
        **_shape(49152, 576, 1536, 30, 9, 3),
        max_position_embeddings=8192,
        tie_word_embeddings=True,
    ),
    "smollm3-3b": _config(
        "SmolLM3Config",
        **_shape(128256, 2048, 11008, 36, 16, 4),
        tie_word_embeddings=True,
        max_position_embeddings=65536,
    ),
    "starcoder2-3b": _config(
        "Starcoder2Config",
        **_shape(49152, 3072, 12288, 30, 24, 2),
        sliding_window=4096,
        tie_word_embeddings=True,
        max_position_embeddings=16384,
        bos_token_id=0,
        eos_token_id=0,
    ),
    "stablelm-2-1.6b": _config(
        "StableLmConfig",
        **_shape(100352, 2048, 5632, 24, 32, 32),
        use_qkv_bias=True,
        max_position_embeddings=4096,
    ),
    "command-r-35b": _config(
        "CohereConfig", **_shape(256000, 8192, 22528, 40, 64, 64), max_position_embeddings=131072
    ),
    "command-r7b": _config(
        "Cohere2Config",
        **_shape(256000, 4096, 14336, 32, 32, 8),
        sliding_window=4096,
        max_position_embeddings=132096,
    ),
    "glm-4-9b": _config(
        "Glm4Config",
        **_shape(151552, 4096, 13696, 40, 32, 2),
        head_dim=128,
        max_position_embeddings=32768,
    ),
}
"""Configs with the shapes that the authors published, by the name people know them by."""
