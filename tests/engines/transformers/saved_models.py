"""Tiny checkpoints as the library itself saves them, and loading them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tiny_models import library_model, tokenizer

from shoestring.engines.transformers.load import Loaded, load
from shoestring.models.facts import ModelFacts
from shoestring.models.safetensors_facts import read_checkpoint
from shoestring.models.source import FolderSource
from shoestring.planning.base import TransformersSettings
from shoestring.planning.transformers.weights import buffer_bytes, weights_bytes

FP32 = TransformersSettings(context=64, precision="fp32", compute_dtype="fp32")
NF4 = replace(FP32, precision="nf4", compute_dtype="bf16")
PROMPT = torch.arange(1, 13).reshape(1, 12)
WIDER = {"hidden_size": 64, "intermediate_size": 96, "head_dim": 32}
"""bitsandbytes rearranges 4-bit matrices by 32 rows."""


def save(folder: Path, family: str = "llama", **changes: Any) -> Path:
    """A family's checkpoint with its tokenizer; `changes` of its config."""
    library_model(family, **changes).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def change_config(folder: Path, **changes: Any) -> None:
    """Write other values into a config; None takes one out."""
    file = folder / "config.json"
    config = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


def load_from(folder: Path, settings: TransformersSettings = FP32) -> Loaded:
    """Load it; the scratch folder lies beside the weights."""
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    return load(sorted(folder.glob("*.safetensors")), settings, scratch)


def logits(model: Any) -> torch.Tensor:
    """Of every position of a prompt."""
    with torch.no_grad():
        found: torch.Tensor = model(PROMPT).logits
    return found


def facts_of(folder: Path) -> ModelFacts:
    """What planning knows of it."""
    return read_checkpoint(FolderSource(folder), id=folder.name)


def planned_bytes(folder: Path, settings: TransformersSettings) -> int:
    """What a plan says that its weights and buffers take."""
    facts = facts_of(folder)
    return weights_bytes(facts, settings.precision, settings.compute_dtype) + buffer_bytes(facts)
