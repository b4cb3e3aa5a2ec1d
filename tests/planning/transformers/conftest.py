"""Published shapes as header-only checkpoints, and what the library makes of the same config."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import header_checkpoint
import pytest

from shoestring.models.facts import ModelFacts
from shoestring.models.safetensors_facts import read_checkpoint
from shoestring.models.source import FolderSource

FactsOf = Callable[[str], ModelFacts]


@pytest.fixture(scope="session")
def facts_of(tmp_path_factory: pytest.TempPathFactory) -> FactsOf:
    """Facts of a family of `header_checkpoint.FAMILIES`, written once a session."""
    folder = tmp_path_factory.mktemp("families")

    @cache
    def read(family: str) -> ModelFacts:
        path = header_checkpoint.write(folder / family, header_checkpoint.FAMILIES[family]())
        return read_checkpoint(FolderSource(path), id=family)

    return read


@pytest.fixture(scope="session")
def model_of() -> Callable[[str], Any]:
    """The library's own model of a family, in bf16 on the meta device."""

    def build(family: str) -> Any:
        return header_checkpoint.meta_model(header_checkpoint.FAMILIES[family]())

    return build
