"""Checkpoints that do not make a model, each refused in a sentence of its own."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from saved_models import FP32, NF4, change_config, load_from, logits, save

from shoestring.errors import EngineError

OWN_CODE = """
from transformers import LlamaConfig, LlamaForCausalLM

open({ran!r}, "w").close()


class OwnConfig(LlamaConfig):
    model_type = "own"


class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig
"""


def change_weights(folder: Path, name: str, change: object) -> None:
    file = folder / "model.safetensors"
    tensors = load_file(file)
    if callable(change):
        tensors[name] = change(tensors[name]).contiguous()
    else:
        del tensors[name]
    save_file(tensors, file)


def test_weights_that_are_missing_are_named(tmp_path: Path) -> None:
    change_weights(save(tmp_path), "model.layers.1.mlp.up_proj.weight", None)
    with pytest.raises(EngineError, match=r"lacks weights .* model\.layers\.1\.mlp\.up_proj\.weight"):
        load_from(tmp_path)


def test_weights_without_a_place_are_named(tmp_path: Path) -> None:
    save(tmp_path)
    change_config(tmp_path, num_hidden_layers=2)
    with pytest.raises(EngineError, match=r"no place for: model\.layers\.2\..* and 6 more"):
        load_from(tmp_path)


def test_weights_of_another_shape_are_named_with_both(tmp_path: Path) -> None:
    change_weights(save(tmp_path), "model.norm.weight", lambda tensor: tensor[:16])
    with pytest.raises(EngineError, match=r"model\.norm\.weight \(16,\) instead of \(32,\)"):
        load_from(tmp_path)


def test_an_architecture_that_the_library_lacks_is_named_with_its_version(tmp_path: Path) -> None:
    change_config(save(tmp_path), model_type="unheard-of", architectures=["UnheardOfForCausalLM"])
    with pytest.raises(
        EngineError, match=r"transformers 5\.\d+.* does not know the architecture 'unheard-of'"
    ):
        load_from(tmp_path)


def test_an_encoder_is_no_generator(tmp_path: Path) -> None:
    change_config(save(tmp_path), model_type="roberta", architectures=["RobertaModel"])
    (tmp_path / "config.json").write_text('{"model_type": "vit", "architectures": ["ViTModel"]}')
    with pytest.raises(EngineError, match="no model that generates text for 'vit'"):
        load_from(tmp_path)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    (save(tmp_path) / "tokenizer.json").unlink()
    with pytest.raises(EngineError, match="tokenizer") as caught:
        load_from(tmp_path)
    assert caught.value.hint is not None
    assert "tokenizer.json" in caught.value.hint


def test_plain_weights_have_no_stored_precision(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="is not quantised"):
        load_from(save(tmp_path), replace(FP32, precision="stored"))


def test_4_bit_weights_stay_whole(tmp_path: Path) -> None:
    places = (("embedding", "cpu"), ("head", "disk"))
    with pytest.raises(EngineError, match="cannot lie partly in main memory or on the disk"):
        load_from(save(tmp_path), replace(NF4, device_map=places))


def test_a_gpu_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="GPU 7, and torch sees"):
        load_from(save(tmp_path), replace(FP32, device_map=(("", "gpu7"),)))


class TestOwnCode:
    @pytest.fixture
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        save(tmp_path)
        monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
        (tmp_path / "modeling_own.py").write_text(OWN_CODE.format(ran=str(tmp_path / "ran")))
        change_config(
            tmp_path,
            model_type="own",
            architectures=["OwnModel"],
            auto_map={
                "AutoConfig": "modeling_own.OwnConfig",
                "AutoModelForCausalLM": "modeling_own.OwnModel",
            },
        )
        return tmp_path

    def test_without_consent_it_is_named_and_not_run(self, folder: Path) -> None:
        with pytest.raises(
            EngineError, match=r"runs Python code that came with the model \(modeling_own\.py"
        ):
            load_from(folder)
        assert not (folder / "ran").exists()

    def test_with_consent_it_is_run(self, folder: Path) -> None:
        loaded = load_from(folder, replace(FP32, trust_remote_code=True))
        assert type(loaded.model).__name__ == "OwnModel"
        assert logits(loaded.model).isfinite().all()

    def test_it_is_never_fetched_from_another_repository(self, folder: Path) -> None:
        elsewhere = {
            "AutoConfig": "some/where--own.OwnConfig",
            "AutoModelForCausalLM": "some/where--own.OwnModel",
        }
        change_config(folder, auto_map=elsewhere)
        with pytest.raises(EngineError, match="another repository"):
            load_from(folder, replace(FP32, trust_remote_code=True))

    def test_code_beside_an_architecture_that_the_library_has_is_never_run(self, folder: Path) -> None:
        change_config(folder, model_type="llama", architectures=["LlamaForCausalLM"])
        load_from(folder, replace(FP32, trust_remote_code=True))
        assert not (folder / "ran").exists()


ALLOCATE = """
import resource, sys
from pathlib import Path
import torch, transformers
from shoestring.engines.transformers.engine import TransformersEngine
from shoestring.errors import OutOfMemoryError
from shoestring.planning.base import TransformersSettings
engine = TransformersEngine()
engine.preload()
folder = Path(sys.argv[1])
settings = TransformersSettings(context=64, precision=sys.argv[2], compute_dtype="fp32")
size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + 300_000_000, size + 300_000_000))
try:
    engine.load(sorted(folder.glob("*.safetensors")), settings, folder)
except OutOfMemoryError as error:
    print(error.message)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits a process's address space as Linux does")
@pytest.mark.parametrize("precision", ["fp32", "nf4"])
def test_memory_that_runs_out_is_told_from_other_failures(precision: str, smollm2_checkpoint: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALLOCATE, str(smollm2_checkpoint), precision], capture_output=True, text=True
    )
    assert "not enough memory" in done.stdout, done.stderr[-2000:]
