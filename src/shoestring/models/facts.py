"""What a model is, read from its headers alone: the one type that planning and inspection consume."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from shoestring.models.hub.base import Origin

Kind = Literal["chat", "base"]
NO_CONTEXT_LIMIT = 2**31 - 1
"""`ModelFacts.context_length` of a model without positions (Mamba) whose config states no length."""


@dataclass(frozen=True)
class TensorInfo:
    """One tensor of a file.

    Attributes:
        name: as stored.
        shape: as its format stores it. GGUF: fastest-varying dimension first, so a weight is (in, out).
            safetensors: slowest first, as in torch, so a weight is (out, in).
        dtype: GGML type name, upper case as llama.cpp prints it (`F32`, `Q4_1`, `Q4_K`…); of safetensors the
            format's own (`F32`, `BF16`, `F8_E4M3`, `U8`…).
        n_bytes: exact bytes of its data, padding excluded.
        offset_bytes: where its data starts, from the beginning of the file `part`.
        part: index of the file that holds it (split models have several).
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    n_bytes: int
    offset_bytes: int
    part: int = 0

    @property
    def n_elements(self) -> int:
        product = 1
        for n in self.shape:
            product *= n
        return product


@dataclass(frozen=True)
class LatentFacts:
    """Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434): what one token leaves in a compressed cache.

    Attributes:
        rank: values of the compressed key and value (`kv_lora_rank`).
        rope_dim: values of the key that carries positions, shared by all heads (`qk_rope_head_dim`).
        query_rank: values of the compressed query (`q_lora_rank`); None where queries are not compressed.
    """

    rank: int
    rope_dim: int
    query_rank: int | None = None


@dataclass(frozen=True)
class AttentionFacts:
    """One attention layer.

    Attributes:
        heads / kv_heads: query heads, key-value heads (equal: multi-head; fewer: grouped; 1: multi-query).
        head_dim_k / head_dim_v: values per head of a key and of a value.
        window: sliding window in tokens, or None for full attention.
        latent: of multi-head latent attention, what is kept compressed; None for all others.
        shares_cache_of: the layer whose keys and values this one reads instead of keeping its own, or None.
    """

    heads: int
    kv_heads: int
    head_dim_k: int
    head_dim_v: int
    window: int | None = None
    latent: LatentFacts | None = None
    shares_cache_of: int | None = None


@dataclass(frozen=True)
class StateFacts:
    """What a recurrent layer keeps of a sequence, whatever its length.

    Attributes:
        kind: `mamba`, `mamba2`, `linear_attention`, `short_conv`, `rwkv`…
        conv_channels, conv_kernel: the causal convolution's; an engine keeps kernel or kernel − 1 columns.
        state_values: values of the recurrent state of one sequence.
    """

    kind: str
    conv_channels: int = 0
    conv_kernel: int = 0
    state_values: int = 0


@dataclass(frozen=True)
class ExpertFacts:
    """A mixture of experts in one layer.

    Attributes:
        count / used: experts in the layer, and of them those that one token passes through.
        feed_forward: inner width of one expert.
        shared_feed_forward: inner width of the experts that every token passes through, together; 0: none.
    """

    count: int
    used: int
    feed_forward: int
    shared_feed_forward: int = 0


@dataclass(frozen=True)
class LayerFacts:
    """One transformer block.

    Attributes:
        attention: None where the layer has none, or none that we know how to count.
        feed_forward: inner width of the dense feed-forward; 0 where the layer has none.
        state: of a recurrent (or hybrid) layer; else None.
        experts: of a mixture; else None.
    """

    attention: AttentionFacts | None
    feed_forward: int
    state: StateFacts | None = None
    experts: ExpertFacts | None = None


@dataclass(frozen=True)
class QuantizationFacts:
    """How a checkpoint is quantised already, from `quantization_config`.

    Attributes:
        method: `bitsandbytes`, `awq`, `gptq`, `fp8`, `mxfp4`, `compressed-tensors`… as the file says.
        bits: of one weight.
        group_size: weights that share a scale; None: one scale a tensor or channel.
        kind: the 4-bit type (`nf4`, `fp4`) or the float format, where the method has several; else None.
        double: whether the scales are quantised, too.
        skipped: names of modules that are not quantised, as the file lists them.
    """

    method: str
    bits: int
    group_size: int | None = None
    kind: str | None = None
    double: bool = False
    skipped: tuple[str, ...] = ()


