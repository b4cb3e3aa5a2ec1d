"""Training for real against its plan: fine-tunes SmolLM2-135M in fresh processes and compares the peaks.

    python benchmarks/qlora_peak.py [--folder CHECKPOINT] [--steps 3] [--only qlora] [--terms]

Each setting trains in a process of its own, in the plain loop of transformers, peft and bitsandbytes that the plan
describes; its truth is VmHWM after the last step. Exits with 1 where a prediction is not within 10 %.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import smollm2_checkpoint

from shoestring.engines.transformers.checkpoint import tensors
from shoestring.engines.transformers.heap import give_back
from shoestring.hardware.probe import probe
from shoestring.models.facts import ModelFacts
from shoestring.models.safetensors_facts import read_checkpoint
from shoestring.models.source import FolderSource
from shoestring.planning.base import CPU, TrainingSettings
from shoestring.planning.training.model import TrainingMemory
from shoestring.planning.training.runtime import ENVIRONMENT

WITHIN = 0.10
TRIES = 3
DROPPED_BYTES = 20_000_000
"""Of resident file pages between steps: more is the kernel's doing, not the program's."""
SETTINGS: dict[str, TrainingSettings] = {
    "qlora b1 t512": TrainingSettings(512, 1),
    "qlora b4 t512": TrainingSettings(512, 4),
    "qlora b2 t256 no ckpt": TrainingSettings(256, 2, gradient_checkpointing=False),
    "qlora b1 t1024 no ckpt": TrainingSettings(1024, 1, gradient_checkpointing=False),
    "qlora b2 t1024 adamw_8bit": TrainingSettings(1024, 2, optimizer="adamw_8bit", lora_rank=64),
    "qlora b2 t512 accumulated": TrainingSettings(512, 2, accumulation=2, lora_rank=32),
    "qlora b1 t512 eager": TrainingSettings(512, 1, attention="eager", gradient_checkpointing=False),
    "lora bf16 b2 t512": TrainingSettings(512, 2, method="lora", precision="bf16"),
    "lora fp32 b1 t256 no ckpt": TrainingSettings(
        256, method="lora", precision="fp32", compute_dtype="fp32", gradient_checkpointing=False
    ),
    "full fp32 b1 t64": TrainingSettings(
        64, method="full", precision="fp32", compute_dtype="fp32", lora_rank=0, gradient_checkpointing=False
    ),
    "full bf16 b1 t512": TrainingSettings(512, method="full", precision="bf16", lora_rank=0),
    "full fp32 sgd b1 t512": TrainingSettings(
        512, method="full", precision="fp32", compute_dtype="fp32", lora_rank=0, optimizer="sgd"
    ),
}
"""What is trained, by a name for the table."""
_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
_FROM_PARENT = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH")


def measure(
    folder: Path, settings: TrainingSettings, steps: int = 3, extra: dict[str, str] | None = None
) -> dict[str, Any]:
    """VmHWM in bytes, by moment, of a training run in a process of its own."""
    inherited = {key: os.environ[key] for key in _FROM_PARENT if key in os.environ}
    threads = {"OMP_NUM_THREADS": str(settings.threads), "MKL_NUM_THREADS": str(settings.threads)}
    done = subprocess.run(
        [
            sys.executable,
            __file__,
            "--worker",
            str(folder),
            json.dumps(dataclasses.asdict(settings)),
            str(steps),
        ],
        env={**inherited, **threads, **ENVIRONMENT, **(extra or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the worker failed ({done.returncode}): {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _resident() -> dict[str, int]:
    with Path("/proc/self/status").open() as file:
        lines = [line.split() for line in file]
    wanted = ("VmHWM", "VmRSS", "RssAnon", "RssFile")
    return {line[0].rstrip(":"): int(line[1]) * 1024 for line in lines if line[0].rstrip(":") in wanted}


def _worker(folder: str, settings: TrainingSettings, steps: int) -> dict[str, Any]:
    import logging

    logging.getLogger("bitsandbytes").setLevel(logging.CRITICAL)
    import peft  # noqa: F401 - the baseline has every library that a training run imports
    import torch
    import transformers

    if settings.method == "qlora" or "8bit" in settings.optimizer or "paged" in settings.optimizer:
        import bitsandbytes  # noqa: F401

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    torch.set_num_threads(settings.threads)
    seen = {"imports": _resident()}
    model = _model(folder, settings)
    seen["load"] = _resident()
    optimizer = _optimizer(settings, [p for p in model.parameters() if p.requires_grad])
    seen["optimizer"] = _resident()
    for step in range(steps):
        _step(model, optimizer, settings)
        seen[f"step {step}"] = _resident()
    return {"moments": seen, "peak": _resident()["VmHWM"]}


def _model(folder: str, settings: TrainingSettings) -> Any:
    import torch
    import transformers

    compute = getattr(torch, _DTYPES[settings.compute_dtype])
    quantization = None
    if settings.method == "qlora":
        kind, _, double = settings.precision.partition("-")
        quantization = transformers.BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=kind,
            bnb_4bit_use_double_quant=bool(double),
            bnb_4bit_compute_dtype=compute,
        )
    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    model = getattr(transformers, config.architectures[0]).from_pretrained(
        None,
        config=config,
        state_dict=tensors(sorted(Path(folder).glob("*.safetensors"))),
        dtype=compute if quantization else getattr(torch, _DTYPES[settings.precision]),
        quantization_config=quantization,
        attn_implementation=settings.attention,
    )
    give_back()
    return prepare(model, settings)


def prepare(model: Any, settings: TrainingSettings) -> Any:
    """A loaded model made ready: adapters, checkpointing, no cache."""
    import peft

    model.config.use_cache = False
    if settings.gradient_checkpointing:
        model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    if settings.method != "full":
        if settings.gradient_checkpointing:
            model.enable_input_require_grads()
        config = peft.LoraConfig(
            r=settings.lora_rank, target_modules="all-linear", task_type="CAUSAL_LM", lora_dropout=0.0
        )
        model = peft.get_peft_model(model, config)
    return model.train()


def _optimizer(settings: TrainingSettings, parameters: list[Any]) -> Any:
    import torch

    if settings.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=1e-4, fused=True)
    if settings.optimizer.startswith("sgd"):
        momentum = 0.9 if settings.optimizer == "sgd_momentum" else 0.0
        return torch.optim.SGD(parameters, lr=1e-4, momentum=momentum)
    if settings.optimizer == "adafactor":
        import transformers

        return transformers.optimization.Adafactor(
            parameters, lr=1e-4, relative_step=False, scale_parameter=False
        )
    import bitsandbytes

    name = {
        "adamw_8bit": "AdamW8bit",
        "paged_adamw": "PagedAdamW32bit",
        "paged_adamw_8bit": "PagedAdamW8bit",
    }[settings.optimizer]
    return getattr(bitsandbytes.optim, name)(parameters, lr=1e-4)


def _step(model: Any, optimizer: Any, settings: TrainingSettings) -> None:
    import torch

    for _ in range(settings.accumulation):
        tokens = torch.randint(1, model.config.vocab_size - 1, (settings.batch, settings.context))
        loss = model(input_ids=tokens, labels=tokens).loss
        (loss / settings.accumulation).backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


@dataclasses.dataclass(frozen=True)
class Row:
    """One setting's prediction and measurement, in bytes."""

    name: str
    predicted: int
    measured: int
    terms: dict[str, int]

    @property
    def error(self) -> float:
        """Relative; negative where more was measured than predicted."""
        return self.predicted / self.measured - 1


