"""Which of a repository's files are meant, and what is said where none are."""

from __future__ import annotations

import pytest

from shoestring.errors import ModelNotFoundError, ShoestringError, UsageError
from shoestring.models.hub.base import RemoteFile, Repository
from shoestring.models.hub.choice import Choice, choose
from shoestring.models.hub.variants import stated_type, variants

CHECKPOINT = ("config.json", "model.safetensors", "tokenizer.json")


def holding(*names: str, local: bool = False) -> Repository:
    files = tuple(RemoteFile(name, 1000 + i) for i, name in enumerate(sorted(names)))
    return Repository("o/n", "0" * 40, files, local=local)


def refusal(repository: Repository, wanted: str | None = None) -> ShoestringError:
    with pytest.raises(ShoestringError) as caught:
        choose(repository, wanted)
    return caught.value


@pytest.mark.parametrize(
    ("name", "type"),
    [
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "Q4_1"),
        ("Llama-3.2-1B-Instruct-Q4_K_M.gguf", "Q4_K_M"),
        ("llama-3.2-1b-instruct-q4_k_m.gguf", "Q4_K_M"),
        ("gemma-3-4b-it-IQ2_XXS.gguf", "IQ2_XXS"),
        ("Qwen3-8B-UD-Q4_K_XL.gguf", "UD-Q4_K_XL"),
        ("model-f16.gguf", "F16"),
        ("model.fp16.gguf", "F16"),
        ("BF16/model-BF16.gguf", "BF16"),
        ("Q8_0/weights.gguf", "Q8_0"),
        ("gpt-oss-20b-mxfp4.gguf", "MXFP4"),
        ("model-TQ1_0.gguf", "TQ1_0"),
        ("Q4-model.gguf", "Q4"),
        ("Qwen2.5-7B.gguf", None),
        ("llama3.gguf", None),
        ("phi-q4.gguf", "Q4"),
    ],
)
def test_the_type_is_what_the_name_states(name: str, type: str | None) -> None:
    assert stated_type(name) == type


def test_parts_of_a_split_model_are_one_model_in_order() -> None:
    found = variants(
        holding("Q4_K_M/m-Q4_K_M-00002-of-00002.gguf", "Q4_K_M/m-Q4_K_M-00001-of-00002.gguf").files
    )
    assert [variant.names for variant in found] == [
        ("Q4_K_M/m-Q4_K_M-00001-of-00002.gguf", "Q4_K_M/m-Q4_K_M-00002-of-00002.gguf")
    ]
    assert (found[0].type, found[0].size_bytes, found[0].missing) == ("Q4_K_M", 2001, 0)


@pytest.mark.parametrize(
    "name",
    ["mmproj-model-f16.gguf", "m.mmproj-Q8_0.gguf", "m.imatrix.gguf", "imatrix.gguf", "mmproj/F16.gguf"],
)
def test_projectors_and_importance_matrices_are_no_models(name: str) -> None:
    assert variants(holding(name).files) == ()


def test_a_checkpoint_is_taken_where_there_is_one() -> None:
    assert choose(holding(*CHECKPOINT)) == Choice("safetensors")


def test_of_both_formats_the_checkpoint_is_taken_and_the_other_named() -> None:
    choice = choose(holding(*CHECKPOINT, "m-Q4_K_M.gguf", "m-Q8_0.gguf"))
    assert choice == Choice("safetensors", notes=("o/n holds GGUF files, too: o/n:Q4_K_M, o/n:Q8_0.",))


def test_a_type_picks_the_gguf_file_even_beside_a_checkpoint() -> None:
    assert choose(holding(*CHECKPOINT, "m-Q8_0.gguf"), "Q8_0").weights == ("m-Q8_0.gguf",)


def test_a_single_gguf_file_is_taken_without_a_word() -> None:
    assert choose(holding("m-Q2_K.gguf", "README.md")) == Choice("gguf", ("m-Q2_K.gguf",))


@pytest.mark.parametrize(
    ("types", "taken"),
    [
        (("Q8_0", "Q4_K_M", "Q4_K_S", "F16"), "Q4_K_M"),
        (("Q8_0", "Q4_0", "Q2_K"), "Q4_0"),
        (("Q8_0", "Q6_K", "F16"), "Q6_K"),
        (("Q3_K_M", "F16"), "Q3_K_M"),
        (("F16", "Q2_K"), "F16"),
        (("IQ1_S", "IQ2_XXS"), "IQ2_XXS"),
        (("UD-Q4_K_XL", "Q8_0"), "UD-Q4_K_XL"),
    ],
)
def test_of_several_the_one_that_suits_most_is_taken(types: tuple[str, ...], taken: str) -> None:
    choice = choose(holding(*(f"m-{type}.gguf" for type in types)))
    assert choice.weights == (f"m-{taken}.gguf",)
    assert choice.notes[0].startswith(f"Of {len(types)} GGUF files {taken} was taken")


