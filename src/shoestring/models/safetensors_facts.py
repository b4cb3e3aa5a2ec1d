"""`read_checkpoint`: everything planning and inspection need of a Hugging Face checkpoint, its weights unread."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shoestring.errors import ModelNotFoundError
from shoestring.models.facts import NO_CONTEXT_LIMIT, ModelFacts, TensorInfo, TokenizerFacts, Weights
from shoestring.models.safetensors.components import component_of, count_parameters
from shoestring.models.safetensors.config import MAX_CONFIG_BYTES, Section, parse_object
from shoestring.models.safetensors.consistency import check_tensors
from shoestring.models.safetensors.families import TIES_BY_DEFAULT
from shoestring.models.safetensors.header import FIRST_READ, SafetensorsHeader, read_header
from shoestring.models.safetensors.index import (
    INDEX,
    MAX_INDEX_BYTES,
    SINGLE,
    check_agreement,
    checkpoint_files,
    header_lengths,
)
from shoestring.models.safetensors.layers import TextModel, read_text_model
from shoestring.models.safetensors.quantization import read_quantization, stated_dtype
from shoestring.models.safetensors.tokenizer import (
    SETTINGS,
    TEMPLATE,
    read_chat_template,
    read_settings,
    read_tokenizer,
)
from shoestring.models.source import Source, read_whole

CONFIG, GENERATION, README = "config.json", "generation_config.json", "README.md"

_FRONT_MATTER_BYTES = 16 * 1024
_SMALL_BYTES = 256 * 1024
"""Configs and templates are shorter, but for the settings of tokenizers with thousands of added tokens."""
_LICENSE = re.compile(r"^license: *[\"']?([\w.+-]{1,80})[\"']?\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Checkpoint:
    """What was read of a checkpoint's files.

    Attributes:
        config: `config.json`.
        headers: of the safetensors files, in order.
        files: those files where they lie here, else empty.
        config_file: the config where it lies here, else None.
        tokenizer, chat_template: as in `ModelFacts`.
        sampling: the author's generation settings, by llama.cpp's names.
        license: of the model card.
    """

    config: Section
    headers: tuple[SafetensorsHeader, ...]
    files: tuple[Path, ...] = ()
    config_file: Path | None = None
    tokenizer: TokenizerFacts | None = None
    chat_template: str | None = None
    sampling: dict[str, float] | None = None
    license: str | None = None


def read_checkpoint(source: Source, *, id: str, license: str | None = None) -> ModelFacts:
    """Read and check a checkpoint's headers and small files, in as few ranges as they need.

    Args:
        source: the folder or repository.
        id: what the user calls the model.
        license: what is known of it from elsewhere, for cards that do not say.

    Raises:
        ModelNotFoundError: there is no config, there are no weights, or a file of them is missing.
        InvalidModelFileError: a file is malformed, or they contradict each other.
    """
    source.ahead(_ahead(source))
    files, weight_map = checkpoint_files(source)
    if CONFIG not in source.names():
        raise ModelNotFoundError(
            f"There is no {CONFIG} beside the weights.", "Look for the model's whole folder."
        )
    source.ahead(header_lengths(files, weight_map))
    config = Section(parse_object(read_whole(source, CONFIG, at_most=MAX_CONFIG_BYTES), CONFIG))
    headers = tuple(_header(source, name, part) for part, name in enumerate(files))
    check_agreement(weight_map, headers)
    settings = read_settings(source)
    local = [path for name in files if (path := source.path(name)) is not None]
    checkpoint = Checkpoint(
        config=config,
        headers=headers,
        files=tuple(local) if len(local) == len(files) else (),
        config_file=source.path(CONFIG),
        tokenizer=read_tokenizer(source, settings, config.section("text_config") or config),
        chat_template=read_chat_template(source, settings),
        sampling=_sampling(source),
        license=_license(source),
    )
    return facts_of(checkpoint, id=id, license=license)


def facts_of(checkpoint: Checkpoint, *, id: str, license: str | None = None) -> ModelFacts:
    """The facts of a checkpoint that is already read.

    Raises:
        InvalidModelFileError: its config is absurd, or contradicts the tensors.
    """
    config = checkpoint.config
    text = read_text_model(config)
    tensors = tuple(tensor for header in checkpoint.headers for tensor in header.tensors)
    check_tensors(tensors, text)
    quantization, notes = read_quantization(_quantized(config, text))
    tied = _tied(config, text, tensors)
    parameters = count_parameters(
        tensors, text.layers, quantization, without_head=tied and _has(tensors, "embedding")
    )
    return ModelFacts(
        id=id,
        format="safetensors",
        files=checkpoint.files,
        file_bytes=sum(header.size_bytes for header in checkpoint.headers),
        architecture=text.architecture,
        name=None,
        kind="chat" if checkpoint.chat_template else "base",
        parameters=parameters,
        weights=_weights(tensors),
        layers=text.layers,
        hidden_size=text.hidden_size,
        context_length=text.context_length or NO_CONTEXT_LIMIT,
        vocab_size=text.vocab_size,
        license=checkpoint.license or license,
        chat_template=checkpoint.chat_template,
        tokenizer=checkpoint.tokenizer,
        tensors=tensors,
        sampling=checkpoint.sampling,
        not_understood=text.not_understood + notes,
        tied=tied,
        dtype=stated_dtype(config, text.config),
        quantization=quantization,
        modalities=_modalities(config),
        config_file=checkpoint.config_file,
        class_name=_class_name(config),
        own_code=_own_code(config),
    )


def _ahead(source: Source) -> dict[str, int]:
    """What will be read whatever the config says: small files whole, of one file of weights the header."""
    weights = {SINGLE: FIRST_READ} if SINGLE in source.names() else {INDEX: MAX_INDEX_BYTES}
    return dict.fromkeys((CONFIG, GENERATION, SETTINGS, TEMPLATE), _SMALL_BYTES) | weights


def _header(source: Source, name: str, part: int) -> SafetensorsHeader:
    with source.open(name) as file:
        return read_header(file, name=name, part=part)


def _quantized(config: Section, text: TextModel) -> Section:
    """The section that holds `quantization_config`: the whole config, in some multi-modal ones the text model's."""
    return config if config.value("quantization_config") is not None else text.config


