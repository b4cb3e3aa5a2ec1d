"""What llama.cpp does with each architecture's attention: the rules that a header alone does not state.

Read from ggml-org/llama.cpp, src/models/*.cpp (`load_arch_hparams`, `load_swa_pattern`) and src/llama-hparams.cpp.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class WindowRule:
    """Which layers slide: in every group of `period` all but one, the last (or the first if `dense_first`).

    Attributes:
        period: group length where the header has no pattern of its own; None: the header must have one.
        dense_first: whether the full layer is the first of its group.
        default: window in tokens where the header has none; None: no layer slides then.
        fixed: window in tokens whatever the header says.
    """

    period: int | None
    dense_first: bool = False
    default: int | None = None
    fixed: int | None = None


WINDOWS: dict[str, WindowRule] = {
    "afmoe": WindowRule(4),
    "cohere2": WindowRule(4),
    "exaone-moe": WindowRule(4, default=128),
    "exaone4": WindowRule(4, default=4096),
    "gemma2": WindowRule(2, default=4096),
    "gemma3": WindowRule(6),
    "gemma3n": WindowRule(5),
    "gemma4": WindowRule(None),
    "gpt-oss": WindowRule(2),
    "laguna": WindowRule(4, dense_first=True),
    "llama4": WindowRule(4, default=8192, fixed=8192),
    "mellum": WindowRule(4),
    "mimo2": WindowRule(None),
    "muse-glimmer": WindowRule(4),
    "olmo2": WindowRule(4),
    "plamo3": WindowRule(8),
    "smallthinker": WindowRule(4, dense_first=True),
    "spark2_5": WindowRule(None),
    "step35": WindowRule(None),
}
"""Architectures whose sliding windows llama.cpp applies. It ignores the key in all others (phi3, qwen2, llama…)."""

FULL_ATTENTION = frozenset(
    {
        *("apertus", "arcee", "arctic", "baichuan", "bailingmoe", "bailingmoe2", "bitnet", "bloom"),
        *("chameleon", "chatglm", "codeshell", "cogvlm", "command-r", "dbrx", "deci", "deepseek"),
        *("dots1", "ernie4_5", "ernie4_5-moe", "exaone", "falcon", "gemma", "glm4", "glm4moe"),
        *("gpt2", "gptneox", "granite", "granitemoe", "grok", "grovemoe", "hunyuan-dense"),
        *("hunyuan-moe", "hunyuan_vl", "internlm2", "jais", "jais2", "llama", "maincoder"),
        *("minicpm", "minimax-m2", "mistral3", "mpt", "nemotron", "olmo", "olmoe", "openelm"),
        *("orion", "paddleocr", "pangu-embedded", "phi2", "phi3", "phimoe", "plamo", "qwen"),
        *("qwen2", "qwen2moe", "qwen2vl", "qwen3", "qwen3moe", "qwen3vl", "qwen3vlmoe", "refact"),
        *("seed_oss", "smollm3", "stablelm", "starcoder", "starcoder2", "talkie", "xverse"),
    }
)
"""Architectures whose layers all keep plain key-value cells for the whole context."""

WITHOUT_CACHE = frozenset(
    {
        *("bert", "dream", "eurobert", "gemma-embedding", "jina-bert-v2", "jina-bert-v3", "llada"),
        *("llada-moe", "modern-bert", "neo-bert", "nomic-bert", "nomic-bert-moe"),
        *("rnd1", "t5encoder"),
    }
)
"""Encoders and diffusion models: they read a text at once and keep no cells."""

ROPE_OVER_WHOLE_HEAD = frozenset(
    {
        *("apertus", "arcee", "arctic", "baichuan", "chameleon", "codeshell", "cogvlm", "dbrx"),
        *("deci", "deepseek", "dots1", "ernie4_5", "ernie4_5-moe", "exaone", "exaone-moe"),
        *("exaone4", "falcon", "granite", "grok", "grovemoe", "hunyuan-moe", "hunyuan_vl"),
        *("internlm2", "jais2", "llama", "llama4", "maincoder", "mellum", "minimax-m2", "mistral3"),
        *("olmo", "olmo2", "olmoe", "orion", "paddleocr", "pangu-embedded", "plamo"),
        *("qwen2", "qwen2moe", "qwen2vl", "qwen3", "qwen3moe", "qwen3vl", "qwen3vlmoe", "seed_oss"),
        *("smallthinker", "smollm3", "starcoder2", "talkie", "xverse"),
    }
)
"""Architectures whose graph asserts that rotary positions cover the whole head."""

KEYS_AS_WIDE_AS_VALUES = ROPE_OVER_WHOLE_HEAD | {
    *("afmoe", "bailingmoe2", "bitnet", "bloom", "chatglm", "cohere2", "command-r", "glm4"),
    *("glm4moe", "gpt2", "gptneox", "jais", "laguna", "mpt", "muse-glimmer", "openelm", "phi2"),
    *("gemma4", "phi3", "qwen", "refact", "spark2_5", "stablelm", "starcoder"),
}
"""Architectures whose graph asserts that a head's keys and values are of one width."""

