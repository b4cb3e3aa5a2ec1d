"""Every architecture family, published shapes: the formula against the engine's own dry run of the header.

`benchmarks/llama_cpp_families.py` prints the whole grid, full sizes on demand.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from gguf_families import Model, scaled, write_header
from gguf_models import ALIKE, FAMILIES

from shoestring.models.facts import ModelFacts
from shoestring.models.gguf_facts import read_facts
from shoestring.planning.base import LlamaCppSettings
from shoestring.planning.dry_run import dry_run
from shoestring.planning.llama_cpp.compute import (
    ARCHITECTURES,
    compute_buffer_bytes,
    output_buffer_bytes,
    unaccounted,
)
from shoestring.planning.llama_cpp.kv_cache import kv_cache_bytes, layer_cache_bytes, refused

FULL_DEPTH = ("deepseek2", "gemma3n")  # variants that llama.cpp tells apart by their number of layers
LOGGED = 5300  # bytes; the engine logs MiB with two decimals
FLASH = LlamaCppSettings(context=2048)
PLAIN = LlamaCppSettings(context=1000, batch=4, ubatch=128, flash_attention=False)
QUANTIZED = LlamaCppSettings(context=2048, batch=4, ubatch=128, kv_precision="q8_0")


def small(name: str) -> Model:
    """The family's model with few tokens and, where it does not matter, few layers."""
    model = FAMILIES[name]()
    return scaled(model, layers=None if model.architecture in FULL_DEPTH else 9, vocabulary=512)


NAMES = {FLASH: "flash", PLAIN: "plain", QUANTIZED: "quantised"}
CASES = [
    *(("llama-3-8b", settings) for settings in (FLASH, PLAIN, QUANTIZED)),
    *(("deepseek-v2-lite", settings) for settings in (FLASH, PLAIN, QUANTIZED)),
    *(("qwen3-30b-a3b", settings) for settings in (FLASH, PLAIN)),
    *(("gemma-3-4b", settings) for settings in (FLASH, PLAIN, QUANTIZED)),
    *(("jamba-mini", settings) for settings in (FLASH, PLAIN)),
    *(("falcon-h1-1.5b", settings) for settings in (FLASH, PLAIN)),
    ("llama-3.2-1b", PLAIN),
    ("qwen2-7b", QUANTIZED),
    ("qwen3-8b", PLAIN),
    ("qwen1.5-moe-a2.7b", PLAIN),
    ("ministral-3-8b", FLASH),
    ("mixtral-8x7b", FLASH),
    ("gemma-2b", PLAIN),
    ("gemma-2-9b", PLAIN),
    ("gemma-3n-e2b", PLAIN),
    ("phi-2", PLAIN),
    ("phi-3-mini", PLAIN),
    ("deepseek-v2-lite-uncompressed", PLAIN),
    ("gpt2", FLASH),
    ("pythia-1b", PLAIN),
    ("starcoder2-3b", PLAIN),
    ("stablelm-3b", PLAIN),
    ("falcon-7b", FLASH),
    ("command-r7b-like", QUANTIZED),
    ("olmo-2-7b", PLAIN),
    ("smollm3-3b", FLASH),
    ("granite-3-8b", PLAIN),
    ("mamba-1.4b", PLAIN),
    ("mamba2-1.3b", PLAIN),
    ("granite-4-h-tiny", PLAIN),
    ("lfm2-1.2b", PLAIN),
    ("qwen3-next-80b-a3b", PLAIN),
    ("gpt-oss-20b", PLAIN),
]


