"""`shoestring models pull org/name` as real processes: one that is killed, two at once."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from command import COMMAND
from hub_server import Hub

pytestmark = pytest.mark.model
MB = 10**6


def test_a_killed_fetch_keeps_finished_files_and_starts_only_the_others_again(
    loopback_hub: Hub, tmp_path: Path, smollm2_checkpoint: Path
) -> None:
    loopback_hub.add("ada/smol", smollm2_checkpoint)
    environment = {**os.environ, **loopback_hub.environment(tmp_path / "hf")}
    command = [*COMMAND, "models", "pull", "ada/smol"]
    loopback_hub.faults.bytes_per_s = 60 * MB
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while loopback_hub.sent("/model.safetensors") < 30 * MB and process.poll() is None:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    blobs = tmp_path / "hf" / "hub" / "models--ada--smol" / "blobs"
    assert len(list(blobs.glob("*.incomplete"))) == 1

    loopback_hub.faults.bytes_per_s = None
    loopback_hub.asked.clear()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    size = (smollm2_checkpoint / "model.safetensors").stat().st_size
    assert size <= loopback_hub.sent("/model.safetensors") < size + MB
    assert loopback_hub.sent("/tokenizer.json") == 0
    assert list(blobs.glob("*.incomplete")) == []
    file = next(Path(line) for line in done.stdout.splitlines() if line.endswith("model.safetensors"))
    assert file.read_bytes() == (smollm2_checkpoint / "model.safetensors").read_bytes()


def test_two_processes_at_once_bring_each_file_once(
    loopback_hub: Hub, tmp_path: Path, smollm2_checkpoint: Path
) -> None:
    loopback_hub.add("ada/smol", smollm2_checkpoint)
    environment = {**os.environ, **loopback_hub.environment(tmp_path / "hf")}
    command = [*COMMAND, "models", "pull", "ada/smol"]
    processes = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], answers
    size = (smollm2_checkpoint / "model.safetensors").stat().st_size
    assert loopback_hub.sent("/model.safetensors") < size + 2 * MB
