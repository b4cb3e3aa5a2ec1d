"""A split model is one model, and a part that is missing or wrong is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_gguf import LLAMA, Tiny, block, llama_tensors

from shoestring.errors import InvalidModelFileError, ModelNotFoundError
from shoestring.models.gguf.split import find_parts
from shoestring.models.gguf_facts import read_facts


def split_keys(no: int, count: int = 2, tensors: int = 20) -> dict[str, tuple[str, Any]]:
    return {
        "split.no": ("u16", no),
        "split.count": ("u16", count),
        "split.tensors.count": ("i32", tensors),
    }


@pytest.fixture
def parts(tmp_path: Path) -> tuple[Path, Path]:
    first = {name: shape for name, shape in llama_tensors().items() if not name.startswith("blk.1.")}
    paths = (tmp_path / "m-00001-of-00002.gguf", tmp_path / "m-00002-of-00002.gguf")
    paths[0].write_bytes(Tiny(pairs=LLAMA | split_keys(0), tensors=first).encode())
    paths[1].write_bytes(Tiny(pairs=split_keys(1), tensors=block(1)).encode())
    return paths


@pytest.mark.parametrize("given", [0, 1])
def test_any_part_stands_for_the_whole(parts: tuple[Path, Path], given: int) -> None:
    facts = read_facts([parts[given]], id="m")
    assert facts.files == parts
    assert facts.file_bytes == sum(part.stat().st_size for part in parts)
    assert len(facts.tensors) == 20
    assert {tensor.part for tensor in facts.tensors if tensor.name.startswith("blk.1.")} == {1}


def test_it_has_the_parameters_of_the_same_model_in_one_file(
    parts: tuple[Path, Path], tmp_path: Path
) -> None:
    whole = tmp_path / "whole.gguf"
    whole.write_bytes(Tiny().encode())
    together = read_facts(parts, id="m")
    alone = read_facts([whole], id="m")
    assert together.parameters == alone.parameters
    assert together.weights == alone.weights


def test_a_missing_part_is_named(parts: tuple[Path, Path]) -> None:
    parts[1].unlink()
    with pytest.raises(ModelNotFoundError, match=r"m-00002-of-00002\.gguf is missing"):
        read_facts([parts[0]], id="m")


def test_parts_in_the_wrong_place_are_refused(parts: tuple[Path, Path]) -> None:
    parts[1].write_bytes(Tiny(pairs=split_keys(5), tensors=block(1)).encode())
    with pytest.raises(InvalidModelFileError, match="part number 5"):
        read_facts(parts, id="m")


def test_a_count_that_does_not_match_is_refused(parts: tuple[Path, Path]) -> None:
    with pytest.raises(InvalidModelFileError, match="has 2 parts, but 1 came"):
        read_facts([parts[0].rename(parts[0].with_name("alone.gguf"))], id="m")


def test_tensors_lost_on_the_way_are_noticed(parts: tuple[Path, Path]) -> None:
    parts[1].write_bytes(Tiny(pairs=split_keys(1), tensors={"blk.1.attn_norm.weight": ((64,), 0)}).encode())
    with pytest.raises(InvalidModelFileError, match="hold 12 tensors together instead of 20"):
        read_facts(parts, id="m")


def test_a_tensor_in_two_parts_is_refused(parts: tuple[Path, Path]) -> None:
    parts[1].write_bytes(Tiny(pairs=split_keys(1), tensors=block(0)).encode())
    with pytest.raises(InvalidModelFileError, match="same name"):
        read_facts(parts, id="m")


def test_part_3_of_2_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(InvalidModelFileError, match="part 3 of 2"):
        find_parts(tmp_path / "m-00003-of-00002.gguf")


def test_a_plain_name_is_one_file(tmp_path: Path) -> None:
    assert find_parts(tmp_path / "model.gguf") == (tmp_path / "model.gguf",)
