"""Plans of published models held against arithmetic that anyone can check, on machines that people have."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import header_checkpoint
import pytest

from shoestring.hardware.catalog import named
from shoestring.models.facts import ModelFacts
from shoestring.models.safetensors_facts import read_checkpoint
from shoestring.models.source import FolderSource
from shoestring.planning.base import Plan, PlanReport
from shoestring.planning.request import request
from shoestring.planning.solver import plan


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Llama 3 8B: its config, its header, a vocabulary of its size; no weights."""
    path = tmp_path_factory.mktemp("models") / "Llama-3-8B"
    header_checkpoint.write(path, header_checkpoint.FAMILIES["llama-3-8b"]())
    return header_checkpoint.write_tokenizer(path, merges=280_147)


@pytest.fixture(scope="module")
def llama(folder: Path) -> ModelFacts:
    return read_checkpoint(FolderSource(folder), id="Llama-3-8B")


def on(machine: str, facts: ModelFacts, **asked: object) -> PlanReport:
    return plan(facts, named(machine), request(**asked))  # type: ignore[arg-type]


def only(report: PlanReport) -> Plan:
    return report.plans[0]


class TestLlama3:
    def test_bf16_weights_are_16_06_gb(self, llama: ModelFacts) -> None:
        found = only(on("a100-80", llama, precision="bf16"))
        assert found.bytes.weights == pytest.approx(16.06e9, rel=1e-3)
        assert found.footprint_bytes == pytest.approx(16.06e9, rel=1e-3)

    @pytest.mark.parametrize("precision", ["nf4", "nf4-dq"])
    def test_the_packed_footprint_of_nf4_is_5591_5_mb_whatever_the_scales_take(
        self, llama: ModelFacts, precision: str
    ) -> None:
        found = only(on("a100-80", llama, precision=precision))
        assert found.footprint_bytes == pytest.approx(5591.5e6, rel=1e-4)
        assert (found.bytes.weights or 0) > found.footprint_bytes

    def test_8192_tokens_of_cache_in_16_bits_are_one_gibibyte_on_either_engine(
        self, llama: ModelFacts
    ) -> None:
        for asked in ({"engine": "transformers", "precision": "bf16"}, {"precision": "Q8_0"}):
            assert only(on("a100-80", llama, context=8192, **asked)).bytes.kv_cache == 2**30

    def test_on_a_t4_it_fits_in_nf4(self, llama: ModelFacts) -> None:
        found = only(on("t4", llama, precision="nf4", context=2048))
        assert found.fits
        assert found.placement["gpu0"].units > 0

    def test_on_a_t4_it_does_not_fit_in_16_bits_and_bf16_is_said_not_to_be_there(
        self, llama: ModelFacts
    ) -> None:
        report = on("t4", llama, precision="bf16", context=2048)
        assert not only(report).fits
        assert any("bf16 is not available on Tesla T4" in note for note in only(report).notes)
        assert only(report).precision == "fp16"

    def test_other_precisions_are_offered_before_one_that_lies_partly_outside_the_gpu(
        self, llama: ModelFacts
    ) -> None:
        report = on("t4", llama, precision="bf16", context=2048)
        assert report.recommended == 1
        assert [found.precision for found in report.plans[1:]] == ["Q8_0", "int8", "fp16"]
        assert report.plans[3].placement["cpu"].units > 0

    def test_training_stays_on_the_gpu_where_it_fits_there(self, llama: ModelFacts) -> None:
        found = only(on("rtx-3060", llama, purpose="qlora", context=1024))
        assert found.fits
        assert found.placement["gpu0"].units > 0

    def test_left_open_a_t4_gets_what_lies_on_its_gpu_as_a_whole(self, llama: ModelFacts) -> None:
        report = on("t4", llama)
        assert report.recommended == 0
        assert only(report).precision in ("Q8_0", "int8")
        assert "Recommended:" in only(report).reason
        assert {found.engine for found in report.plans} == {"llama_cpp", "transformers"}

    def test_qlora_fits_a_t4_where_full_fine_tuning_does_not(self, llama: ModelFacts) -> None:
        assert only(on("t4", llama, purpose="qlora", context=512, batch=4)).fits
        report = on("t4", llama, purpose="full", context=512, batch=4)
        assert not only(report).fits
        assert any(found.settings.method == "qlora" for found in report.plans[1:])  # type: ignore[union-attr]


def test_planning_imports_no_torch_and_no_numpy(folder: Path) -> None:
    script = (
        "import sys, json\nfrom shoestring import api\n"
        f"report = api.plan({str(folder)!r}, hardware='t4')\n"
        f"training = api.plan({str(folder)!r}, hardware='t4', purpose='qlora')\n"
        "print(json.dumps([name for name in ('torch', 'numpy', 'transformers') if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert json.loads(done.stdout) == [], done.stderr
