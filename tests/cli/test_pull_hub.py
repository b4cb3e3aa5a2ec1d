"""`shoestring models pull org/name` as real processes: killed, interrupted, two at once, on a full disk."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from command import COMMAND, Shell
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


def test_ctrl_c_leaves_what_was_finished_and_no_half_a_file(
    loopback_hub: Hub, tmp_path: Path, smollm2_checkpoint: Path
) -> None:
    loopback_hub.add("ada/smol", smollm2_checkpoint)
    loopback_hub.faults.bytes_per_s = 60 * MB
    environment = {**os.environ, **loopback_hub.environment(tmp_path / "hf")}
    process = subprocess.Popen(
        [*COMMAND, "models", "pull", "ada/smol"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while loopback_hub.sent("/model.safetensors") < 10 * MB and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate()
    assert (process.returncode, "Traceback" in error) == (130, False)
    names = {path.name for path in (tmp_path / "hf").rglob("*")}
    assert "tokenizer.json" in names
    assert not [name for name in names if name.endswith(".incomplete")]


def test_pulling_again_mends_what_has_changed_on_the_disk(
    shell: Shell, smollm2_files: tuple[Path, ...]
) -> None:
    shell.hub.add("ada/gguf", {"small.Q4_1.gguf": smollm2_files[0]})
    file = Path(shell("models", "pull", "ada/gguf")[1].strip())
    with file.open("r+b") as stream:
        stream.write(b"?" * 64)
    status, _, error = shell("models", "pull", "ada/gguf")
    assert status == 0, error
    assert file.read_bytes() == smollm2_files[0].read_bytes()


def test_pulling_again_what_is_sound_fetches_nothing(shell: Shell, smollm2_files: tuple[Path, ...]) -> None:
    shell.hub.add("ada/gguf", {"small.Q4_1.gguf": smollm2_files[0]})
    shell("models", "pull", "ada/gguf")
    before = shell.hub.sent(".gguf")
    status, _, error = shell("models", "pull", "ada/gguf")
    assert (status, shell.hub.sent(".gguf")) == (0, before)
    assert "Checking ada/gguf (98.4 MB)" in error


def test_a_corrupted_file_is_one_sentence(shell: Shell, smollm2_files: tuple[Path, ...]) -> None:
    shell.hub.add("ada/gguf", {"small.Q4_1.gguf": smollm2_files[0]})
    shell.hub.faults.corrupt.add("small.Q4_1.gguf")
    status, out, error = shell("models", "pull", "ada/gguf")
    assert (status, out) == (1, "")
    assert "small.Q4_1.gguf did not arrive as the hub describes it, and was removed" in error
    assert list((shell.home / "hf").rglob("*.gguf")) == []


@pytest.mark.parametrize(("consent", "fetched"), [((), False), (("--trust-remote-code",), True)])
def test_code_of_the_models_authors_is_fetched_with_consent_alone(
    shell: Shell, smollm2_checkpoint: Path, consent: tuple[str, ...], fetched: bool
) -> None:
    files: dict[str, bytes | Path] = {path.name: path for path in smollm2_checkpoint.iterdir()}
    shell.hub.add("ada/smol", {**files, "modeling_own.py": b"raise SystemExit"})
    assert shell("models", "pull", "ada/smol", *consent)[0] == 0
    assert (list((shell.home / "hf").rglob("modeling_own.py")) != []) is fetched


def may_mount() -> bool:
    unshare = shutil.which("unshare")
    return (
        unshare is not None and subprocess.run([unshare, "-Urm", "true"], capture_output=True).returncode == 0
    )


@pytest.mark.skipif(not may_mount(), reason="a small file system of one's own needs user namespaces")
@pytest.mark.parametrize(
    ("before", "told"),
    [
        ("size=1m", "needs 115 MB on the disk; 1.05 MB are free"),
        (
            "size=120m,nr_inodes=12",
            "is full",
        ),  # room enough, as far as can be seen; but no more files can be made
    ],
)
def test_a_full_disk_is_one_sentence(
    loopback_hub: Hub, tmp_path: Path, smollm2_files: tuple[Path, ...], before: str, told: str
) -> None:
    loopback_hub.add("ada/gguf", {"small.Q4_1.gguf": smollm2_files[0]})
    mount = f'mount -t tmpfs -o {before} tmpfs "$0" && exec "$@"'
    command = ["unshare", "-Urm", "sh", "-c", mount, str(tmp_path), *COMMAND, "models", "pull", "ada/gguf"]
    environment = {**os.environ, **loopback_hub.environment(tmp_path / "hf")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr
