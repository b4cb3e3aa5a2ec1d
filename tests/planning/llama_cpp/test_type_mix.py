"""The quantiser's mixtures: against what llama.cpp itself said (recorded), its published table, and real files."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import gguf
import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_cpp_files import RECORDED, checkpoint_facts
from type_mix import types_digest, variants

from shoestring.errors import UsageError
from shoestring.models.facts import LayerFacts, ModelFacts, Parameters, TensorInfo, Weights
from shoestring.models.gguf_facts import read_facts
from shoestring.planning.llama_cpp.converted import as_gguf
from shoestring.planning.llama_cpp.type_mix import (
    ALIGNMENT,
    FILE_TYPES,
    laid_out,
    mixed,
    quantized_bytes,
    stored_bytes,
)

_TABLE = """
    IQ1_S 2.0042  IQ1_M 2.1460  IQ2_XXS 2.3824  IQ2_XS 2.5882  IQ2_S 2.7403  IQ2_M 2.9294  IQ3_XXS 3.2548
    IQ3_XS 3.4977  IQ3_S 3.6606  IQ3_M 3.7628  IQ4_XS 4.4597  IQ4_NL 4.6818  Q2_K_S 2.9697  Q2_K 3.1593
    Q3_K_S 3.6429  Q3_K_L 4.2979  Q4_K_S 4.6672  Q4_K_M 4.8944  Q5_K_S 5.5704  Q5_K_M 5.7036  Q6_K 6.5633
    Q8_0 8.5008  F16 16.0005
"""
_CELLS = _TABLE.split()
LLAMA_3_1_8B_BITS = dict(zip(_CELLS[::2], map(float, _CELLS[1::2]), strict=True))
"""Bits a weight, from llama.cpp's tools/quantize/README.md."""


@pytest.fixture(scope="module")
def llama_3_8b(tmp_path_factory: pytest.TempPathFactory) -> ModelFacts:
    plain = as_gguf(checkpoint_facts(tmp_path_factory.mktemp("8b"), "llama-3-8b"), "F16")
    assert plain is not None
    return plain


SLICE = (
    *(
        "llama-3-70b",
        "llama-65b",
        "mixtral-8x7b",
        "four-experts",
        "rows-of-100",
        "smollm2-135m",
        "mamba-130m",
    ),
    *("falcon-7b", "phi-3-mini", "deepseek-v2-lite", "gemma-3-270m", "gpt2", "gpt-oss-20b"),
)
"""Models by which the rules differ; `benchmarks/type_mix.py` has all."""


@pytest.mark.parametrize("name", SLICE)
def test_every_tensor_of_every_file_type_is_as_the_quantiser_says(name: str, tmp_path: Path) -> None:
    plain = as_gguf(checkpoint_facts(tmp_path, name), "BF16")
    assert plain is not None
    wrong = []
    for file_type, importance in variants():
        types = {tensor.name: tensor.dtype for tensor in mixed(plain, file_type, importance=importance)}
        recorded = RECORDED[name]["types"][f"{file_type}+" if importance else file_type]
        if types_digest(types) != recorded:
            wrong.append((file_type, importance))
    assert wrong == []


@pytest.mark.parametrize(("file_type", "bits"), LLAMA_3_1_8B_BITS.items())
def test_an_8b_model_has_the_bits_that_llama_cpp_publishes(
    llama_3_8b: ModelFacts, file_type: str, bits: float
) -> None:
    n_bytes = quantized_bytes(llama_3_8b, file_type)
    assert n_bytes * 8 / llama_3_8b.parameters.total == pytest.approx(bits, abs=0.0001)


def test_a_published_file_is_larger_by_its_vocabulary_alone(llama_3_8b: ModelFacts) -> None:
    # huggingface.co/bartowski/Meta-Llama-3-8B-Instruct-GGUF, Q4_K_M; 128,256 tokens and 280,147 merges in front
    published = 4_920_734_272
    made = as_gguf(llama_3_8b, "Q4_K_M")
    assert made is not None
    assert 7_000_000 < published - made.file_bytes < 8_000_000


def test_real_files_are_what_the_rules_make_of_them(
    smollm2_files: tuple[Path, ...], gemma_files: tuple[Path, ...]
) -> None:
    for files, file_type in ((smollm2_files, "Q4_1"), (gemma_files, "Q4_K_M")):
        facts = read_facts(files, id=file_type)
        made = as_gguf(facts, file_type)
        assert made is not None
        assert {t.name: t.dtype for t in made.tensors} == {t.name: t.dtype for t in facts.tensors}
        assert made.file_bytes == facts.file_bytes


def test_a_type_that_does_not_exist_is_refused(llama_3_8b: ModelFacts) -> None:
    with pytest.raises(UsageError, match="no GGUF type Q4_K_X"):
        mixed(llama_3_8b, "Q4_K_X")


def test_an_importance_matrix_is_taken_for_granted_only_where_the_type_needs_one(
    llama_3_8b: ModelFacts,
) -> None:
    assert mixed(llama_3_8b, "IQ3_XXS") == mixed(llama_3_8b, "IQ3_XXS", importance=True)
    assert mixed(llama_3_8b, "IQ4_XS") == mixed(llama_3_8b, "IQ4_XS", importance=False)
    assert mixed(llama_3_8b, "IQ4_XS") != mixed(llama_3_8b, "IQ4_XS", importance=True)


@pytest.mark.parametrize("file_type", FILE_TYPES)
def test_the_ggml_types_and_their_sizes_are_those_of_the_gguf_package(
    llama_3_8b: ModelFacts, file_type: str
) -> None:
    for tensor in mixed(llama_3_8b, file_type):
        kind = gguf.GGMLQuantizationType[tensor.dtype]
        block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
        assert tensor.n_bytes == tensor.n_elements // block * block_bytes


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 9)), min_size=1), st.integers(0, 10_000))
def test_tensors_lie_one_behind_the_other_at_multiples_of_the_alignment(
    shapes: list[tuple[int, int]], start: int
) -> None:
    placed = laid_out([(f"{i}", shape, "F16") for i, shape in enumerate(shapes)], start)
    assert start <= placed[0].offset_bytes < start + ALIGNMENT
    for before, after in pairwise(placed):
        end = before.offset_bytes + before.n_bytes
        assert after.offset_bytes % ALIGNMENT == 0
        assert end <= after.offset_bytes < end + ALIGNMENT


@given(st.sampled_from(sorted(FILE_TYPES)), st.integers(1, 700), st.integers(2, 700))
def test_any_matrix_has_a_type_whose_blocks_its_rows_fill(file_type: str, columns: int, rows: int) -> None:
    shape = (columns, rows)
    tensor = TensorInfo("blk.0.ffn_down.weight", shape, "F32", stored_bytes(shape, "F32"), 0)
    facts = replace(_bare(), tensors=(tensor,))
    (typed,) = mixed(facts, file_type)
    block, _ = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[typed.dtype]]
    assert columns % block == 0


def _bare() -> ModelFacts:
    return ModelFacts(
        id="bare",
        format="gguf",
        files=(),
        file_bytes=0,
        architecture="llama",
        name=None,
        kind="base",
        parameters=Parameters(0, 0, {}),
        weights=Weights(0, {}),
        layers=(LayerFacts(None, 0),),
        hidden_size=0,
        context_length=0,
        vocab_size=0,
        license=None,
        chat_template=None,
        tokenizer=None,
        tensors=(),
    )