@pytest.mark.parametrize("wanted", ["Q4_K_M", "q4_k_m"])
def test_a_type_may_be_written_in_any_case(wanted: str) -> None:
    assert choose(holding("m-Q4_K_M.gguf", "m-Q8_0.gguf"), wanted).weights == ("m-Q4_K_M.gguf",)


def test_a_plain_type_means_the_plain_file_before_the_mixed_one() -> None:
    both = holding("m-UD-Q4_K_XL.gguf", "m-Q4_K_XL.gguf")
    assert choose(both, "Q4_K_XL").weights == ("m-Q4_K_XL.gguf",)
    assert choose(both, "UD-Q4_K_XL").weights == ("m-UD-Q4_K_XL.gguf",)
    assert choose(holding("m-UD-Q4_K_XL.gguf"), "Q4_K_XL").weights == ("m-UD-Q4_K_XL.gguf",)


def test_a_type_that_is_not_there_offers_the_nearest() -> None:
    error = refusal(holding("m-Q4_K_S.gguf", "m-Q8_0.gguf"), "Q4_K_M")
    assert isinstance(error, ModelNotFoundError)
    assert error.hint == "Did you mean o/n:Q4_K_S? There are o/n:Q4_K_S, o/n:Q8_0."


def test_a_type_of_a_checkpoint_alone_says_what_there_is() -> None:
    assert refusal(holding(*CHECKPOINT), "Q4_K_M").hint == (
        "Its safetensors checkpoint is there: name it without a type."
    )


def test_two_models_of_one_type_have_to_be_told_apart() -> None:
    error = refusal(holding("big-Q4_0.gguf", "small-Q4_0.gguf"), "Q4_0")
    assert isinstance(error, UsageError)
    assert error.hint == "Name the file: o/n/big-Q4_0.gguf, o/n/small-Q4_0.gguf."


def test_a_file_is_picked_by_its_path() -> None:
    assert choose(holding("sub/m.gguf", "m.gguf"), "sub/m.gguf").weights == ("sub/m.gguf",)


def test_any_part_means_the_whole_model() -> None:
    parts = ("m-00001-of-00002.gguf", "m-00002-of-00002.gguf")
    assert choose(holding(*parts), parts[1]).weights == parts


def test_a_mistyped_file_offers_the_nearest() -> None:
    assert refusal(holding("model-q8.gguf"), "modle-q8.gguf").hint == "Did you mean o/n/model-q8.gguf?"


def test_a_projector_is_not_run() -> None:
    error = refusal(holding("m.gguf", "mmproj-m.gguf"), "mmproj-m.gguf")
    assert "belongs to a model and is none itself" in error.message


def test_a_missing_part_is_counted() -> None:
    error = refusal(holding("m-00001-of-00003.gguf"), "m-00001-of-00003.gguf")
    assert "one of 3 parts, of which 2 are not there" in error.message


def test_a_model_whose_parts_are_all_there_goes_before_a_better_one_without() -> None:
    assert choose(holding("m-Q4_K_M-00001-of-00002.gguf", "m-Q8_0.gguf")).weights == ("m-Q8_0.gguf",)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("config.json", "pytorch_model.bin"), "pickle can run code when it is opened"),
        (("adapter_config.json", "adapter_model.safetensors"), "is an adapter"),
        (("model_index.json", "unet/model.safetensors"), "diffusers"),
        (("config.json", "onnx/model.onnx"), "another engine only (ONNX)"),
        (("config.json", "tf_model.h5"), "another engine only (TensorFlow)"),
        (("model.safetensors",), "without a config.json"),
        (("config.json", "consolidated.safetensors"), "not named as a model's are"),
        (("mmproj-m.gguf",), "parts that belong to other GGUF models"),
        (("README.md",), "holds no weights"),
        ((), "holds no weights"),
    ],
)
def test_a_repository_without_a_model_says_what_it_is(names: tuple[str, ...], message: str) -> None:
    error = refusal(holding(*names))
    assert isinstance(error, ModelNotFoundError)
    assert message in error.message
    assert error.hint


def test_offline_a_model_that_was_fetched_in_part_is_none() -> None:
    error = refusal(holding("config.json", "tokenizer.json", local=True))
    assert "fetched in part only" in error.message
