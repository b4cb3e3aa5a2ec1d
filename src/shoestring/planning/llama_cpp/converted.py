"""The GGUF file that has yet to be made of a model: what llama.cpp's conversion and its quantiser would write.

The conversion is that of ggml-org/llama.cpp (`convert_hf_to_gguf.py`, `conversion/*.py`): names mapped, shapes
reversed, experts stacked, towers for images and sound left to a file of their own (mmproj). Three things of a few
hundred bytes are left out, since they come from no tensor: `rope_freqs` and the long and short rotary factors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from shoestring.models import architecture as rules
from shoestring.models.facts import NO_CONTEXT_LIMIT, LayerFacts, ModelFacts, Parameters, TensorInfo, Weights
from shoestring.models.gguf_facts import component_of
from shoestring.planning.identity import Identity
from shoestring.planning.llama_cpp.conversion import (
    ConversionError,
    Converted,
    converted_tensors,
    family_of,
)
from shoestring.planning.llama_cpp.gguf_names import Family
from shoestring.planning.llama_cpp.type_mix import Named, Quantiser, in_order, laid_out, padded

_PLAIN = ("F32", "F16", "BF16")
_ORDER = ("embedding", "attention", "feed_forward", "experts", "norms", "head", "other")
_READ = ("fp8", "mxfp4")
"""Quantised checkpoints that are converted here: FP8 is unpacked, MXFP4 kept."""
_METADATA_BYTES = 1500
_UNLIMITED = 2**20
"""The context length that the conversion states of models without a limit."""


def as_gguf(facts: ModelFacts, file_type: str) -> ModelFacts | None:
    """The facts of the GGUF file of `file_type` that llama.cpp's tools would make of a model.

    Of a checkpoint: converted in its own precision, then quantised. Of a GGUF file: requantised. The result has
    no `files`; its `file_bytes` include the header with a vocabulary as far as the tokenizer is known. Its facts
    are as if read from that file. None where the file cannot be made: `why_not_convertible` says why.

    Raises:
        UsageError: there is no such file type.
    """
    if facts.format == "gguf":
        return _of_gguf(Identity(facts)).quantised(file_type)
    try:
        if file_type in _PLAIN:
            return _converted(Identity(facts), file_type).as_it_is()
        return _converted(Identity(facts), _own_precision(facts)).quantised(file_type)
    except ConversionError:
        return None


def why_not_convertible(facts: ModelFacts) -> str | None:
    """Why no GGUF file can be made of a model by the rules known here, one sentence; None where it can."""
    if facts.format == "gguf":
        return None
    try:
        _plain(facts, _own_precision(facts))
    except ConversionError as error:
        return str(error)
    return None


@dataclass(frozen=True)
class _Original:
    """A GGUF model of which files are made, and what those have in common, found once for all types."""

    facts: ModelFacts

    def as_it_is(self) -> ModelFacts:
        return self._made(self.facts.tensors)

    def quantised(self, file_type: str) -> ModelFacts:
        return self._made(self.quantiser.mixed(file_type))

    @cached_property
    def quantiser(self) -> Quantiser:
        return Quantiser(self.facts)

    @cached_property
    def parameters(self) -> Parameters:
        counted: Counter[str] = Counter()
        for tensor in self.facts.tensors:
            counted[component_of(tensor.name)] += tensor.n_elements
        experts = next((layer.experts for layer in self.facts.layers if layer.experts), None)
        idle = counted["experts"] * (experts.count - experts.used) // experts.count if experts else 0
        total = counted.total()
        return Parameters(total, total - idle, {name: counted[name] for name in _ORDER if counted[name]})

    def _made(self, tensors: tuple[TensorInfo, ...]) -> ModelFacts:
        by_dtype: Counter[str] = Counter()
        for tensor in tensors:
            by_dtype[tensor.dtype] += tensor.n_bytes
        return replace(
            self.facts,
            files=(),
            quantization=None,
            file_bytes=max((padded(t.offset_bytes + t.n_bytes) for t in tensors), default=0),
            tensors=tensors,
            weights=Weights(by_dtype.total(), dict(by_dtype.most_common())),
            parameters=self.parameters,
        )


@lru_cache(maxsize=2)
def _of_gguf(key: Identity) -> _Original:
    return _Original(key.facts)


@lru_cache(maxsize=2)
def _converted(key: Identity, dtype: str) -> _Original:
    return _Original(_plain(key.facts, dtype))


def _plain(facts: ModelFacts, dtype: str) -> ModelFacts:
    """What the conversion writes before any quantisation, its matrices in `dtype` but for those that have their own."""
    family = family_of(facts)
    if facts.quantization is not None and facts.quantization.method not in _READ:
        raise ConversionError(
            f"The checkpoint is quantised already ({facts.quantization.method}); a GGUF is made of the original."
        )
    tensors = in_order(converted_tensors(facts))
    layers = tuple(_as_read(layer, facts, family) for layer in facts.layers)
    _check_shared_keys(layers, {tensor.name for tensor in tensors})
    # MXFP4 weights are written first, and stay there as long as nothing is quantised
    ordered = sorted(tensors, key=lambda tensor: tensor.dtype != "MXFP4")
    return replace(
        facts,
        format="gguf",
        architecture=family.architecture,
        layers=layers,
        tensors=laid_out(
            ((name, shape, own or dtype) for name, shape, own in ordered), data_start(facts, tensors)
        ),
        not_understood=facts.not_understood + _not_counted(family.architecture),
        context_length=_UNLIMITED if facts.context_length == NO_CONTEXT_LIMIT else facts.context_length,
        tied=all(tensor.name != "output.weight" for tensor in tensors),
        modalities=("text",),
        dtype=None,
        config_file=None,
        class_name=None,
        traits=family.traits,
        vocab_size=_vocabulary(facts, tensors),
    )


def _own_precision(facts: ModelFacts) -> str:
    """That of the first matrix, where it has 16 bits; else F16 (`ModelBase.__init__`, an `outtype` of `auto`)."""
    return next((t.dtype for t in facts.tensors if len(t.shape) > 1 and t.dtype in ("BF16", "F16")), "F16")


def _vocabulary(facts: ModelFacts, tensors: Sequence[Converted]) -> int:
    """Rows of the embedding: some conversions cut or pad it."""
    return next((t.shape[-1] for t in tensors if t.name == "token_embd.weight"), facts.vocab_size)


def _not_counted(architecture: str) -> tuple[str, ...]:
    if rules.counts_cells(architecture):
        return ()
    return (f"How {architecture} models keep their context in memory is not known to this version.",)


def _as_read(layer: LayerFacts, facts: ModelFacts, family: Family) -> LayerFacts:
    """The layer as llama.cpp runs it: windows that it does not apply are gone."""
    attention = layer.attention
    if attention is None or attention.window is None:
        return layer
    if rules.window_rule(family.architecture, len(facts.layers)) is not None:
        return layer
    return replace(layer, attention=replace(attention, window=None))


def _check_shared_keys(layers: Sequence[LayerFacts], names: Collection[str]) -> None:
    """Layers that read another's cache need no keys of their own, and newer checkpoints have none for them; but
    llama.cpp asks for them (`src/models/gemma3n.cpp`).

    Raises:
        ConversionError: they are missing.
    """
    for i, layer in enumerate(layers):
        shares = layer.attention is not None and layer.attention.shares_cache_of is not None
        if shares and f"blk.{i}.attn_k.weight" not in names:
            raise ConversionError(
                f"llama.cpp asks for keys and values of every layer, and layer {i} of this checkpoint has none."
            )


def data_start(facts: ModelFacts, tensors: Sequence[Named]) -> int:
    """Bytes in front of the tensor data: the list of tensors, the template, the vocabulary as far as it is known.

    The layout is that of ggml's docs/gguf.md. Scalar metadata, whose amount depends on the converter, is taken for
    1,500 bytes.
    """
    infos = sum(8 + len(t.name) + 4 + 8 * len(t.shape) + 4 + 8 for t in tensors)
    template = len((facts.chat_template or "").encode())
    known = facts.tokenizer
    if known is None:
        return _METADATA_BYTES + infos + template
    tokens = known.tokens_bytes + 8 * known.vocab_size + 4 * known.vocab_size  # strings, lengths, types
    scores = 4 * known.vocab_size if known.has_scores else 0
    return _METADATA_BYTES + infos + template + tokens + scores + known.merges_bytes + 8 * known.merges
