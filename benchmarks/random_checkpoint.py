"""Safetensors checkpoints with random weights, of any shape: to measure memory with, not to talk to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from header_checkpoint import config_of, header, meta_model, n_bytes, saved_tensors

_CHUNK = 1 << 24


def write(folder: Path, config: Any, *, dtype: str = "bfloat16") -> Path:
    """Write a checkpoint that transformers loads and runs; returns its folder.

    The values are 16-bit patterns of small numbers in either half format, the data one random chunk over and over:
    memory does not depend on it, and nothing overflows.
    """
    model = meta_model(config, dtype=dtype)
    tensors = saved_tensors(model)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config_of(model, dtype=dtype), indent=2))
    start, total = header(tensors)
    if total != sum(map(n_bytes, tensors.values())):
        raise ValueError(f"The header of {folder} does not add up.")
    chunk = _values(dtype)
    with (folder / "model.safetensors").open("wb") as file:
        file.write(start)
        while total:
            part = chunk[: min(total, len(chunk))]
            file.write(part)
            total -= len(part)
    return folder


def _values(dtype: str) -> bytes:
    values = np.random.default_rng(0).standard_normal(_CHUNK // 2, dtype=np.float32) * 0.02
    if dtype == "bfloat16":
        return (values.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    return values.astype(np.float16 if dtype == "float16" else np.float32).tobytes()


def write_tokenizer(folder: Path, vocabulary: int = 300) -> Path:
    """Give a checkpoint a byte-pair tokenizer of the least size, as `tokenizer.json`."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {word: i for i, word in enumerate(letters)}
    words |= {f"<{i}>": len(words) + i for i in range(vocabulary - len(words))}
    Tokenizer(models.BPE(vocab=words, merges=[])).save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder
