"""What vLLM would need, from its documentation: it was never run by us.

vLLM takes one pool at start, a share of the GPU, whatever is asked of it later: weights, activations and CUDA graphs
come off it, and what is left becomes pages of cache. Weights and the pages that a request needs can be counted; the
activations cannot, for vLLM measures them with a trial run, so a plan for it has no total.

Sources: docs.vllm.ai, "Hybrid KV Cache Manager" (design), "Engine Arguments", "Optimization and Tuning", "GPU"
(installation); `vllm/v1/kv_cache_interface.py` for pages per layer type.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from shoestring.hardware.base import Gpu, Hardware
from shoestring.models.facts import AttentionFacts, ModelFacts, TensorInfo
from shoestring.planning.base import CPU, Assignment, Estimate, Group, Term, Unit, VllmSettings
from shoestring.planning.transformers.modules import block, tower
from shoestring.units import format_bytes

MAX_NUM_BATCHED_TOKENS = 2048
"""Tokens of one step, which vLLM is to be told: a sliding layer keeps that many beside its window. Its own default
depends on the GPU and on how it is used."""

LEAST_CAPABILITY = (7, 5)
"""Compute capability that its documentation asks for ("GPU", since 0.21)."""

NEVER_RUN = "From vLLM's documentation; never run by us."
_ACTIVATIONS = (
    "vLLM measures its activations with a trial run when it starts; its documentation has no figure."
)
_HOST = "What vLLM's processes take of main memory is not documented."
_WIDTHS = {"fp32": 4, "bf16": 2, "fp16": 2}
_CACHE_WIDTHS = {"f32": 4, "bf16": 2, "f16": 2}
_FLOATS = frozenset({"F64", "F32", "BF16", "F16"})


def why_not(hardware: Hardware) -> str | None:
    """Why vLLM does not run on a machine, in a sentence; None where nothing speaks against it.

    A GPU that does not tell its compute capability is given the benefit of the doubt.
    """
    if not hardware.gpus:
        return "vLLM keeps a model on an NVIDIA GPU, and this machine has none."
    best = max(hardware.gpus, key=lambda gpu: gpu.compute_capability or LEAST_CAPABILITY)
    if (best.compute_capability or LEAST_CAPABILITY) >= LEAST_CAPABILITY:
        return None
    wanted, has = (".".join(map(str, each)) for each in (LEAST_CAPABILITY, best.compute_capability or ()))
    return f"vLLM needs a GPU of compute capability {wanted}; {best.name} has {has}."


@dataclass(frozen=True)
class VllmMemory:
    """The memory model of vLLM, on one GPU."""

    engine: str = "vllm"

    def units(self, facts: ModelFacts, settings: VllmSettings, hardware: Hardware) -> tuple[Unit, ...]:
        """What lies before the blocks, every block, and what lies behind; all of it on one GPU."""
        cache = [] if _unknown_cache(facts, settings) else layer_cache_bytes(facts, settings)
        first, blocks, last = _parts(facts)
        return (
            Unit("embeddings", _bytes(first, settings), 0, 0, _bytes(first, settings)),
            *(
                _block_unit(facts, i, tensors, settings, cache[i] if cache else 0)
                for i, tensors in enumerate(blocks)
            ),
            Unit("head", _bytes(last, settings), 0, _head_bytes(facts, last, settings)),
        )

    def estimate(
        self, facts: ModelFacts, settings: VllmSettings, hardware: Hardware, assignment: Assignment
    ) -> Estimate:
        """Weights and the pages that the request fills, on the GPU; the load peak is the whole pool."""
        device = next((place for place in assignment if place != CPU), CPU)
        unknown_cache = _unknown_cache(facts, settings)
        missing: dict[Group, str] = {"compute": _ACTIVATIONS, "runtime": _HOST}
        weights = sum(unit.weights for unit in self.units(facts, settings, hardware))
        terms = [Term("weights", "weights", device, weights)]
        if unknown_cache:
            missing["kv_cache"] = unknown_cache
        else:
            pages = kv_cache_bytes(facts, settings)
            terms.append(Term("kv_cache", "kv_cache", device, pages))
        gpu = _gpu(hardware, device)
        if gpu is None:
            return Estimate(tuple(terms), {}, missing, notes=(NEVER_RUN,))
        pool = pool_bytes(gpu, settings)
        notes = (NEVER_RUN, _pool_note(gpu, pool, sum(term.bytes for term in terms)))
        return Estimate(tuple(terms), {device: pool}, missing, notes=notes)


def pool_bytes(gpu: Gpu, settings: VllmSettings) -> int:
    """What vLLM takes of a GPU at start: `gpu_memory_utilization` of all its memory."""
    return int(gpu.total_bytes * settings.gpu_memory_utilization)


def kv_cache_bytes(facts: ModelFacts, settings: VllmSettings) -> int:
    """Bytes of the pages that a full batch fills, padding layers of uneven groups included.

    Layers that need equally many pages form groups, of as many layers as the scarcest kind has; a group that is
    not full is padded (Gemma 3 27B: 10 full layers, 52 sliding ones in 6 groups of 10). A page holds one block of
    tokens for every layer of a group.

    Raises:
        ValueError: a layer's cache cannot be counted.
    """
    kinds = Counter(_caching(facts, settings))
    size = min(kinds.values(), default=0)
    per_sequence = sum(
        -(-count // size) * size * _pages(attention, settings) * _page_bytes(attention, settings)
        for attention, count in kinds.items()
    )
    return settings.batch * per_sequence


def layer_cache_bytes(facts: ModelFacts, settings: VllmSettings) -> list[int]:
    """The same of every layer, padding left out; 0 where one reads another's cache.

    Raises:
        ValueError: a layer's cache cannot be counted.
    """
    _caching(facts, settings)
    return [
        settings.batch * _pages(layer.attention, settings) * _page_bytes(layer.attention, settings)
        if layer.attention and layer.attention.shares_cache_of is None
        else 0
        for layer in facts.layers
    ]


def _caching(facts: ModelFacts, settings: VllmSettings) -> list[AttentionFacts]:
    reason = _unknown_cache(facts, settings)
    if reason:
        raise ValueError(reason)
    found = (layer.attention for layer in facts.layers)
    return [attention for attention in found if attention and attention.shares_cache_of is None]


def _unknown_cache(facts: ModelFacts, settings: VllmSettings) -> str | None:
    if facts.not_understood:
        return facts.not_understood[0]
    if any(layer.state for layer in facts.layers):
        return "vLLM pads recurrent state to the pages of attention layers by rules that its documentation calls work in progress."
    if not facts.layers or any(layer.attention is None for layer in facts.layers):
        return "A layer's attention is not understood, so its cache has no figure."
    sizes = {_page_bytes(each, settings) for layer in facts.layers if (each := layer.attention)}
    if len(sizes) > 1:
        return "The layers' keys and values differ in size; how vLLM pages them is not documented."
    return None


def _pages(attention: AttentionFacts, settings: VllmSettings) -> int:
    """Pages of one sequence: of its whole context, or of a window and one step.

    A window may begin inside a page, hence one more (`SlidingWindowSpec.max_memory_usage_bytes`).
    """
    context = settings.context
    if attention.window is None:
        return -(-context // settings.block_tokens)
    kept = min(attention.window - 1 + MAX_NUM_BATCHED_TOKENS, context)
    return -(-kept // settings.block_tokens) + 1


def _page_bytes(attention: AttentionFacts, settings: VllmSettings) -> int:
    """Bytes of one block of tokens in one layer; latent attention keeps one vector for key and value."""
    width = _CACHE_WIDTHS.get(settings.kv_precision, 2)
    if attention.latent:
        values = attention.latent.rank + attention.latent.rope_dim
    else:
        values = attention.kv_heads * (attention.head_dim_k + attention.head_dim_v)
    return settings.block_tokens * values * width


Tensors = list[TensorInfo]


def _parts(facts: ModelFacts) -> tuple[Tensors, tuple[Tensors, ...], Tensors]:
    """Tensors before the blocks (embeddings and towers), of each block, and behind them."""
    first: Tensors = []
    last: Tensors = []
    blocks: tuple[Tensors, ...] = tuple([] for _ in facts.layers)
    for tensor in _loaded(facts):
        index = block(tensor.name)
        if index is not None:
            blocks[index].append(tensor)
        elif tower(tensor.name) or "embed" in tensor.name or "wte" in tensor.name or "wpe" in tensor.name:
            first.append(tensor)
        else:
            last.append(tensor)
    return first, blocks, last


def _loaded(facts: ModelFacts) -> Iterator[TensorInfo]:
    """A tied head is not loaded again; blocks beyond the model's are for speculation alone."""
    for tensor in facts.tensors:
        index = block(tensor.name)
        is_tied_head = facts.tied and tensor.name.endswith("lm_head.weight")
        if not is_tied_head and (index is None or index < len(facts.layers)):
            yield tensor


