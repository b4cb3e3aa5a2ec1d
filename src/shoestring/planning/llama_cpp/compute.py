"""Memory of one forward pass of llama.cpp: its compute buffer and its output buffer.

The compute buffer is found by laying out the very tensors that llama.cpp's graph has (`src/llama-graph.cpp`,
`src/models/*.cpp`) in one shared buffer (`graph_memory`). Nothing is fitted: every size follows from the
header's shapes, the micro-batch and the context. Which biases, norms and fused matrices a block has is read from
its tensors' names; what its names do not tell is here.
"""

from __future__ import annotations

from dataclasses import dataclass

from shoestring.models.facts import ModelFacts
from shoestring.planning.base import Group, LlamaCppSettings
from shoestring.planning.llama_cpp import gemma4
from shoestring.planning.llama_cpp.attention import attention
from shoestring.planning.llama_cpp.blueprint import Blueprint
from shoestring.planning.llama_cpp.feed_forward import feed_forward
from shoestring.planning.llama_cpp.gemma3n import Gemma3n
from shoestring.planning.llama_cpp.graph import F32, I32, I64, Graph
from shoestring.planning.llama_cpp.graph_memory import Tensor, buffer_bytes
from shoestring.planning.llama_cpp.recurrent import recurrent

ONE_AFTER_THE_OTHER = frozenset(
    {
        *("arcee", "bailingmoe", "deepseek", "deepseek2", "dots1", "ernie4_5", "ernie4_5-moe", "exaone"),
        *("exaone4", "gemma", "gemma2", "gemma3", "glm4", "glm4moe", "gpt-oss", "gpt2", "granite"),
        *(
            "granitehybrid",
            "granitemoe",
            "hunyuan-dense",
            "hunyuan-moe",
            "internlm2",
            "jamba",
            "lfm2",
            "lfm2moe",
        ),
        *("llama", "maincoder", "minicpm", "minimax-m2", "mistral3", "nemotron", "olmo2", "olmoe", "orion"),
        *(
            "phi3",
            "phimoe",
            "qwen2",
            "qwen2moe",
            "qwen2vl",
            "qwen3",
            "qwen35",
            "qwen35moe",
            "qwen3moe",
            "qwen3next",
            "qwen3vl",
        ),
        *("qwen3vlmoe", "seed_oss", "smollm3", "starcoder2", "xverse"),
    }
)
"""Blocks that normalise, attend (or run a state), add, normalise, feed forward, add."""

SIDE_BY_SIDE = frozenset({"cohere2", "command-r", "falcon", "phi2"})
"""Blocks whose attention and feed-forward read the same normalised input."""

OF_THEIR_OWN = frozenset({"falcon-h1", "gemma3n", "gemma4", "gptneox", "mamba", "mamba2", "stablelm"})

ARCHITECTURES = ONE_AFTER_THE_OTHER | SIDE_BY_SIDE | OF_THEIR_OWN
"""Architectures whose graph is known, each held against the engine's own figure in the tests."""

_STREAM_FIRST = frozenset({"jamba", "lfm2", "lfm2moe"})
"""Architectures that add a result to the stream, not the stream to a result: it decides which is overwritten."""

_NORMED_BEFORE_FEED_FORWARD = frozenset(
    {"glm4moe", "gpt-oss", "qwen35", "qwen35moe", "qwen3next", "seed_oss"}
)
"""Architectures whose `post_attention_norm` comes behind the addition, in the place of `ffn_norm`."""


def unaccounted(facts: ModelFacts) -> dict[Group, str]:
    """Why cache or compute have no formula for this model, a sentence each; empty where they have one."""
    if facts.not_understood:
        reason = " ".join(facts.not_understood)
        return {"kv_cache": reason, "compute": reason}
    if facts.architecture not in ARCHITECTURES:
        return {"compute": f"The compute graph of {facts.architecture} models is not known to this version."}
    if any(layer.attention is None and layer.state is None for layer in facts.layers):
        reason = "Some layers have neither attention nor a state that this version can count."
        return {"kv_cache": reason, "compute": reason}
    return {}


@dataclass(frozen=True)
class Buffers:
    """Bytes of llama.cpp's compute buffers.

    Attributes:
        compute: of a device that computes blocks, as llama.cpp logs it ("CPU compute buffer size").
        host: the CPU's where every block and the head lie on GPUs: inputs, and tokens looked up and copied from a
            mixture.
    """

    compute: int
    host: int


