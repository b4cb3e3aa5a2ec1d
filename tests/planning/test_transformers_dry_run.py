"""transformers' own figures, from a config alone, held against the real library on real tensors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import header_checkpoint
import pytest

from shoestring.engines.transformers_dry_run import Question, answer
from shoestring.errors import EngineError, ModelNotFoundError, UsageError
from shoestring.planning.base import TransformersSettings
from shoestring.planning.transformers_dry_run import TransformersDryRun, dry_run

LAYERS, HIDDEN, INNER, HEADS, KV_HEADS, VOCABULARY = 2, 64, 96, 4, 2, 1000
TINY = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": HIDDEN,
    "intermediate_size": INNER,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": True,
}
PER_BLOCK = 2 * HIDDEN * HIDDEN + 2 * HIDDEN * HIDDEN * KV_HEADS // HEADS + 3 * HIDDEN * INNER + 2 * HIDDEN
PARAMETERS = VOCABULARY * HIDDEN + LAYERS * PER_BLOCK + HIDDEN
MakeFolder = Callable[..., Path]


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    def make(**changes: Any) -> Path:
        (tmp_path / "config.json").write_text(json.dumps(TINY | changes))
        return tmp_path

    return make


def here(folder: Path, settings: TransformersSettings, *, on_gpu: bool = False) -> TransformersDryRun:
    """The same answer without a process of its own."""
    given = answer(Question(str(folder), settings, on_gpu))
    if given.figures is None:
        raise EngineError(given.error or "", given.hint)
    return TransformersDryRun(
        **{name: getattr(given.figures, name) for name in given.figures.__struct_fields__}
    )


def test_a_process_of_its_own_gives_every_figure(make_folder: MakeFolder) -> None:
    figures = dry_run(make_folder(), TransformersSettings(context=128, batch=2))
    assert figures.weights_by_dtype["bfloat16"] == 2 * PARAMETERS
    assert figures.kv_cache_bytes == 2 * LAYERS * 2 * KV_HEADS * (HIDDEN // HEADS) * 128 * 2
    assert figures.compute_bytes == figures.prefill_peak_bytes > figures.decode_peak_bytes > 0


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_weights_count_tied_ones_once(precision: Any, make_folder: MakeFolder) -> None:
    figures = here(make_folder(), TransformersSettings(context=8, precision=precision))
    width = 4 if precision == "fp32" else 2
    rope_frequencies = 4 * HIDDEN // HEADS  # two fp32 buffers of half a head each
    assert figures.weights_bytes == figures.footprint_bytes == width * PARAMETERS + rope_frequencies


@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_either_cache_holds_a_full_context(cache: Any, make_folder: MakeFolder) -> None:
    figures = here(make_folder(), TransformersSettings(context=256, cache=cache))
    assert figures.kv_cache_bytes == 2 * LAYERS * 2 * KV_HEADS * (HIDDEN // HEADS) * 256


def test_a_sliding_layer_holds_the_whole_prompt_until_it_decodes(make_folder: MakeFolder) -> None:
    folder = make_folder(model_type="mistral", architectures=["MistralForCausalLM"], sliding_window=64)
    figures = here(folder, TransformersSettings(context=256))
    assert figures.kv_cache_bytes == 2 * LAYERS * 2 * KV_HEADS * (HIDDEN // HEADS) * 256


def test_eager_attention_pays_for_every_pair_of_positions(make_folder: MakeFolder) -> None:
    folder, context = make_folder(), 512
    fused = here(folder, TransformersSettings(context=context))
    eager = here(folder, TransformersSettings(context=context, attention="eager"))
    assert eager.prefill_peak_bytes > fused.prefill_peak_bytes + HEADS * context * context * 4


@pytest.mark.parametrize(
    ("precision", "scales_and_codes"),
    [
        ("nf4", lambda weights, rows, modules: weights * 4 // 64 + modules * 16 * 4),
        (
            "nf4-dq",
            lambda weights, rows, modules: (
                weights // 64 + weights * 4 // 64 // 256 + modules * 4 * (16 + 256 + 1)
            ),
        ),
        ("int8", lambda weights, rows, modules: 4 * rows),
    ],
)
def test_scales_are_weights_that_the_footprint_does_not_show(
    precision: Any, scales_and_codes: Callable[[int, int, int], int], make_folder: MakeFolder
) -> None:
    shape = {"hidden_size": 512, "intermediate_size": 1024, "vocab_size": 512, "num_key_value_heads": 4}
    figures = here(make_folder(**shape), TransformersSettings(context=8, precision=precision), on_gpu=True)
    weights = LAYERS * (4 * 512 * 512 + 3 * 512 * 1024)
    rows = LAYERS * (4 * 512 + 2 * 1024 + 512)
    hidden = figures.weights_bytes - figures.footprint_bytes
    assert hidden == scales_and_codes(weights, rows, LAYERS * 7)


def test_a_cpu_with_bf16_instructions_keeps_scales_in_16_bits(make_folder: MakeFolder) -> None:
    from bitsandbytes.functional import has_avx512bf16

    shape = {"hidden_size": 512, "intermediate_size": 1024, "vocab_size": 512, "num_key_value_heads": 4}
    figures = here(make_folder(**shape), TransformersSettings(context=8, precision="nf4"))
    scales = LAYERS * (4 * 512 * 512 + 3 * 512 * 1024) // 64
    width = 2 if has_avx512bf16() else 4
    assert figures.weights_bytes - figures.footprint_bytes == width * scales + LAYERS * 7 * 16 * 4


def test_llama_3_8b_in_nf4_leaves_the_footprint_that_is_published(tmp_path: Path) -> None:
    config = header_checkpoint.FAMILIES["llama-3-8b"]()
    (tmp_path / "config.json").write_text(config.to_json_string())
    figures = here(tmp_path, TransformersSettings(context=8192, precision="nf4"))
    assert round(figures.footprint_bytes / 1e6, 1) == 5591.5
    assert figures.kv_cache_bytes == 2**30


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_the_peak_is_the_allocator_s_own(attention: Any, make_folder: MakeFolder, tmp_path: Path) -> None:
    import torch
    import transformers

    folder = make_folder()
    figures = here(folder, TransformersSettings(context=300, batch=3, precision="fp32", attention=attention))
    config = transformers.AutoConfig.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()
    with torch.no_grad():
        prompt = torch.zeros(3, 300, dtype=torch.long)
        options = {"position_ids": torch.zeros_like(prompt), "use_cache": True, "logits_to_keep": 1}
        measured = allocator_peak(lambda: model(input_ids=prompt, **options), tmp_path)
    assert figures.prefill_peak_bytes + figures.kv_cache_bytes == pytest.approx(measured, rel=0.01)


def allocator_peak(run: Callable[[], object], folder: Path) -> int:
    """Bytes that torch's CPU allocator handed out at most, beyond those before; from its own events."""
    import torch

    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        run()
    profile.export_chrome_trace(str(folder / "trace.json"))
    events = json.loads((folder / "trace.json").read_text())["traceEvents"]
    memory = sorted((e for e in events if e.get("name") == "[memory]"), key=lambda e: e["ts"])
    live = peak = 0
    for event in memory:
        live += event["args"]["Bytes"]
        peak = max(peak, live)
    return peak


