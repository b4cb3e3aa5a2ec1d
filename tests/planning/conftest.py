"""Random-weight models of any shape, written by the same code as the benchmarks'."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from shoestring.models.facts import ModelFacts
from shoestring.models.gguf_facts import read_facts

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import random_gguf
from planning_facts import WriteModel


@pytest.fixture(scope="session")
def write_model(tmp_path_factory: pytest.TempPathFactory) -> WriteModel:
    """Writes a model of a shape once a session and reads its facts."""
    folder = tmp_path_factory.mktemp("random")
    known: dict[random_gguf.Shape, ModelFacts] = {}

    def write(shape: random_gguf.Shape) -> ModelFacts:
        if shape not in known:
            path = random_gguf.write(folder / f"{len(known)}.gguf", shape)
            known[shape] = read_facts([path], id=path.name)
        return known[shape]

    return write
