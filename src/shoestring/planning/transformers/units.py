"""The parts of a model that accelerate can place: towers, the embedding, every block, its experts, the head."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from shoestring.models.facts import ModelFacts
from shoestring.planning.base import TransformersSettings, Unit
from shoestring.planning.transformers.kv_cache import DTYPE_BYTES, layer_bytes
from shoestring.planning.transformers.modules import Module
from shoestring.planning.transformers.weights import sizes

EMBEDDING, HEAD, EXPERTS = "embedding", "head", ".experts"


@dataclass(frozen=True)
class Part:
    """One unit's modules.

    Attributes:
        name: the block's module path, or `embedding`, `head`, `vision`, `audio`; `….experts` for a block's experts.
        modules: those that lie in it.
        block: its index, or None.
    """

    name: str
    modules: tuple[Module, ...]
    block: int | None = None


def parts(found: Iterable[Module]) -> tuple[Part, ...]:
    """The parts in the order in which a token passes them; towers first, as the library builds them."""
    grouped: dict[str, list[Module]] = {EMBEDDING: [], HEAD: []}
    for module in found:
        grouped.setdefault(_part_name(module), []).append(module)
    towers = [name for name in ("vision", "audio") if name in grouped]
    blocks = sorted((n for n in grouped if n not in {*towers, EMBEDDING, HEAD}), key=_order(grouped))
    names = [*towers, EMBEDDING, *blocks, HEAD]
    return tuple(Part(name, tuple(grouped[name]), _block_of(grouped[name])) for name in names)


def unit_of(part: Part, weights: int, facts: ModelFacts, settings: TransformersSettings) -> Unit:
    """What a part of so many bytes caches and reads for one token."""
    cache = 0
    if part.block is not None and not part.name.endswith(EXPERTS) and part.block < len(facts.layers):
        cache = layer_bytes(facts.layers[part.block], settings) or 0
    return Unit(part.name, weights, cache, _read_bytes(part, weights, facts, settings))


def part_bytes(part: Part, facts: ModelFacts, settings: TransformersSettings, *, packed: bool) -> int:
    """Bytes of a part's weights in memory."""
    found = sizes(facts, settings.precision, settings.compute_dtype, on_cpu=packed)
    return sum(found[m.name].held for m in part.modules)


def _read_bytes(part: Part, weights: int, facts: ModelFacts, settings: TransformersSettings) -> int:
    row = facts.hidden_size * DTYPE_BYTES[settings.compute_dtype]
    if part.name == EMBEDDING:
        return min(row, weights)
    if part.name in ("vision", "audio"):
        return 0
    if part.name == HEAD and facts.tied:
        return weights + facts.vocab_size * row  # the head is the embedding, and all of it is read
    if part.name.endswith(EXPERTS) and part.block is not None:
        experts = facts.layers[part.block].experts
        return weights * experts.used // experts.count if experts else weights
    return weights


def _part_name(module: Module) -> str:
    if module.tower is not None:
        return module.tower
    if module.block is None:
        return EMBEDDING if module.kind == "embedding" else HEAD
    end = f".{module.block}."
    block = module.name[: module.name.index(end) + len(end) - 1]
    return block + EXPERTS if module.kind == "experts" else block


def _order(grouped: dict[str, list[Module]]) -> Callable[[str], tuple[int, int]]:
    def order(name: str) -> tuple[int, int]:
        return (_block_of(grouped[name]) or 0, int(name.endswith(EXPERTS)))

    return order


def _block_of(modules: list[Module]) -> int | None:
    return modules[0].block if modules else None