def predict(facts: ModelFacts, settings: TrainingSettings) -> dict[str, int]:
    """The planner's terms on this machine's CPU, by name."""
    memory, machine = TrainingMemory(), probe()
    units = memory.units(facts, settings, machine)
    estimate = memory.estimate(facts, settings, machine, (CPU,) * len(units))
    if estimate.missing:
        raise RuntimeError(f"no figure: {dict(estimate.missing)}")
    return {term.name: term.bytes for term in estimate.terms if term.bytes}


def measured_peak(folder: Path, settings: TrainingSettings, steps: int) -> int:
    """VmHWM of a run during which the kernel dropped no pages; a short machine drops those of mapped files."""
    for _ in range(TRIES):
        moments = measure(folder, settings, steps)["moments"]
        files = [seen["RssFile"] for name, seen in moments.items() if name.startswith("step")]
        if max(files) - min(files) < DROPPED_BYTES:
            break
        print("  the kernel dropped pages of files: once more", file=sys.stderr)
    return max(seen["VmHWM"] for seen in moments.values())


def _row(folder: Path, facts: ModelFacts, name: str, steps: int) -> Row:
    terms = predict(facts, SETTINGS[name])
    return Row(name, sum(terms.values()), measured_peak(folder, SETTINGS[name], steps), terms)


def _print(row: Row, terms: bool) -> None:
    figures = f"{row.predicted / 1e6:10.1f} {row.measured / 1e6:10.1f} {100 * row.error:+8.2f} %"
    print(f"{row.name:28} {figures}", flush=True)
    if terms:
        print("    " + "  ".join(f"{name} {n / 1e6:.1f}" for name, n in row.terms.items()), flush=True)


def main() -> int:
    """Measure and print; 1 where a prediction is off by more than `WITHIN`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--folder", type=Path, help="SmolLM2's checkpoint; made in a temporary folder if absent"
    )
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--only", default="", help="settings whose name contains this")
    parser.add_argument("--terms", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = smollm2_checkpoint.write(given.folder or Path(scratch) / "smollm2")
        facts = read_checkpoint(FolderSource(folder), id="smollm2")
        print(f"{'setting (MB)':28} {'predicted':>10} {'measured':>10} {'error':>10}")
        rows = []
        for name in SETTINGS:
            if given.only in name:
                rows.append(_row(folder, facts, name, given.steps))
                _print(rows[-1], given.terms)
    errors = [row.error for row in rows]
    mean = sum(map(abs, errors)) / len(errors)
    print(f"{len(rows)} settings: mean absolute error {mean:.2%}, {min(errors):+.2%} to {max(errors):+.2%}")
    return int(max(map(abs, errors)) > WITHIN)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        given = TrainingSettings(**json.loads(sys.argv[3]))
        print(json.dumps(_worker(sys.argv[2], given, int(sys.argv[4]))))
    else:
        sys.exit(main())
