"""Memory of one forward pass of llama.cpp: its compute buffer, its output buffer and its threads' work space.

The compute buffer is found by laying out the very tensors that llama.cpp's graph has (`src/llama-graph.cpp`,
`src/models/*.cpp`) in one shared buffer (`graph_memory`). Nothing is fitted: every size follows from the
header's shapes, the micro-batch and the context. Blocks are normalise → attention → add → normalise →
feed-forward → add; which biases, norms and fused matrices a block has is read from its tensors' names.
"""

from __future__ import annotations

from shoestring.models.facts import AttentionFacts, ModelFacts
from shoestring.planning.base import Group, LlamaCppSettings
from shoestring.planning.llama_cpp.graph_memory import Tensor, buffer_bytes
from shoestring.planning.llama_cpp.kv_cache import cells_per_sequence, padded_context

F32, F16, I32, I64 = 4, 2, 4, 8

SEQUENTIAL_BLOCKS = frozenset(
    {"llama", "mistral3", "smollm3", "qwen2", "qwen3", "gemma", "gemma2", "gemma3", "phi3"}
)
"""Architectures whose graph is the sequence above, each held against the engine's own figure in the tests."""


def unaccounted(facts: ModelFacts) -> dict[Group, str]:
    """Why cache or compute have no formula for this model, a sentence each; empty where they have one."""
    reasons: dict[Group, str] = {}
    if facts.not_understood or any(layer.attention is None for layer in facts.layers):
        found = facts.not_understood or ("Some layers have no attention that this version can count.",)
        reasons["kv_cache"] = reasons["compute"] = " ".join(found)
    elif facts.architecture not in SEQUENTIAL_BLOCKS:
        reasons["compute"] = f"The compute graph of {facts.architecture} models is not known to this version."
    elif any("_exps." in tensor.name for tensor in facts.tensors):
        reasons["compute"] = "The compute graph of a mixture of experts is not known to this version."
    return reasons


def compute_buffer_bytes(facts: ModelFacts, settings: LlamaCppSettings) -> int:
    """Bytes of llama.cpp's compute buffer, as it logs them ("CPU compute buffer size").

    The caller has made sure that `unaccounted(facts)` is empty.
    """
    return _ForwardPass(facts, settings).buffer_bytes()


def output_buffer_bytes(facts: ModelFacts, settings: LlamaCppSettings) -> int:
    """Bytes of the logits handed to the sampler: one row of the vocabulary for each sequence."""
    return facts.vocab_size * settings.batch * F32