_FIM = ("prefix", "suffix", "middle", "pad", "repo", "sep")
CONTROL_LOOKING = frozenset(
    {
        *("<|eot_id|>", "<|eom_id|>", "<|im_start|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>"),
        *(
            "<|flush|>",
            "<|calls|>",
            "<start_of_turn>",
            "<end_of_turn>",
            "<turn|>",
            "<|turn>",
            "<bos>",
            "<eos>",
        ),
        *("<|endoftext|>", "<|end_of_text|>", "<|begin_of_text|>", "<s>", "</s>", "<EOT>", "_<EOT>", "[EOT]"),
        *("[EOS]", "<end_of_utterance>", "<｜end▁of▁sentence｜>", "<｜begin▁of▁sentence｜>"),
        *("<|start_header_id|>", "<|end_header_id|>", "<|user|>", "<|assistant|>", "<|system|>"),
        *("<PRE>", "▁<PRE>", "<SUF>", "▁<SUF>", "<MID>", "▁<MID>", "<PAD>", "<REPO>", "<reponame>"),
        *("<|repo_name|>", "<|file_sep|>", "<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),
        *("<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>"),
        *(f"<|fim_{part}|>" for part in _FIM),
        *(f"<fim-{part}>" for part in _FIM),
        *(f"<fim_{part}>" for part in _FIM),
    }
)
"""Names that llama.cpp treats as control tokens whatever their stored type, and those of common roles."""


@dataclass(frozen=True)
class TokenizerFacts:
    """The tokenizer, without its strings.

    Attributes:
        model: GGUF's name for the algorithm (`gpt2` is BPE, `llama` is SentencePiece…).
        vocab_size: tokens in the vocabulary.
        tokens_bytes: summed length of all token strings, UTF-8.
        long_tokens / long_tokens_bytes: how many strings exceed 15 bytes, and their summed length
            (a C++ std::string keeps 15 bytes inline; longer ones live on the heap).
        merges: BPE merge rules (0 where there are none); `merges_bytes` their summed length.
        has_scores / has_types: whether per-token score and type arrays are stored.
        bos_id, eos_id: special token ids, or None.
        add_bos: whether the tokenizer itself puts BOS in front of a text.
        add_eos: whether it puts EOS behind.
        special_tokens: id → text of the tokens stored as UNKNOWN, CONTROL or USER_DEFINED, and of BOS and EOS:
            the names that must never become tokens when a user types them.
        sampled: whether the counts are extrapolated from parts of the file (one that was not fetched yet).
    """

    model: str
    vocab_size: int
    tokens_bytes: int
    long_tokens: int
    long_tokens_bytes: int
    merges: int
    merges_bytes: int
    has_scores: bool
    has_types: bool
    bos_id: int | None
    eos_id: int | None
    add_bos: bool
    add_eos: bool
    special_tokens: dict[int, str] = field(default_factory=dict)
    sampled: bool = False

    @property
    def special_names(self) -> frozenset[str]:
        """Every text that may become a special token: those stored as such, and those that llama.cpp makes
        special by their looks where a conversion stored them as ordinary (`src/llama-vocab.cpp`)."""
        return CONTROL_LOOKING | frozenset(self.special_tokens.values())


@dataclass(frozen=True)
class Parameters:
    """Parameters counted from tensor shapes; tied weights once. `active`: used for one token (mixtures of experts)."""

    total: int
    active: int
    by_component: dict[str, int]


@dataclass(frozen=True)
class Weights:
    """Bytes as stored, by GGML type; `total_bytes` is tensor data alone, without padding and header."""

    total_bytes: int
    by_dtype: dict[str, int]


@dataclass(frozen=True)
class ModelFacts:
    """A model, known from headers alone.

    Attributes:
        id: what the user calls it (`smollm2`) or the path.
        format: `gguf` or `safetensors`.
        files: the file, or all parts of a split one in order. Empty for a header read from elsewhere.
        file_bytes: their summed size.
        architecture: GGUF's `general.architecture`; of safetensors the config's `model_type` (of the text model).
        name: `general.name`, or None.
        kind: `chat` where the tokenizer has a chat template, else `base`.
        layers: one entry per transformer block.
        hidden_size: `embedding_length`.
        context_length: tokens the model was trained for.
        license: as stored (or known of a starter), None if unknown.
        chat_template: Jinja source, or None.
        sampling: the author's own generation settings (`general.sampling.*` keys), empty if none.
        system: the system message that suits it where a conversation has none; None: the template's own.
        not_understood: what this version cannot account for, one sentence each; a term that depends
            on it has no figure.
        tokenizer: None where nothing is known of it (a folder without `tokenizer.json`).
        tied: whether the head is the embedding.
        dtype: the precision a checkpoint's config states (`bf16`, `fp16`, `fp32`), or None.
        quantization: how a checkpoint is quantised already; None where it is not.
        modalities: what it reads: `text`, and `image`, `audio`, `video`.
        config_file: a local checkpoint's `config.json`, else None.
        class_name: the class that transformers loads it with (`LlamaForCausalLM`), or None.
        traits: what shapes a block besides its tensors, of GGUF: `parallel_residual` (attention and feed-forward
            side by side), `no_rope` (no rotary positions), `residual_scale` (Granite multiplies what it adds),
            `expert_weights_norm` (the chosen experts' weights are divided by their sum).
        own_code: modules of Python code that a checkpoint brings along and its class needs, by name; run only with
            the user's consent.
        origin: where it comes from, for a model of the hub; its `files` are empty until they are fetched.
    """

    id: str
    format: str
    files: tuple[Path, ...]
    file_bytes: int
    architecture: str
    name: str | None
    kind: Kind
    parameters: Parameters
    weights: Weights
    layers: tuple[LayerFacts, ...]
    hidden_size: int
    context_length: int
    vocab_size: int
    license: str | None
    chat_template: str | None
    tokenizer: TokenizerFacts | None
    tensors: tuple[TensorInfo, ...]
    sampling: dict[str, float] | None = None
    system: str | None = None
    not_understood: tuple[str, ...] = ()
    tied: bool = False
    dtype: str | None = None
    quantization: QuantizationFacts | None = None
    modalities: tuple[str, ...] = ("text",)
    config_file: Path | None = None
    class_name: str | None = None
    traits: frozenset[str] = frozenset()
    own_code: tuple[str, ...] = ()
    origin: Origin | None = None