def _tied(config: Section, text: TextModel, tensors: Sequence[TensorInfo]) -> bool:
    """Whether the head is the embedding. A head that is stored although the class ties by default is one of its own:
    transformers ties only what is equal, and writes no copy."""
    stated = config.flag("tie_word_embeddings")
    if stated is None:
        stated = Section(text.config.values).flag("tie_word_embeddings")
    if stated is not None:
        return stated
    outer = config.name("model_type") or ""
    default = outer in TIES_BY_DEFAULT or text.config.flag("tie_word_embeddings") is True
    return default and not _has(tensors, "head")


def _has(tensors: Sequence[TensorInfo], component: str) -> bool:
    return any(component_of(tensor.name) == component for tensor in tensors)


def _weights(tensors: Sequence[TensorInfo]) -> Weights:
    by_dtype: Counter[str] = Counter()
    for tensor in tensors:
        by_dtype[tensor.dtype] += tensor.n_bytes
    return Weights(by_dtype.total(), dict(by_dtype.most_common()))


def _modalities(config: Section) -> tuple[str, ...]:
    reads = {
        "image": config.value("vision_config", "vision_tower") is not None,
        "audio": config.value("audio_config", "audio_encoder_config") is not None,
        "video": config.value("video_token_id", "video_token_index") is not None,
    }
    return ("text", *(name for name, there in reads.items() if there))


def _class_name(config: Section) -> str | None:
    names = config.value("architectures")
    if not isinstance(names, list) or not names:
        return None
    return Section({"architectures": names[0]}).name("architectures")


_MODULE = re.compile(r"(?:[\w-][\w.-]*/[\w-][\w.-]*--)?[\w.]{1,100}", re.ASCII)


def _own_code(config: Section) -> tuple[str, ...]:
    """The modules that `auto_map` names (`modeling_x.py`; of another repository's `org/name--modeling_x.py`)."""
    mapped = config.section("auto_map")
    found = set()
    for value in mapped.values.values() if mapped else ():
        for name in value if isinstance(value, list) else (value,):
            if name is None:
                continue
            if not isinstance(name, str) or not _MODULE.fullmatch(name):
                raise config.wrong("has an auto_map that names no class")
            found.add(f"{name.rpartition('.')[0]}.py")
    return tuple(sorted(found))


_SAMPLING = {"temperature": "temp", "top_k": "top_k", "top_p": "top_p", "min_p": "min_p"}
_SAMPLING |= {"repetition_penalty": "penalty_repeat"}


def _sampling(source: Source) -> dict[str, float] | None:
    """What `generation_config.json` sets."""
    if GENERATION not in source.names():
        return None
    values = parse_object(read_whole(source, GENERATION, at_most=MAX_CONFIG_BYTES), GENERATION)
    numbers = {
        name: float(value)
        for key, name in _SAMPLING.items()
        if isinstance(value := values.get(key), int | float)
        and not isinstance(value, bool)
        and abs(value) < 1e9
    }
    return numbers or None


def _license(source: Source) -> str | None:
    """The licence that the model card's front matter names."""
    if README not in source.names():
        return None
    with source.open(README) as file:
        text = file.read(0, _FRONT_MATTER_BYTES).decode(errors="replace").replace("\r\n", "\n")
    if not text.startswith("---\n"):
        return None
    match = _LICENSE.search(text.partition("\n---")[0] if "\n---" in text[4:] else "")
    return match[1] if match else None
