"""Our rules for GGUF files that have yet to be made, held against llama.cpp's own conversion and quantiser.

`python benchmarks/type_mix.py SOURCES LIBLLAMA [MODEL…] [--record FILE]`: SOURCES are llama.cpp's, LIBLLAMA a build
of it that exports `llama_model_quantize`. For every model of `header_checkpoint.FAMILIES` and `SHAPES` it writes a
checkpoint without weights, has llama.cpp convert it and dry-run its quantiser for every file type, with and without
an importance matrix, and counts the tensors of which we say something else. `--record` keeps digests of llama.cpp's
answers, which the tests hold our rules to.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import header_checkpoint
import llama_cpp_conversion
from llama_cpp_quantize import Quantizer

from shoestring.models.facts import ModelFacts, TensorInfo
from shoestring.models.gguf.reader import read_header
from shoestring.models.safetensors_facts import read_checkpoint
from shoestring.models.source import FolderSource
from shoestring.planning.llama_cpp.converted import as_gguf, why_not_convertible
from shoestring.planning.llama_cpp.type_mix import FILE_TYPES, NEEDS_IMPORTANCE, mixed

_SMALL = (131072, 512, 1024, 8, 8, 2)
_PICTURES = header_checkpoint._shape(*_SMALL) | {
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 8, 8]}
}
SHAPES: dict[str, tuple[str, tuple[int, ...] | None, dict[str, object]]] = {
    "llama-2-7b": ("LlamaConfig", (32000, 4096, 11008, 32, 32, 32), {}),
    "llama-3-70b": ("LlamaConfig", (128256, 8192, 28672, 80, 64, 8), {}),
    "llama-65b": ("LlamaConfig", (32000, 8192, 22016, 80, 64, 64), {}),
    "qwen2-72b": ("Qwen2Config", (152064, 8192, 29568, 80, 64, 8), {}),
    "four-experts": (
        "MixtralConfig",
        (32000, 1024, 2816, 9, 16, 16),
        {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None},
    ),
    "rows-of-100": ("LlamaConfig", (4000, 100, 208, 5, 5, 5), {"tie_word_embeddings": True}),
    "olmoe": ("OlmoeConfig", _SMALL, {"num_experts": 8, "num_experts_per_tok": 2}),
    "olmo3": ("Olmo3Config", _SMALL, {}),
    "seed-oss": ("SeedOssConfig", _SMALL, {"head_dim": 64}),
    "glm-4-moe": (
        "Glm4MoeConfig",
        _SMALL,
        {"head_dim": 64, "n_routed_experts": 16, "moe_intermediate_size": 256, "use_qk_norm": True},
    ),
    "ernie-4.5": ("Ernie4_5Config", _SMALL, {}),
    "exaone-4": ("Exaone4Config", _SMALL, {}),
    "arcee": ("ArceeConfig", _SMALL, {}),
    "lfm2": ("Lfm2Config", _SMALL, {}),
    "nemotron": ("NemotronConfig", _SMALL, {}),
    "qwen2.5-vl": ("Qwen2_5_VLConfig", None, {"text_config": _PICTURES}),
    "qwen3-vl": ("Qwen3VLConfig", None, {"text_config": _PICTURES | {"head_dim": 64}}),
}
"""Shapes by which the rules differ: class, (vocabulary, hidden, inner, blocks, heads, key-value heads), the rest."""

_AS_PUBLISHED = {
    "gpt2": {"n_ctx": 1024},
    "pythia-1.4b": {"rotary_pct": 0.25},
    "command-r7b": {"rotary_pct": 1.0},
    "falcon-7b": {"num_kv_heads": 1},
}
"""What the authors' config.json states and transformers no longer writes, but llama.cpp's conversion reads."""
_WITHOUT_TENSOR = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")
"""Tensors made of the config alone: see `planning/llama_cpp/converted.py`."""


def checkpoint(folder: Path, name: str) -> Path:
    """The model's checkpoint without weights, as its authors publish it."""
    if name in SHAPES:
        class_name, shape, more = SHAPES[name]
        sizes = header_checkpoint._shape(*shape) if shape else {}
        config = header_checkpoint._config(class_name, **sizes, **more)()
    else:
        config = header_checkpoint.FAMILIES[name]()
    model = header_checkpoint.meta_model(config)
    tensors = header_checkpoint.saved_tensors(model)
    if name == "gemma-3n-e2b":
        tensors |= _keys_of_all_layers(tensors)
    stated = header_checkpoint.config_of(model) | _AS_PUBLISHED.get(name, {})
    return header_checkpoint.write_tensors(folder / name, stated, tensors)


