"""A seeded slice of `benchmarks/fuzz_headers.py`: damage is read or refused, harmless edits are read."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from random import Random

import pytest
from header_mutations import Mutant, Original, damage, edit, take_apart
from tiny_gguf import Tiny

from shoestring.errors import InvalidModelFileError
from shoestring.models.facts import ModelFacts
from shoestring.models.gguf.reader import read_header
from shoestring.models.gguf_facts import facts_of


def read(mutant: Mutant) -> ModelFacts:
    return facts_of(read_header(mutant, name="mutant.gguf"), id="mutant")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Original:
    path = tmp_path_factory.mktemp("fuzz") / "tiny.gguf"
    path.write_bytes(Tiny().encode())
    return take_apart(path)


@pytest.fixture(scope="module")
def smollm2(smollm2_files: tuple[Path, ...]) -> Original:
    return take_apart(smollm2_files[0])


def outcomes(original: Original, n: int) -> set[str]:
    found = set()
    for i in range(n):
        try:
            read(damage(original, Random(i)))
            found.add("read")
        except InvalidModelFileError:
            found.add("refused")
    return found


def test_damage_to_a_tiny_model_is_read_or_refused(tiny: Original) -> None:
    assert outcomes(tiny, 1500) == {"read", "refused"}


def test_damage_to_a_real_model_is_read_or_refused(smollm2: Original) -> None:
    assert outcomes(smollm2, 60) == {"read", "refused"}


@pytest.mark.parametrize("seed", range(60))
def test_a_harmless_edit_is_read(tiny: Original, seed: int) -> None:
    before = read(tiny.as_it_is)
    after = read(edit(tiny, Random(seed)))
    assert after.parameters == before.parameters
    assert after.tokenizer == before.tokenizer


def test_no_damage_takes_much_memory(smollm2: Original) -> None:
    tracemalloc.start()
    try:
        outcomes(smollm2, 10)
        assert tracemalloc.get_traced_memory()[1] < 64 * 10**6
    finally:
        tracemalloc.stop()