def buffers(blueprint: Blueprint, settings: LlamaCppSettings) -> Buffers:
    """The compute buffers of a model with these settings, wherever its blocks lie.

    The caller has made sure that `unaccounted` has no `compute` for it.
    """
    g = forward_graph(blueprint, settings)
    embedded = F32 * g.hidden * g.tokens
    host = sum(tensor.n_bytes for tensor in g.inputs) + 2 * embedded
    return Buffers(buffer_bytes(g.inputs, g.nodes), host)


def compute_buffer_bytes(facts: ModelFacts, settings: LlamaCppSettings) -> int:
    """`Buffers.compute` of a model that is looked at once."""
    return buffers(Blueprint(facts), settings).compute


def output_buffer_bytes(facts: ModelFacts, settings: LlamaCppSettings) -> int:
    """Bytes of the logits handed to the sampler: one row of the vocabulary for each sequence."""
    return facts.vocab_size * settings.batch * F32


def forward_graph(blueprint: Blueprint, settings: LlamaCppSettings) -> Graph:
    """The whole graph, without layers that repeat what others before them do."""
    g = Graph(blueprint, settings)
    through = {"gemma3n": _through_gemma3n, "gemma4": _through_gemma4}.get(
        g.facts.architecture, _through_blocks
    )
    stream = through(g)
    normed = g.norm("output_norm" if g.has("output_norm.weight") else "token_embd_norm", stream)
    normed.output = True
    logits = g.bias("output", g.op((g.facts.vocab_size, settings.batch), normed))
    if g.facts.architecture in ("gemma2", "gemma3n", "gemma4"):  # soft-capped
        logits = g.op(logits.shape, logits, in_place=True)
    logits.output = True
    g.expand(logits)
    return g


def _through_blocks(g: Graph) -> Tensor:
    stream, last = _embed(g), len(g.facts.layers) - 1
    for i in g.blueprint.telling_layers:
        stream = _block(g, i, stream, last=i == last)
    return stream


def _through_gemma3n(g: Graph) -> Tensor:
    streams = Gemma3n(g, _embed(g))
    for i in g.blueprint.telling_layers:
        a = g.facts.layers[i].attention
        if a is None:
            raise ValueError(f"layer {i} has no attention")
        streams.block(i, a)
    return streams.merged()


def _through_gemma4(g: Graph) -> Tensor:
    looked_up = gemma4.looked_up_by_layer(g)
    stream, last = _embed(g), len(g.facts.layers) - 1
    by_layer = None if looked_up is None else gemma4.inputs_by_layer(g, stream, looked_up)
    for i in g.blueprint.telling_layers:
        stream = gemma4.block(g, i, stream, by_layer, last=i == last)
    return stream


def _embed(g: Graph) -> Tensor:
    """Three ways to begin (token ids, embeddings, a mixture); all have their place, the first is used."""
    shape, n = (g.hidden, g.tokens), (g.tokens,)
    stream = g.op(shape, g.input("tokens", n, I32))
    g.expand(stream)
    looked_up = g.op(shape, g.input("mixed tokens", n, I32))
    g.expand(g.input("embeddings", shape))  # nobody reads them, so their place is never given back
    copied = g.op(shape, g.input("mixed embeddings", shape))
    g.expand(looked_up)
    g.expand(Tensor(shape, 0, (looked_up, g.input("mixed slots", n, I64), copied), view_of=copied))
    if g.has("position_embd.weight"):
        return g.op(shape, stream, g.op(shape, g.positions()), in_place=True)
    if g.facts.architecture in ("gemma2", "gemma3", "gemma3n", "gemma4"):
        return g.op(shape, stream, g.input("scales", n), in_place=True)
    if "residual_scale" in g.facts.traits:
        stream = _scaled(g, stream)
        g.expand(stream)
    return stream


def _scaled(g: Graph, x: Tensor) -> Tensor:
    return g.op(x.shape, x, in_place=True) if "residual_scale" in g.facts.traits else x


def _block(g: Graph, i: int, stream: Tensor, *, last: bool) -> Tensor:
    architecture = g.facts.architecture
    if architecture in ("mamba", "mamba2"):
        return _state_alone(g, i, stream, last=last)
    if architecture == "falcon-h1":
        return _attention_and_state(g, i, stream, last=last)
    if architecture in SIDE_BY_SIDE:
        return _side_by_side(g, i, stream, last=last)
    if architecture == "gptneox" and "parallel_residual" in g.facts.traits:
        return _two_norms_side_by_side(g, i, stream, last=last)
    return _one_after_the_other(g, i, stream, last=last)