@pytest.mark.parametrize("family", ["gemma-3-4b", "mixtral-8x7b", "deepseek-v2-lite", "gpt2", "mamba-130m"])
def test_families_of_every_kind_have_figures(family: str, tmp_path: Path) -> None:
    config = header_checkpoint.FAMILIES[family]()
    (tmp_path / "config.json").write_text(config.to_json_string())
    figures = here(tmp_path, TransformersSettings(context=16))
    assert min(figures.weights_bytes, figures.kv_cache_bytes, figures.compute_bytes) > 0


def test_code_beside_the_config_is_never_run(make_folder: MakeFolder) -> None:
    folder = make_folder(auto_map={"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"})
    (folder / "evil.py").write_text(f"open({str(folder / 'ran')!r}, 'w')")
    here(folder, TransformersSettings(context=8))
    assert not (folder / "ran").exists()


def test_a_model_that_transformers_lacks_is_refused(make_folder: MakeFolder) -> None:
    folder = make_folder(model_type="unheard-of", auto_map={"AutoConfig": "evil.Config"})
    with pytest.raises(EngineError, match="does not know this model"):
        here(folder, TransformersSettings(context=8))


def test_a_config_that_contradicts_itself_is_refused(make_folder: MakeFolder) -> None:
    folder = make_folder(model_type="qwen3", layer_types=["full_attention"] * 3)
    with pytest.raises(EngineError, match="layer_types"):
        here(folder, TransformersSettings(context=8))


def test_an_attention_that_the_model_lacks_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gemma2"}))
    with pytest.raises(EngineError, match="cannot build this model"):
        here(tmp_path, TransformersSettings(context=8))


@pytest.mark.parametrize(
    "settings",
    [
        TransformersSettings(context=8, cache="quantized"),
        TransformersSettings(context=8, precision="stored"),
    ],
)
def test_what_cannot_be_run_says_so(settings: TransformersSettings, make_folder: MakeFolder) -> None:
    with pytest.raises(EngineError, match="not possible") as caught:
        here(make_folder(), settings)
    assert caught.value.hint is not None


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"no config\.json"):
        dry_run(tmp_path, TransformersSettings(context=8))


@pytest.mark.parametrize("size", [{"context": 0}, {"context": 8, "batch": -1}])
def test_a_context_that_holds_nothing_is_refused(size: dict[str, int], make_folder: MakeFolder) -> None:
    with pytest.raises(UsageError):
        dry_run(make_folder(), TransformersSettings(**size))


def test_without_the_extra_the_error_names_what_to_install(
    make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    missing = tmp_path / "path"
    missing.mkdir()
    (missing / "torch.py").write_text("raise ModuleNotFoundError('No module named torch', name='torch')")
    monkeypatch.setenv("PYTHONPATH", str(missing))
    with pytest.raises(EngineError, match="needs torch") as caught:
        dry_run(make_folder(), TransformersSettings(context=8))
    assert "pip install 'shoestring[transformers]'" in (caught.value.hint or "")


def test_patience_ends(make_folder: MakeFolder) -> None:
    with pytest.raises(EngineError, match="had not planned"):
        dry_run(make_folder(), TransformersSettings(context=8), timeout_s=0.01)