class _ForwardPass:
    """llama.cpp's worst-case graph: a full micro-batch against a full cache, one output a sequence."""

    def __init__(self, facts: ModelFacts, settings: LlamaCppSettings) -> None:
        self.facts = facts
        self.settings = settings
        n_ctx = padded_context(settings) * settings.batch
        self.n_tokens = -(-min(settings.ubatch, n_ctx) // settings.batch) * settings.batch
        self.names = {tensor.name: tensor for tensor in facts.tensors}
        self.inputs: list[Tensor] = []
        self.nodes: list[Tensor] = []
        self.masks: dict[bool, Tensor] = {}
        self.indices: dict[bool, tuple[Tensor, Tensor]] = {}
        self.rotations: dict[tuple[bool, bool], Tensor] = {}
        self.positions: Tensor | None = None
        self.windows = any(layer.attention and layer.attention.window for layer in facts.layers)

    def buffer_bytes(self) -> int:
        stream = self._embed()
        self.positions = self._input((self.n_tokens,), I32)
        last = len(self.facts.layers) - 1
        for i in self._telling_layers():
            attention = self.facts.layers[i].attention
            if attention is None:
                raise ValueError(f"layer {i} has no attention")
            stream = self._block(i, attention, stream, last=i == last)
        normed = self._norm("output_norm", stream)
        normed.output = True
        logits = self._op((self.facts.vocab_size, self.settings.batch), normed)
        if self.facts.architecture == "gemma2":  # soft-capped
            logits = self._op(logits.shape, logits, in_place=True)
        logits.output = True
        return buffer_bytes(self.inputs, self.nodes)

    def _telling_layers(self) -> list[int]:
        """Layers that can differ in their layout: of a run of equal ones, the first four; and always the last.

        A layer's layout depends on itself and on where its input lies, which settles after one like it.
        """
        shapes: dict[int, list[tuple[str, tuple[int, ...]]]] = {}
        for tensor in self.facts.tensors:
            block, _, name = tensor.name.removeprefix("blk.").partition(".")
            if block.isdigit():
                shapes.setdefault(int(block), []).append((name, tensor.shape))
        telling: list[int] = []
        run, previous = 0, None
        for i, layer in enumerate(self.facts.layers):
            kind = (layer, sorted(shapes.get(i, [])))
            run = run + 1 if kind == previous else 1
            previous = kind
            if run <= 4 or i == len(self.facts.layers) - 1:
                telling.append(i)
        return telling

    def _embed(self) -> Tensor:
        """Three ways to begin (token ids, embeddings, a mixture); all have their place, the first is used."""
        shape = (self.facts.hidden_size, self.n_tokens)
        tokens, mixed_tokens = self._input((self.n_tokens,), I32), self._input((self.n_tokens,), I32)
        self._input(shape)  # embeddings: nobody reads them, so their place is never given back
        slots, embeddings = self._input((self.n_tokens,), I64), self._input(shape)
        stream = self._op(shape, tokens)
        looked_up, copied = self._op(shape, mixed_tokens), self._op(shape, embeddings)
        self.nodes.append(Tensor(shape, 0, (looked_up, slots, copied), view_of=copied))
        if self.facts.architecture in ("gemma2", "gemma3"):
            stream = self._op(shape, stream, self._input((self.n_tokens,)), in_place=True)
        return stream

    def _block(self, i: int, attention: AttentionFacts, stream: Tensor, *, last: bool) -> Tensor:
        block = f"blk.{i}."
        attended = self._attention(block, attention, self._norm(block + "attn_norm", stream))
        if last:
            rows = self._input((self.settings.batch,), I32)
            shape = (self.facts.hidden_size, self.settings.batch)
            attended = self._op(shape, attended, rows)
            stream = self._op(shape, stream, rows)
        attended = self._norm(block + "post_attention_norm", attended)
        stream = self._op(stream.shape, attended, stream, in_place=True)
        fed = self._feed_forward(block, self._norm(block + "ffn_norm", stream))
        fed = self._norm(block + "post_ffw_norm", fed)
        return self._op(stream.shape, fed, stream, in_place=True)

    def _attention(self, block: str, a: AttentionFacts, x: Tensor) -> Tensor:
        q, k, v = self._project(block, a, x)
        windowed = a.window is not None
        k_index, v_index = self._indices(windowed, a)
        self._op((0,), self._view(k), k_index)  # written into the cache: no memory here
        self._op((0,), self._view(v), v_index)
        mixed = self._mix(q, self._mask(windowed, a), a)
        if self._rotated(a.head_dim_v):
            mixed = self._rotate(mixed, a, values=True)
        return self._linear(block + "attn_output", mixed, self.facts.hidden_size)

    def _project(self, block: str, a: AttentionFacts, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of every head, positions applied."""
        n = self.n_tokens
        shapes = {
            "q": (a.head_dim_k, a.heads, n),
            "k": (a.head_dim_k, a.kv_heads, n),
            "v": (a.head_dim_v, a.kv_heads, n),
        }
        fused = None
        if block + "attn_qkv.weight" in self.names:
            fused = self._linear(block + "attn_qkv", x, sum(d * h for d, h, _ in shapes.values()))
        made: dict[str, Tensor] = {}
        for name in "qkv" if self.windows else "qvk":  # the order in which llama.cpp computes them
            dim, heads, _ = shapes[name]
            flat = fused or self._linear(f"{block}attn_{name}", x, dim * heads)
            made[name] = self._view(flat, shapes[name])
            if name != "v":
                normed = self._norm(f"{block}attn_{name}_norm", made[name])
                made[name] = self._op(normed.shape, normed, self.positions, in_place=True)
        if self._rotated(a.head_dim_k):
            made["q"], made["k"] = (self._rotate(made[name], a, values=False) for name in "qk")
        if self._rotated(a.head_dim_v):
            made["v"] = self._rotate(made["v"], a, values=True)
        return made["q"], made["k"], made["v"]

    def _mix(self, q: Tensor, mask: Tensor, a: AttentionFacts) -> Tensor:
        """Scores, softmax and the weighted sum of values; returns (head_dim_v × heads, tokens)."""
        n, out = self.n_tokens, (a.head_dim_v * a.heads, self.n_tokens)
        q = self._view(q)
        if self.settings.flash_attention:
            return self._view(self._op(out, q, mask), out)
        scores = self._op((cells_per_sequence(a, self.settings), n, a.heads), q)
        weights = self._op(scores.shape, scores, mask, in_place=True)
        heads = self._op((a.head_dim_v, n, a.heads), weights)
        return self._op(out, self._view(heads))

    def _rotated(self, head_dim: int) -> bool:
        return self.settings.kv_precision != "f16" and head_dim % 64 == 0

    def _rotate(self, x: Tensor, a: AttentionFacts, *, values: bool) -> Tensor:
        """The Hadamard rotation around a quantised cache: 64 wide for values, as wide as goes for keys."""
        key = (a.window is not None, values)
        if key not in self.rotations:
            width = 64 if values else a.head_dim_k & -a.head_dim_k
            self.rotations[key] = self._input((width, width))
        return self._op(x.shape, self._view(x), self.rotations[key])

    def _feed_forward(self, block: str, x: Tensor) -> Tensor:
        up = self.names[block + "ffn_up.weight"].shape[1]
        raised = self._linear(block + "ffn_up", x, up)
        inner = self.names[block + "ffn_down.weight"].shape[0]
        shape = (inner, raised.shape[1])
        if block + "ffn_gate.weight" in self.names:
            gate = self._linear(block + "ffn_gate", x, up)
            active = self._op(shape, gate, raised)
        else:  # fused gate and up (twice as wide), or a plain activation, which works in place
            active = self._op(shape, raised, in_place=up == inner)
        return self._linear(block + "ffn_down", active, self.facts.hidden_size)

    def _linear(self, name: str, x: Tensor, width: int) -> Tensor:
        y = self._op((width, x.shape[-1]), x)
        return self._op(y.shape, y, in_place=True) if name + ".bias" in self.names else y

    def _norm(self, name: str, x: Tensor) -> Tensor:
        """Normalise and scale: two operations, the second in place; nothing where the model has no such norm."""
        if name + ".weight" not in self.names:
            return x
        normed = self._op(x.shape, x, in_place=True)
        return self._op(x.shape, normed, in_place=True)

    def _mask(self, windowed: bool, a: AttentionFacts) -> Tensor:
        if windowed not in self.masks:
            size = F16 if self.settings.flash_attention else F32
            self.masks[windowed] = self._input((cells_per_sequence(a, self.settings), self.n_tokens), size)
        return self.masks[windowed]

    def _indices(self, windowed: bool, a: AttentionFacts) -> tuple[Tensor, Tensor]:
        """Where new keys and values go; without flash attention values are stored transposed, one index each."""
        if windowed not in self.indices:
            each = 1 if self.settings.flash_attention else a.kv_heads * a.head_dim_v
            self.indices[windowed] = (
                self._input((self.n_tokens,), I64),
                self._input((self.n_tokens * each,), I64),
            )
        return self.indices[windowed]

    def _input(self, shape: tuple[int, ...], element_bytes: int = F32) -> Tensor:
        tensor = Tensor(shape, _product(shape) * element_bytes)
        self.inputs.append(tensor)
        return tensor

    def _op(self, shape: tuple[int, ...], *sources: Tensor | None, in_place: bool = False) -> Tensor:
        known = tuple(source for source in sources if source is not None)
        node = Tensor(shape, _product(shape) * F32, known, in_place=in_place)
        self.nodes.append(node)
        return node

    def _view(self, source: Tensor, shape: tuple[int, ...] | None = None) -> Tensor:
        node = Tensor(shape or (*source.shape, 0), 0, (source,), view_of=source.view_of or source)
        self.nodes.append(node)
        return node


def _product(shape: tuple[int, ...]) -> int:
    total = 1
    for n in shape:
        total *= n
    return total
