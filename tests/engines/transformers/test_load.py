"""The real smollm2 as a checkpoint: at every precision, in one piece and split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from saved_models import FP32, facts_of, planned_bytes, save

from shoestring.engines.transformers.engine import TransformersEngine
from shoestring.engines.transformers.load import Loaded, load
from shoestring.errors import EngineError
from shoestring.planning.base import ComputeDtype, Precision, TransformersSettings
from shoestring.planning.transformers.modules import modules
from shoestring.planning.transformers.units import parts
from shoestring.planning.transformers.weights import footprint_bytes

PRECISIONS = [precision for precision in get_args(Precision) if precision != "stored"]
PARAMETERS = 134_515_008
QUESTION = "What is the capital of France?"


def settings_for(precision: Precision) -> TransformersSettings:
    dtype: ComputeDtype = precision if precision in ("fp32", "fp16") else "bf16"  # type: ignore[assignment]
    return TransformersSettings(context=256, precision=precision, compute_dtype=dtype, threads=2)


def greedy(loaded: Loaded, n: int = 8) -> list[int]:
    """New tokens of the library's own generation."""
    said = [{"role": "user", "content": QUESTION}]
    ids: Any = loaded.tokenizer.apply_chat_template(
        said, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )["input_ids"]
    with torch.inference_mode():
        out = loaded.model.generate(ids, max_new_tokens=n, do_sample=False)
    return list(out[0, ids.shape[1] :].tolist())


@pytest.fixture(scope="module", params=PRECISIONS)
def loaded(
    request: pytest.FixtureRequest, smollm2_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Loaded:
    files = sorted(smollm2_checkpoint.glob("*.safetensors"))
    return load(files, settings_for(request.param), tmp_path_factory.mktemp("scratch"))


@pytest.mark.model
class TestEveryPrecision:
    def test_it_knows_the_capital_of_france(self, loaded: Loaded) -> None:
        assert "Paris" in loaded.tokenizer.decode(greedy(loaded))

    def test_the_footprint_is_as_planned(self, loaded: Loaded, smollm2_checkpoint: Path) -> None:
        settings = loaded.settings
        planned = footprint_bytes(facts_of(smollm2_checkpoint), settings.precision, settings.compute_dtype)
        assert loaded.report.footprint_bytes == planned

    def test_its_tensors_take_the_planned_bytes(self, smollm2_checkpoint: Path, loaded: Loaded) -> None:
        # What rearranging changes at first use is not in it: the report was made before.
        assert loaded.report.weights_bytes == pytest.approx(
            planned_bytes(smollm2_checkpoint, loaded.settings), rel=1e-4
        )
        assert sum(loaded.report.bytes_by_dtype.values()) == loaded.report.weights_bytes

    def test_parameters_are_counted_as_before_packing(self, loaded: Loaded) -> None:
        assert loaded.report.parameters == PARAMETERS

    def test_main_memory_is_told(self, loaded: Loaded) -> None:
        [cpu] = loaded.report.devices
        assert cpu.name == "cpu"
        assert (loaded.report.weights_bytes or 0) < cpu.allocated_bytes < cpu.total_bytes
        assert cpu.reserved_bytes is None

    def test_both_durations_are_told(self, loaded: Loaded) -> None:
        assert (loaded.report.tokenizer_s or 0) > 0
        assert (loaded.report.weights_s or 0) > 0


@pytest.mark.model
@pytest.mark.parametrize("kept", [0, 10])
def test_what_lies_on_the_disk_is_computed_with_all_the_same(
    kept: int, smollm2_checkpoint: Path, tmp_path: Path
) -> None:
    files = sorted(smollm2_checkpoint.glob("*.safetensors"))
    whole = load(files, settings_for("bf16"), tmp_path)
    names = [part.name for part in parts(modules(facts_of(smollm2_checkpoint)))]
    places = tuple((name, "cpu" if i < kept else "disk") for i, name in enumerate(names))
    split = load(files, replace(settings_for("bf16"), device_map=places), tmp_path)
    assert greedy(split, 4) == greedy(whole, 4)
    assert (split.report.weights_bytes or 0) < (whole.report.weights_bytes or 0)


def test_the_files_end_token_is_the_model_s(tmp_path: Path) -> None:
    save(tmp_path)
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [256, 7]}')
    found = load([tmp_path / "model.safetensors"], FP32, tmp_path)
    assert found.model.generation_config.eos_token_id == [256, 7]


def test_a_generation_config_that_is_none_is_an_error(tmp_path: Path) -> None:
    save(tmp_path)
    (tmp_path / "generation_config.json").write_text("[]")
    with pytest.raises(EngineError, match="generation_config"):
        load([tmp_path / "model.safetensors"], FP32, tmp_path)


def test_the_engine_gives_a_model_that_generates(tmp_path: Path) -> None:
    save(tmp_path)
    engine = TransformersEngine()
    engine.preload()
    model = engine.load([tmp_path / "model.safetensors"], FP32, tmp_path)
    assert model.report.parameters
    assert engine.version().startswith("5.")
