"""The compute buffer by formula, held against the engine's own figure of real models; families have a table."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning_facts import make_facts

from shoestring.models.gguf_facts import read_facts
from shoestring.planning.base import LlamaCppSettings
from shoestring.planning.dry_run import dry_run
from shoestring.planning.llama_cpp.compute import (
    compute_buffer_bytes,
    unaccounted,
)
from shoestring.planning.llama_cpp.kv_cache import kv_cache_bytes

LOGGED = 5300  # bytes; the engine logs MiB with two decimals


@pytest.mark.parametrize("flash_attention", [True, False])
@pytest.mark.parametrize("context", [512, 8192])
def test_starters_equal_the_engine_s_figures(
    context: int, flash_attention: bool, smollm2_files: tuple[Path, ...], gemma_files: tuple[Path, ...]
) -> None:
    asked = LlamaCppSettings(context=context, flash_attention=flash_attention)
    for files in (smollm2_files, gemma_files):
        facts, engine = read_facts(files, id="starter"), dry_run(files, asked)
        assert compute_buffer_bytes(facts, asked) == pytest.approx(engine.compute_buffer_bytes, abs=LOGGED)
        assert kv_cache_bytes(facts, asked) == pytest.approx(engine.kv_cache_bytes, abs=LOGGED)


def test_leaving_out_repeated_layers_changes_nothing() -> None:
    asked = LlamaCppSettings(context=1024)
    assert compute_buffer_bytes(make_facts(layers=5), asked) == compute_buffer_bytes(
        make_facts(layers=60), asked
    )


@given(
    context=st.integers(2, 8192),
    ubatch=st.sampled_from([32, 64, 128, 256, 512]),
    flash_attention=st.booleans(),
)
@settings(deadline=None, max_examples=40)
def test_grows_with_context_and_micro_batch(context: int, ubatch: int, flash_attention: bool) -> None:
    # With sliding windows it need not: a full mask that is done with leaves a hole, and a larger one holds more.
    facts = make_facts()
    asked = LlamaCppSettings(context=context, ubatch=ubatch, flash_attention=flash_attention)
    longer = LlamaCppSettings(context=context + 256, ubatch=ubatch, flash_attention=flash_attention)
    wider = LlamaCppSettings(context=context, ubatch=2 * ubatch, flash_attention=flash_attention)
    assert compute_buffer_bytes(facts, asked) <= compute_buffer_bytes(facts, longer)
    assert compute_buffer_bytes(facts, asked) <= compute_buffer_bytes(facts, wider)


@pytest.mark.parametrize(
    "facts",
    [
        make_facts(architecture="rwkv7"),
        make_facts(not_understood=("The model uses state-space layers, whose memory is not counted.",)),
    ],
)
def test_what_is_not_known_has_a_reason_and_no_figure(facts: object) -> None:
    assert unaccounted(facts)  # type: ignore[arg-type]