TWINS = (  # node for node another's graph: the benchmark alone asks the engine about them
    *("ernie4_5", "exaone", "internlm2", "maincoder", "minicpm", "orion", "qwen3vl", "xverse"),
    *("bailingmoe", "ernie4_5-moe", "hunyuan-moe", "qwen3vlmoe"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("families")


def facts_of(model: Model, folder: Path) -> ModelFacts:
    path = write_header(folder / "model.gguf", model)
    return read_facts([path], id=path.name)


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        *(pytest.param(small(name), settings, id=f"{name}, {NAMES[settings]}") for name, settings in CASES),
        *(pytest.param(make(), PLAIN, id=name) for name, make in ALIKE.items() if name not in TWINS),
        pytest.param(ALIKE["gemma4 with own inputs"](), QUANTIZED, id="gemma4, quantised"),
    ],
)
def test_equals_the_engine_s_figures(model: Model, settings: LlamaCppSettings, folder: Path) -> None:
    facts = facts_of(model, folder)
    engine = dry_run(facts.files, settings)
    assert unaccounted(facts) == {}
    assert compute_buffer_bytes(facts, settings) == pytest.approx(engine.compute_buffer_bytes, abs=LOGGED)
    assert output_buffer_bytes(facts, settings) == pytest.approx(engine.output_buffer_bytes, abs=LOGGED)
    assert kv_cache_bytes(facts, settings) == pytest.approx(engine.kv_cache_bytes, abs=2 * LOGGED)
    assert facts.weights.total_bytes == pytest.approx(engine.weights_bytes, rel=0.01)


def test_every_family_and_every_architecture_with_a_formula_is_checked_here() -> None:
    checked = {name for name, _ in CASES}
    assert set(FAMILIES) - checked == {"mistral-7b"}  # llama's own graph and shape
    assert {FAMILIES[name]().architecture for name in checked} | {
        make().architecture for make in ALIKE.values()
    } == ARCHITECTURES


@pytest.mark.parametrize(
    "name", ["llama-3-8b", "jamba-mini", "qwen3-next-80b-a3b", "gemma-3n-e2b", "gpt-oss-20b"]
)
def test_leaving_out_repeated_layers_changes_nothing(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = facts_of(scaled(FAMILIES[name](), vocabulary=512), folder)
    quick = compute_buffer_bytes(facts, PLAIN)
    monkeypatch.setattr("shoestring.planning.llama_cpp.blueprint._SAME_LAYERS", 1000)
    assert compute_buffer_bytes(facts, PLAIN) == quick


def test_a_latent_cache_keeps_one_compressed_row_a_token(folder: Path) -> None:
    facts = facts_of(small("deepseek-v2-lite"), folder)
    assert set(layer_cache_bytes(facts, LlamaCppSettings(context=256))) == {256 * (512 + 64) * 2}


def test_values_that_lie_transposed_are_as_many_in_every_layer(folder: Path) -> None:
    gemma = facts_of(ALIKE["gemma4 with keys for values"](), folder)
    flash, plain = (
        layer_cache_bytes(gemma, LlamaCppSettings(context=256, flash_attention=flash_attention))
        for flash_attention in (True, False)
    )
    assert flash[0] == 256 * 2 * (512 + 512)
    assert plain[0] == 256 * 2 * (512 + 1024)
    assert flash[3] == plain[3] == 256 * 2 * (1024 + 1024)


def test_a_recurrent_layer_keeps_its_state_whatever_the_context(folder: Path) -> None:
    facts = facts_of(small("mamba-1.4b"), folder)
    state = 4 * (3 * 4096 + 16 * 4096)
    for context in (256, 65536):
        assert set(layer_cache_bytes(facts, LlamaCppSettings(context=context, batch=2))) == {2 * state}


def test_layers_that_read_another_s_cache_have_none(folder: Path) -> None:
    facts = facts_of(small("gemma-3n-e2b"), folder)
    found = layer_cache_bytes(facts, LlamaCppSettings(context=256))
    assert [i for i, n_bytes in enumerate(found) if not n_bytes] == list(range(20, 30))


@pytest.mark.parametrize("name", ["llama-3-8b", "jamba-mini"])
def test_a_plan_may_put_each_layer_s_cache_with_its_layer(name: str, folder: Path) -> None:
    facts = facts_of(small(name), folder)
    assert sum(layer_cache_bytes(facts, QUANTIZED)) == kv_cache_bytes(facts, QUANTIZED)


def test_a_cache_that_the_engine_refuses_has_its_reason(folder: Path) -> None:
    phi = facts_of(small("phi-2"), folder)  # 80 values a head are no whole blocks of 32
    assert "80" in (refused(phi, QUANTIZED) or "")
    assert refused(phi, FLASH) is None


def test_quantised_values_need_flash_attention(folder: Path) -> None:
    llama = facts_of(small("llama-3-8b"), folder)
    assert "flash attention" in (refused(llama, replace(QUANTIZED, flash_attention=False)) or "")
    assert refused(llama, QUANTIZED) is None
