"""Facts and machines made by hand: what planning needs, without a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from shoestring.hardware.base import Cpu, Disk, Hardware, Memory
from shoestring.models.facts import (
    AttentionFacts,
    LayerFacts,
    ModelFacts,
    Parameters,
    TensorInfo,
    TokenizerFacts,
    Weights,
)

if TYPE_CHECKING:
    import random_gguf

WriteModel = Callable[["random_gguf.Shape"], ModelFacts]
GB = 10**9
Matrix = tuple[str, tuple[int, ...], str]


def tensors_of(*matrices: Matrix) -> tuple[TensorInfo, ...]:
    """Tensors laid out one after the other; Q4_0 and Q8_0 in blocks of 32, F32 plain."""
    found, offset = [], 1024
    for name, shape, dtype in matrices:
        elements = 1
        for n in shape:
            elements *= n
        n_bytes = {"F32": elements * 4, "Q8_0": elements // 32 * 34, "Q4_0": elements // 32 * 18}[dtype]
        found.append(TensorInfo(name, shape, dtype, n_bytes, offset))
        offset += n_bytes
    return tuple(found)


def make_facts(
    layers: int = 2,
    hidden: int = 256,
    heads: int = 4,
    kv_heads: int = 2,
    head_dim: int = 64,
    feed_forward: int = 512,
    vocabulary: int = 1000,
    context: int = 8192,
    windows: tuple[int | None, ...] = (None,),
    architecture: str = "llama",
    not_understood: tuple[str, ...] = (),
) -> ModelFacts:
    """A dense model; `windows` is repeated over the layers."""
    matrices: list[Matrix] = [
        ("token_embd.weight", (hidden, vocabulary), "Q8_0"),
        ("output.weight", (hidden, vocabulary), "Q8_0"),
        ("output_norm.weight", (hidden,), "F32"),
    ]
    for i in range(layers):
        block = f"blk.{i}."
        matrices += [
            (block + "attn_norm.weight", (hidden,), "F32"),
            (block + "attn_q.weight", (hidden, heads * head_dim), "Q8_0"),
            (block + "attn_k.weight", (hidden, kv_heads * head_dim), "Q8_0"),
            (block + "attn_v.weight", (hidden, kv_heads * head_dim), "Q8_0"),
            (block + "attn_output.weight", (heads * head_dim, hidden), "Q8_0"),
            (block + "ffn_norm.weight", (hidden,), "F32"),
            (block + "ffn_gate.weight", (hidden, feed_forward), "Q8_0"),
            (block + "ffn_up.weight", (hidden, feed_forward), "Q8_0"),
            (block + "ffn_down.weight", (feed_forward, hidden), "Q8_0"),
        ]
    tensors = tensors_of(*matrices)
    total = sum(tensor.n_bytes for tensor in tensors)
    return ModelFacts(
        id="made",
        format="gguf",
        files=(),
        file_bytes=total + 1024,
        architecture=architecture,
        name=None,
        kind="base",
        parameters=Parameters(0, 0, {}),
        weights=Weights(total, {"Q8_0": total}),
        layers=tuple(
            LayerFacts(
                AttentionFacts(heads, kv_heads, head_dim, head_dim, windows[i % len(windows)]), feed_forward
            )
            for i in range(layers)
        ),
        hidden_size=hidden,
        context_length=context,
        vocab_size=vocabulary,
        license=None,
        chat_template=None,
        tokenizer=make_tokenizer(vocabulary),
        tensors=tensors,
        not_understood=not_understood,
    )


def make_tokenizer(vocabulary: int, merges: int = 0, long_tokens: int = 0) -> TokenizerFacts:
    """A vocabulary of strings of 6 bytes, `long_tokens` of them of 20."""
    return TokenizerFacts(
        model="gpt2" if merges else "llama",
        vocab_size=vocabulary,
        tokens_bytes=6 * (vocabulary - long_tokens) + 20 * long_tokens,
        long_tokens=long_tokens,
        long_tokens_bytes=20 * long_tokens,
        merges=merges,
        merges_bytes=7 * merges,
        has_scores=not merges,
        has_types=True,
        bos_id=1,
        eos_id=2,
        add_bos=False,
        add_eos=False,
    )


def make_machine(
    available_bytes: int = 16 * GB, total_bytes: int = 32 * GB, limit_bytes: int | None = None, cores: int = 2
) -> Hardware:
    """A machine with AVX2 and no GPU."""
    return Hardware(
        Cpu("made CPU", cores, cores, ("avx2",)),
        Memory(total_bytes, available_bytes, limit_bytes),
        (),
        Disk("/", 100 * GB),
    )
