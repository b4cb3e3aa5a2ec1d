"""Every family of models becomes the library's own model again, in the bytes that were planned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from saved_models import NF4, facts_of, load_from, logits, planned_bytes, save
from tiny_models import library_model

from shoestring.errors import EngineError

FAMILIES = ["llama", "gpt2", "gemma3_text", "mistral", "qwen3_moe", "deepseek_v2", "mamba", "falcon_h1"]
_WIDE: dict[str, Any] = {"hidden_size": 128, "intermediate_size": 256, "head_dim": 32}
_IN_4_BITS: dict[str, dict[str, Any]] = {
    "llama": _WIDE,
    "gemma3_text": _WIDE,
    "qwen3_moe": _WIDE,
    "gpt2": {"hidden_size": 128, "n_embd": 128},
    "deepseek_v2": {},
    "falcon_h1": {},
}
"""Those with matrices that bitsandbytes can rearrange for the CPU, and those with others."""


@pytest.mark.parametrize("family", FAMILIES)
def test_in_fp32_a_loaded_checkpoint_computes_what_was_saved(family: str, tmp_path: Path) -> None:
    loaded = load_from(save(tmp_path, family))
    assert torch.equal(logits(loaded.model), logits(library_model(family)))


@pytest.mark.parametrize("family", FAMILIES)
def test_in_fp32_it_holds_the_planned_bytes(family: str, tmp_path: Path) -> None:
    loaded = load_from(save(tmp_path, family))
    assert loaded.report.weights_bytes == pytest.approx(
        sum(facts_of(tmp_path).weights.by_dtype.values()), rel=0.01
    )


@pytest.mark.parametrize("family", list(_IN_4_BITS))
def test_in_4_bits_it_computes_finite_numbers_in_the_planned_bytes(family: str, tmp_path: Path) -> None:
    loaded = load_from(save(tmp_path, family, **_IN_4_BITS[family]), NF4)
    assert loaded.report.weights_bytes == pytest.approx(planned_bytes(tmp_path, NF4), rel=0.01)
    assert logits(loaded.model).isfinite().all()


def test_a_model_that_takes_weights_out_of_their_layers_is_not_quantised(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="packed ones do not allow"):
        load_from(save(tmp_path, "mamba"), NF4)