STATES = {
    "falcon-h1": "mamba2",
    "granitehybrid": "mamba2",
    "jamba": "mamba",
    "lfm2": "short_conv",
    "lfm2moe": "short_conv",
    "mamba": "mamba",
    "mamba2": "mamba2",
    "qwen35": "linear_attention",
    "qwen35moe": "linear_attention",
    "qwen3next": "linear_attention",
}
"""Architectures with recurrent layers, and the kind of their state."""

WITHOUT_ATTENTION = frozenset({"mamba", "mamba2"})
"""Architectures whose layers are all recurrent."""

LATENT = frozenset({"deepseek2"})
"""Architectures with multi-head latent attention, of which a new conversion keeps only the compressed cache."""

SHARED_CACHES: dict[str, int | None] = {"gemma3n": 20, "gemma4": None}
"""Architectures whose last layers read the keys and values of earlier ones: how many have their own; None: the
header says how many have none."""

GATED_ATTENTION = frozenset({"qwen35", "qwen35moe", "qwen3next"})
"""Architectures of which every query comes with a gate for what its attention gives; between such layers lie
recurrent ones, named in the header or in a fixed rhythm."""

GATE_NAMED = frozenset({"dots1", "lfm2moe", "minimax-m2"})
"""Mixtures whose header must say how experts are chosen; llama.cpp aborts where it does not."""

_COUNTED_HERE = {
    "attention.kv_lora_rank": LATENT,
    "attention.shared_kv_layers": frozenset(SHARED_CACHES),
    "attention.recurrent_layers": GATED_ATTENTION,
    "ssm.state_size": frozenset(STATES) - {"lfm2", "lfm2moe"},
    "ssm.conv_kernel": frozenset(STATES) - {"lfm2", "lfm2moe"},
    "shortconv.l_cache": frozenset({"lfm2", "lfm2moe"}),
}

UNCOUNTED_KEYS = {
    "attention.kv_lora_rank": "multi-head latent attention",
    "ssm.state_size": "state-space layers",
    "ssm.conv_kernel": "state-space layers",
    "wkv.head_size": "RWKV layers",
    "shortconv.l_cache": "short convolutions",
    "kda.head_dim": "delta attention",
    "attention.shared_kv_layers": "layers that share one cache",
    "attention.recurrent_layers": "recurrent layers",
    "attention.indexer.head_count": "sparse attention with an indexer",
    "nextn_predict_layers": "extra layers that predict several tokens",
}
"""Keys (behind the architecture's name) that mean a layer's memory is not just keys and values, and what they are."""


def counts_cells(architecture: str) -> bool:
    """Whether this version knows what every layer of the architecture keeps of its context."""
    return any(architecture in known for known in (FULL_ATTENTION, WINDOWS, WITHOUT_CACHE, STATES, LATENT))


def not_counted(architecture: str, keys: Iterable[str]) -> tuple[str, ...]:
    """What keys in a header mean that this version cannot count, each once."""
    found = {
        UNCOUNTED_KEYS[key]: None for key in keys if architecture not in _COUNTED_HERE.get(key, frozenset())
    }
    return tuple(found)


def window_rule(architecture: str, n_layers: int) -> WindowRule | None:
    """The rule for one model; None where every layer has full attention."""
    if architecture == "exaone4" and n_layers != 64:  # only the 32B model slides
        return None
    return WINDOWS.get(architecture)


def sliding_layers(
    rule: WindowRule, n_layers: int, pattern: Sequence[int | bool] | int | None
) -> tuple[bool, ...] | None:
    """Which layers slide, as llama.cpp's `load_swa_pattern` decides; None where the header should say and does not.

    Args:
        pattern: the header's `attention.sliding_window_pattern`: one flag a layer, or a period.
    """
    if isinstance(pattern, Sequence):
        return tuple(bool(pattern[i]) if i < len(pattern) else False for i in range(n_layers))
    period = rule.period if pattern is None or rule.period is None else pattern
    if period is None:
        return None
    if period == 0:
        return (True,) * n_layers
    full = 0 if rule.dense_first else period - 1
    return tuple(i % period != full for i in range(n_layers))
