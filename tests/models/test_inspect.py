"""The report has exactly the keys that other tools rely on."""

from __future__ import annotations

from dataclasses import fields

from tiny_gguf import Tiny

from shoestring.models.gguf.reader import read_header
from shoestring.models.gguf_facts import facts_of
from shoestring.models.inspect import InspectReport, TensorReport, inspect
from shoestring.models.ranges import BytesRange

FACTS = facts_of(read_header(BytesRange(Tiny().encode())), id="tiny")


def test_the_report_has_the_promised_keys() -> None:
    promised = {"id", "format", "architecture", "kind", "parameters", "weights", "layers", "context_length"}
    promised |= {"vocab_size", "license", "chat_template"}
    of_checkpoints = {"dtype", "quantization", "tied", "modalities", "class_name"}
    keys = {field.name for field in fields(InspectReport)}
    assert keys == promised | {"not_understood", "tensors"} | of_checkpoints


def test_layers_are_counted_and_a_missing_template_is_none() -> None:
    report = inspect(FACTS)
    assert (report.layers, report.kind, report.chat_template) == (2, "base", None)


def test_tensors_are_listed_only_when_asked() -> None:
    assert inspect(FACTS).tensors is None
    listed = inspect(FACTS, tensors=True).tensors
    assert listed is not None
    assert listed[0] == TensorReport("token_embd.weight", (64, 8), "Q8_0", 544)
    assert sum(tensor.bytes for tensor in listed) == FACTS.weights.total_bytes
