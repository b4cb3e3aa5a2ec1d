"""The report has exactly the keys that other tools rely on."""

from __future__ import annotations

from dataclasses import fields, replace

from tiny_gguf import Tiny

from shoestring.models.gguf.reader import read_header
from shoestring.models.gguf_facts import facts_of
from shoestring.models.hub.base import Origin, RemoteFile, Repository
from shoestring.models.inspect import HubReport, InspectReport, TensorReport, VariantReport, inspect
from shoestring.models.ranges import BytesRange

FACTS = facts_of(read_header(BytesRange(Tiny().encode())), id="tiny")


def test_the_report_has_the_promised_keys() -> None:
    promised = {"id", "format", "architecture", "kind", "parameters", "weights", "layers", "context_length"}
    promised |= {"vocab_size", "license", "chat_template"}
    of_checkpoints = {"dtype", "quantization", "tied", "modalities", "class_name", "own_code"}
    keys = {field.name for field in fields(InspectReport)}
    assert keys == promised | {"not_understood", "tensors", "no_generator", "hub"} | of_checkpoints


def test_layers_are_counted_and_a_missing_template_is_none() -> None:
    report = inspect(FACTS)
    assert (report.layers, report.kind, report.chat_template) == (2, "base", None)


def test_a_model_that_is_here_is_of_no_hub() -> None:
    assert inspect(FACTS).hub is None


def test_of_a_model_of_the_hub_it_says_where_it_comes_from_and_what_else_is_there() -> None:
    files = tuple(RemoteFile(name, 10 + i) for i, name in enumerate(("m-Q4_0.gguf", "m-Q8_0.gguf", "x.gguf")))
    repository = Repository(
        "o/n", "a" * 40, files, True, False, "mit", 7, "2026-02-03T04:05:06Z", notes=("one",)
    )
    report = inspect(replace(FACTS, origin=Origin(repository, ("m-Q8_0.gguf",), ("two",)))).hub
    assert report == HubReport(
        repository="o/n",
        commit="a" * 40,
        gated=True,
        downloads=7,
        last_modified="2026-02-03T04:05:06Z",
        files=3,
        weights=("m-Q8_0.gguf",),
        fetched=False,
        variants=(
            VariantReport("o/n:Q4_0", "Q4_0", 10),
            VariantReport("o/n:Q8_0", "Q8_0", 11),
            VariantReport("o/n/x.gguf", None, 12),
        ),
        notes=("one", "two"),
    )


def test_an_encoder_is_described_and_said_to_be_one() -> None:
    report = inspect(replace(FACTS, architecture="bert"))
    assert report.layers == 2
    assert report.no_generator is not None
    assert "not a generator" in report.no_generator


def test_tensors_are_listed_only_when_asked() -> None:
    assert inspect(FACTS).tensors is None
    listed = inspect(FACTS, tensors=True).tensors
    assert listed is not None
    assert listed[0] == TensorReport("token_embd.weight", (64, 8), "Q8_0", 544)
    assert sum(tensor.bytes for tensor in listed) == FACTS.weights.total_bytes