def _keys_of_all_layers(tensors: header_checkpoint.Tensors) -> header_checkpoint.Tensors:
    """The keys and values of layers that read another's cache: published, but no longer saved."""
    start = "model.layers.0.self_attn."
    first = {
        name: tensor for name, tensor in tensors.items() if name.startswith((start + "k_", start + "v_"))
    }
    return {name.replace(".0.", f".{i}.", 1): t for i in range(30) for name, t in first.items()}


def variants() -> Iterator[tuple[str, bool]]:
    """Every file type, without and with an importance matrix as far as it can be made."""
    for file_type in FILE_TYPES:
        if file_type not in NEEDS_IMPORTANCE:
            yield file_type, False
        yield file_type, True


def digest(lines: Iterable[str]) -> str:
    """Sixteen digits that stand for these lines in any order."""
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]


def line(tensor: TensorInfo) -> str:
    """A tensor as the digest of a conversion has it."""
    return f"{tensor.name} {list(tensor.shape)} {tensor.dtype}"


def converted_digest(tensors: Iterable[TensorInfo]) -> str:
    """Of names, shapes and types, without the tensors that are made of the config alone."""
    return digest(line(tensor) for tensor in tensors if tensor.name not in _WITHOUT_TENSOR)


def types_digest(types: dict[str, str]) -> str:
    """Of the type of each tensor, by name."""
    return digest(f"{name} {dtype}" for name, dtype in types.items() if name not in _WITHOUT_TENSOR)


def compare(name: str, folder: Path, quantizer: Quantizer) -> dict[str, object] | None:
    """Print how many tensors differ; returns what to record."""
    facts = read_checkpoint(FolderSource(checkpoint(folder, name)), id=name)
    plain = as_gguf(facts, "BF16")
    if plain is None:
        print(f"| {name} | {why_not_convertible(facts)} | | |")
        return None
    path = folder / f"{name}.gguf"
    llama_cpp_conversion.convert(folder / name, path)
    made = read_header(path).tensors
    theirs, ours = {line(t) for t in made if t.name not in _WITHOUT_TENSOR}, {line(t) for t in plain.tensors}
    wrong, total, types = _compare_types(path, plain, quantizer)
    print(f"| {name} | {plain.architecture} | {len(theirs ^ ours)} of {len(theirs)} | {wrong} of {total} |")
    for unlike in sorted(theirs ^ ours)[:6]:
        print(f"    {'llama.cpp' if unlike in theirs else 'ours'}: {unlike}", file=sys.stderr)
    path.unlink()
    return {"architecture": plain.architecture, "converted": converted_digest(made), "types": types}


def _compare_types(path: Path, plain: ModelFacts, quantizer: Quantizer) -> tuple[int, int, dict[str, str]]:
    wrong = total = 0
    found = {}
    for file_type, importance in variants():
        theirs = quantizer.types(path, file_type, importance=importance)
        ours = {t.name: t.dtype for t in mixed(plain, file_type, importance=importance)}
        unlike = [n for n, dtype in theirs.items() if n not in _WITHOUT_TENSOR and ours.get(n) != dtype]
        wrong, total = wrong + len(unlike), total + len(theirs)
        found[f"{file_type}+" if importance else file_type] = types_digest(theirs)
        for name in unlike[:3]:
            print(
                f"    {file_type} {importance} {name}: {theirs[name]}, ours {ours.get(name)}", file=sys.stderr
            )
    return wrong, total, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", type=Path)
    parser.add_argument("library", type=Path)
    parser.add_argument("models", nargs="*", default=[*SHAPES, *header_checkpoint.FAMILIES])
    parser.add_argument("--record", type=Path)
    given = parser.parse_args()
    llama_cpp_conversion.use(given.sources)
    quantizer = Quantizer(given.library)
    print("| model | architecture | names, shapes, types that differ | quantised types that differ |")
    print("|---|---|---|---|")
    recorded = json.loads(given.record.read_text()) if given.record and given.record.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        for name in given.models:
            try:
                found = compare(name, Path(folder), quantizer)
            except Exception as error:  # noqa: BLE001 - one conversion that fails in llama.cpp must not end the table
                print(f"| {name} | llama.cpp: {type(error).__name__}: {error} | | |")
                continue
            if found is not None:
                recorded[name] = found
            sys.stdout.flush()
    if given.record:
        given.record.write_text(json.dumps(recorded, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