def _bytes(tensors: Tensors, settings: VllmSettings) -> int:
    return sum(_tensor_bytes(tensor, settings) for tensor in tensors)


def _tensor_bytes(tensor: TensorInfo, settings: VllmSettings) -> int:
    """As stored, or in the precision that was asked for."""
    width = _WIDTHS.get(settings.precision)
    if width is None or tensor.dtype not in _FLOATS:
        return tensor.n_bytes
    return tensor.n_elements * width


def _block_unit(facts: ModelFacts, index: int, tensors: Tensors, settings: VllmSettings, cache: int) -> Unit:
    weights = _bytes(tensors, settings)
    experts = facts.layers[index].experts
    idle = 0
    if experts:
        routed = _bytes([tensor for tensor in tensors if ".experts." in tensor.name], settings)
        idle = routed * (experts.count - experts.used) // experts.count
    return Unit(f"model.layers.{index}", weights, cache, weights - idle, weights)


def _head_bytes(facts: ModelFacts, last: Tensors, settings: VllmSettings) -> int:
    """Bytes that a token reads at the end: a tied head reads the whole embedding."""
    tied = next((t for t in facts.tensors if facts.tied and t.name.endswith("embed_tokens.weight")), None)
    return _bytes(last, settings) + (_tensor_bytes(tied, settings) if tied else 0)


def _gpu(hardware: Hardware, device: str) -> Gpu | None:
    index = device.removeprefix("gpu")
    found = hardware.gpus if device.startswith("gpu") and index.isdigit() else ()
    return found[int(index)] if found and int(index) < len(found) else None


def _pool_note(gpu: Gpu, pool: int, counted: int) -> str:
    taken = f"vLLM takes {format_bytes(pool)} of {gpu.name} when it starts, whatever is asked of it"
    if counted > pool:
        return (
            f"{taken}; weights and this request's cache need {format_bytes(counted)}, so it cannot serve it."
        )
    return (
        f"{taken}; what weights and activations leave of it becomes cache, and {format_bytes(pool - counted)} "
        "remain for activations beside this request."
    )
