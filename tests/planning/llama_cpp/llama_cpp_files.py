"""What llama.cpp's conversion and quantiser made of models, as `benchmarks/type_mix.py --record` kept it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypedDict

from type_mix import checkpoint

from shoestring.models.facts import ModelFacts
from shoestring.models.safetensors_facts import read_checkpoint
from shoestring.models.source import FolderSource


class Recorded(TypedDict):
    """One model: GGUF's architecture, a digest of the converted tensors and one of each file type's."""

    architecture: str
    converted: str
    types: dict[str, str]


RECORDED: dict[str, Recorded] = json.loads(Path(__file__).with_suffix(".json").read_text())


def checkpoint_facts(folder: Path, name: str) -> ModelFacts:
    """The facts of one of the benchmark's checkpoints, written into the folder."""
    return read_checkpoint(FolderSource(checkpoint(folder, name)), id=name)