def _mixed(g: Graph, i: int, x: Tensor) -> Tensor:
    """What the layer's attention, or its state, makes of x."""
    layer = g.facts.layers[i]
    if layer.attention is not None:
        return attention(g, i, layer.attention, x)
    if layer.state is not None:
        return recurrent(g, i, layer.state, x)
    raise ValueError(f"layer {i} has neither attention nor a state")


def _one_after_the_other(g: Graph, i: int, stream: Tensor, *, last: bool) -> Tensor:
    block = f"blk.{i}."
    normed = g.norm(block + "attn_norm", stream)
    mixed = _mixed(g, i, normed)
    if last:
        mixed, stream, normed = g.rows(mixed), g.rows(stream), g.rows(normed)
    after = g.facts.architecture in _NORMED_BEFORE_FEED_FORWARD
    if not after:
        mixed = g.norm(block + "post_attention_norm", mixed)
    stream = _add(g, _scaled(g, mixed), stream)
    if g.facts.architecture == "stablelm" and not g.has(block + "ffn_norm.weight"):
        fed = feed_forward(g, i, normed)
    else:
        fed = feed_forward(g, i, g.norm(block + ("post_attention_norm" if after else "ffn_norm"), stream))
    return _add(g, _scaled(g, g.norm(block + "post_ffw_norm", fed)), stream)


def _add(g: Graph, result: Tensor, stream: Tensor) -> Tensor:
    pair = (stream, result) if g.facts.architecture in _STREAM_FIRST else (result, stream)
    return g.op(stream.shape, *pair, in_place=True)


def _side_by_side(g: Graph, i: int, stream: Tensor, *, last: bool) -> Tensor:
    normed = g.norm(f"blk.{i}.attn_norm", stream)
    second = f"blk.{i}.attn_norm_2"  # Falcon 40B: attention has a norm of its own
    mixed = _mixed(g, i, g.norm(second, stream) if g.has(second + ".weight") else normed)
    if last:
        mixed, stream, normed = g.rows(mixed), g.rows(stream), g.rows(normed)
    fed = feed_forward(g, i, normed)
    order = {"phi2": (mixed, fed, stream), "falcon": (fed, mixed, stream)}
    a, b, c = order.get(g.facts.architecture, (fed, stream, mixed))
    return g.op(stream.shape, g.op(stream.shape, a, b, in_place=True), c, in_place=True)


def _two_norms_side_by_side(g: Graph, i: int, stream: Tensor, *, last: bool) -> Tensor:
    mixed = _mixed(g, i, g.norm(f"blk.{i}.attn_norm", stream))
    if last:
        mixed, stream = g.rows(mixed), g.rows(stream)
    fed = feed_forward(g, i, g.norm(f"blk.{i}.ffn_norm", stream))
    fed = g.op(stream.shape, fed, stream, in_place=True)
    return g.op(stream.shape, fed, mixed, in_place=True)


def _state_alone(g: Graph, i: int, stream: Tensor, *, last: bool) -> Tensor:
    mixed = _mixed(g, i, g.norm(f"blk.{i}.attn_norm", stream))
    if last:
        mixed, stream = g.rows(mixed), g.rows(stream)
    return g.op(stream.shape, mixed, stream, in_place=True)


def _attention_and_state(g: Graph, i: int, stream: Tensor, *, last: bool) -> Tensor:
    """Falcon-H1: both read the stream, each through a norm that is computed twice."""
    block, layer = f"blk.{i}.", g.facts.layers[i]
    if layer.attention is None or layer.state is None:
        raise ValueError(f"layer {i} lacks attention or a state")
    attended = attention(g, i, layer.attention, g.norm(block + "attn_norm", stream))
    scanned = recurrent(g, i, layer.state, g.norm(block + "attn_norm", stream))
    mixed = g.op(stream.shape, attended, scanned, in_place=True)
    stream = g.op(stream.shape, mixed, stream, in_place=True)
    if last:
        stream = g.rows(stream)
    fed = feed_forward(g, i, g.norm(block + "ffn_norm", stream))
    return g.op(stream.shape, fed, stream, in_place=True)
