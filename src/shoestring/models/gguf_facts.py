"""`read_facts`: everything planning and inspection need of a GGUF model, from its headers alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from shoestring.models import architecture as rules
from shoestring.models.facts import ModelFacts, Parameters, TensorInfo, Weights
from shoestring.models.gguf.consistency import check_tensors
from shoestring.models.gguf.hyperparameters import Hyperparameters, Keys, read_hyperparameters
from shoestring.models.gguf.layers import read_layers
from shoestring.models.gguf.reader import GgufHeader, read_header
from shoestring.models.gguf.split import find_parts, merge
from shoestring.models.gguf.tokenizer import read_tokenizer


def read_facts(files: Sequence[Path], *, id: str, license: str | None = None) -> ModelFacts:
    """Read and check a model's headers; a file for which this returns is safe to hand to native code.

    Args:
        files: the file, or all parts of a split model in order; one part of it stands for all.
        id: what the user calls the model.
        license: what is known of it from elsewhere, for files that do not say.

    Raises:
        ModelNotFoundError: a file is missing.
        InvalidModelFileError: a file is not a well-formed model, or parts do not belong together.
    """
    parts = find_parts(files[0]) if len(files) == 1 else tuple(files)
    header = merge([read_header(part) for part in parts])
    return facts_of(header, id=id, files=parts, license=license)


def facts_of(
    header: GgufHeader, *, id: str, files: tuple[Path, ...] = (), license: str | None = None
) -> ModelFacts:
    """The facts of a header that is already read (a remote one has no `files`).

    Raises:
        InvalidModelFileError: its metadata, tokenizer and tensors do not agree.
    """
    shape = read_hyperparameters(header)
    tokenizer = read_tokenizer(header)
    check_tensors(header, shape, tokenizer.vocab_size)
    keys = Keys(header)
    notes = _not_understood(keys, shape)
    template = _text(header, "tokenizer.chat_template")
    return ModelFacts(
        id=id,
        format="gguf",
        files=files,
        file_bytes=header.size_bytes,
        architecture=shape.architecture,
        name=_text(header, "general.name"),
        kind="chat" if template else "base",
        parameters=_parameters(header.tensors, shape),
        weights=_weights(header.tensors),
        layers=read_layers(keys, shape, header.tensors, countable=not notes),
        hidden_size=shape.hidden_size,
        context_length=shape.context_length,
        vocab_size=tokenizer.vocab_size,
        license=_text(header, "general.license") or license,
        chat_template=template,
        tokenizer=tokenizer,
        tensors=header.tensors,
        sampling=_sampling(header),
        not_understood=notes,
        traits=_traits(keys),
        tied=all(tensor.name != "output.weight" for tensor in header.tensors),
    )


def _text(header: GgufHeader, key: str) -> str | None:
    value = header.metadata.get(key)
    return value if isinstance(value, str) and value.strip() else None


def _not_understood(keys: Keys, shape: Hyperparameters) -> tuple[str, ...]:
    notes = []
    if not rules.counts_cells(shape.architecture):
        notes.append(
            f"How {shape.architecture} models keep their context in memory is not known to this version."
        )
    found = [key for key in rules.UNCOUNTED_KEYS if keys.present(key)]
    notes += [
        f"The model uses {what}, whose memory this version cannot count."
        for what in rules.not_counted(shape.architecture, found)
    ]
    return tuple(notes)


_COMPONENTS = (
    ("norms", re.compile(r"norm(_\d+|_exps)?\.(weight|bias)$")),
    ("embedding", re.compile(r"^(token_embd|position_embd|token_types|per_layer_token_embd)\.")),
    ("head", re.compile(r"^(output|cls|cls\.output)\.(weight|bias)$")),
    ("experts", re.compile(r"\.ffn_\w+_(ch)?exps\.|\.ffn_(gate|up|down)\.\d+\.")),
    ("feed_forward", re.compile(r"\.ffn_|\.exp_probs_b")),
    ("attention", re.compile(r"\.(attn|ssm|time_mix|shortconv|indexer)_?")),
)


def component_of(tensor_name: str) -> str:
    """Which part of the model a tensor belongs to, by llama.cpp's names (src/llama-arch.cpp)."""
    return next((component for component, pattern in _COMPONENTS if pattern.search(tensor_name)), "other")


def _parameters(tensors: Sequence[TensorInfo], shape: Hyperparameters) -> Parameters:
    counted: Counter[str] = Counter()
    for tensor in tensors:
        counted[component_of(tensor.name)] += tensor.n_elements
    total = counted.total()
    idle = counted["experts"] * (shape.experts - shape.experts_used) // shape.experts if shape.experts else 0
    order = ("embedding", "attention", "feed_forward", "experts", "norms", "head", "other")
    return Parameters(total, total - idle, {name: counted[name] for name in order if counted[name]})


def _weights(tensors: Sequence[TensorInfo]) -> Weights:
    by_dtype: Counter[str] = Counter()
    for tensor in tensors:
        by_dtype[tensor.dtype] += tensor.n_bytes
    return Weights(by_dtype.total(), dict(by_dtype.most_common()))


def _traits(keys: Keys) -> frozenset[str]:
    """What llama.cpp reads of the metadata that changes a block's graph, with its defaults."""
    metadata, name = keys.header.metadata, keys.architecture
    traits: dict[str, object] = {
        "parallel_residual": metadata.get(f"{name}.use_parallel_residual", False),
        "no_rope": name == "granitehybrid" and not metadata.get(f"{name}.rope.scaling.finetuned", False),
        "residual_scale": metadata.get(f"{name}.residual_scale", 0.0),
        "expert_weights_norm": metadata.get(f"{name}.expert_weights_norm", False),
    }
    return frozenset(trait for trait, found in traits.items() if found)


def _sampling(header: GgufHeader) -> dict[str, float] | None:
    prefix = "general.sampling."
    return {
        key.removeprefix(prefix): float(value)
        for key, value in header.metadata.items()
        if key.startswith(prefix) and isinstance(value, int | float)
    } or None
